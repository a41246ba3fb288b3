"""Layers of strangers: what may be in them, and what may not."""

from __future__ import annotations

import contextlib
import gzip
import io
import stat
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oci.errors import BadChecksumError, ImageError, ImageInvalidError
from oci.manifest import OCI_LAYER, Descriptor, sha256_digest
from oci.unpack import Bounds, unpack_layer

Entry = tuple[str, bytes, str]  # name, type of tarfile, content or link


def tar(*entries: Entry, mode: int = 0o644) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, kind, text in entries:
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = kind, mode
            if kind == tarfile.REGTYPE:
                entry.size = len(text)
            else:
                entry.linkname = text
            archive.addfile(entry, io.BytesIO(text.encode()))
    return out.getvalue()


def file(name: str, text: str = "x") -> Entry:
    return name, tarfile.REGTYPE, text


def link(name: str, target: str) -> Entry:
    return name, tarfile.SYMTYPE, target


def unpack(folder: Path, *layers: bytes, most: int = 1_000_000, entries: int = 1000) -> Path:
    """Unpack tars one onto the other as gzip layers; returns the root."""
    root, bounds = folder / "root", Bounds(most, entries)
    root.mkdir(parents=True, exist_ok=True)
    for content in layers:
        blob = folder / "layer"
        blob.write_bytes(gzip.compress(content))
        unpack_layer(blob, Descriptor(OCI_LAYER, "", 0), sha256_digest(content), root, bounds)
    return root


def tree(root: Path) -> dict[str, str]:
    """Paths below a folder: what files hold, where links lead, `/` for folders."""
    found = {}
    for path in sorted(root.rglob("*")):
        name = str(path.relative_to(root))
        found[name] = f"-> {path.readlink()}" if path.is_symlink() else "/" if path.is_dir() else path.read_text()
    return found


def test_layers_lie_one_on_the_other(tmp_path: Path) -> None:
    root = unpack(
        tmp_path,
        tar(file("a/one"), file("a/two"), file("b/three"), link("bin", "usr/bin"), file("c")),

        tar(file("a/two", "newer"), file("a/.wh.one", ""), file("b/four"), file("b/.wh..wh..opq", ""), file("bin/sh")),
    )  # fmt: skip
    assert tree(root) == {
        "a": "/", "a/two": "newer", "b": "/", "b/four": "x", "bin": "-> usr/bin", "c": "x",
        "usr": "/", "usr/bin": "/", "usr/bin/sh": "x",
    }  # fmt: skip


def test_hard_links_lead_to_what_is_there(tmp_path: Path) -> None:
    root = unpack(tmp_path, tar(file("one")), tar(("two", tarfile.LNKTYPE, "/one"), ("one", tarfile.LNKTYPE, "one")))
    assert tree(root) == {"one": "x", "two": "x"}


def test_devices_pipes_and_set_id_bits_stay_outside(tmp_path: Path) -> None:
    kinds = (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)
    special = [(f"dev/{number}", kind, "") for number, kind in enumerate(kinds)]
    root = unpack(tmp_path, tar(*special, file("su"), mode=0o6755))
    assert tree(root) == {"dev": "/", "su": "x"}
    assert stat.S_IMODE((root / "su").stat().st_mode) == 0o755


HOSTILE: dict[str, list[bytes]] = {
    "climbs": [tar(file("../outside"))],
    "climbs in the middle": [tar(file("a/../../outside"))],
    "hard link that climbs": [tar(("x", tarfile.LNKTYPE, "../secret"))],
    "hard link to nothing": [tar(("x", tarfile.LNKTYPE, "nothing"))],
    "hard link to a folder": [tar(("x", tarfile.LNKTYPE, "/"))],
    "links in circles": [tar(link("a", "b"), link("b", "a"), file("a/x"))],
    "a name too long": [tar(file("n" * 300))],
    "a path through a file": [tar(file("a"), file("a/b"))],
    "no tar": [b"\x01" * 4096],
    "cut off": [tar(file("a", "y" * 9000))[:4096]],
}


@pytest.mark.parametrize("layers", HOSTILE.values(), ids=HOSTILE)
def test_hostile_layers_are_refused(tmp_path: Path, layers: list[bytes]) -> None:
    (tmp_path / "secret").write_text("key")
    with pytest.raises(ImageInvalidError):
        unpack(tmp_path / "store", *layers)
    assert not (tmp_path / "outside").exists()
    assert not (tmp_path / "store" / "outside").exists()


def test_links_that_lead_out_are_followed_inside(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim").write_text("mine")
    (outside / "victim").chmod(0o600)
    for target in (str(outside), "../../outside", "/../../" + str(outside)):
        store = tmp_path / f"store{len(target)}"
        unpack(store, tar(link("out", target)), tar(file("out/victim", "yours"), file("out/new"), mode=0o777))
        unpack(store, tar(file("out/.wh..wh..opq", ""), file("z")))
    assert tree(outside) == {"victim": "mine"}
    assert stat.S_IMODE((outside / "victim").stat().st_mode) == 0o600


def test_a_folder_that_becomes_a_link_takes_nothing_along(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o700)
    first = tar(("a", tarfile.DIRTYPE, ""), ("a/b", tarfile.DIRTYPE, ""))
    second = tar(link("a", str(tmp_path)), ("a/outside", tarfile.DIRTYPE, ""), link("a", str(tmp_path)), mode=0o777)
    unpack(tmp_path / "store", first, second)
    assert stat.S_IMODE(outside.stat().st_mode) == 0o700


def sparse() -> bytes:
    header = tarfile.TarInfo("sparse")
    header.type, header.size = tarfile.GNUTYPE_SPARSE, 0
    raw = bytearray(header.tobuf(tarfile.GNU_FORMAT))
    raw[482] = 1  # an extended map follows, and another, for ever
    raw[148:156] = b"        "
    raw[148:156] = b"%06o\0 " % sum(raw)
    block = (b"00000000001\0" * 42).ljust(504, b"\0") + b"\x01" + bytes(7)
    return bytes(raw) + block * 8192


BOMBS: dict[str, Callable[[], bytes]] = {
    "bytes": lambda: tar(*(file(str(n), "\0" * 300_000) for n in range(4))),
    "files": lambda: tar(*(file(str(n), "") for n in range(1001))),
    "a long name": lambda: tar(file("n/" * 4_000_000)),
    "padding": lambda: tar(file("a")) + bytes(20_000_000),
    "a sparse map": sparse,
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS)
def test_bombs_are_stopped(tmp_path: Path, bomb: Callable[[], bytes]) -> None:
    with pytest.raises(ImageInvalidError):
        unpack(tmp_path, bomb())
    assert sum(path.stat().st_size for path in (tmp_path / "root").rglob("*") if path.is_file()) <= 1_000_000


def test_content_is_what_the_config_names(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "layer").write_bytes(gzip.compress(tar(file("a"))))
    with pytest.raises(BadChecksumError):
        unpack_layer(
            tmp_path / "layer", Descriptor(OCI_LAYER, "", 0), "sha256:" + "0" * 64, tmp_path / "root", Bounds(9999)
        )


def test_other_compressions_are_named(tmp_path: Path) -> None:
    (tmp_path / "layer").write_bytes(b"")
    with pytest.raises(ImageInvalidError, match="zstd"):
        unpack_layer(tmp_path / "layer", Descriptor("layer.v1.tar+zstd", "", 0), "", tmp_path, Bounds(9999))


@given(st.binary(max_size=2000), st.integers(0, 3000))
def test_any_bytes_give_a_folder_or_an_error(tmp_path_factory: pytest.TempPathFactory, noise: bytes, at: int) -> None:
    whole = bytearray(tar(file("a/b", "text"), link("l", "a"), ("d", tarfile.DIRTYPE, "")))
    whole[at : at + len(noise)] = noise
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "marker").write_text("untouched")
    with contextlib.suppress(ImageError):
        unpack(folder / "store", bytes(whole))
    assert {path.name for path in folder.iterdir()} == {"marker", "store"}
