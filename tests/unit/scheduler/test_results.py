"""Uploads are opened with suspicion and named by their content."""

from __future__ import annotations

import hashlib
import io
import json
import stat
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from poco.hexes import keccak, to_hex
from poco.result import cid_of
from poco.ziptree import MAX_ENTRIES
from scheduler.results import Limits, ResultRefusedError, check, keep

LIMITS = Limits(packed=10**6, unpacked=4 * 10**6)


def packed(path: Path, files: dict[str, bytes], **more: object) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def computed(path: str) -> bytes:
    return json.dumps({"deterministic-output-path": path}).encode()


def refused(path: Path, said: str, limits: Limits = LIMITS) -> None:
    with pytest.raises(ResultRefusedError) as caught:
        check(path, callback=False, limits=limits)
    assert said in caught.value.message
    assert caught.value.hint


def test_a_file_and_a_folder(tmp_path: Path) -> None:
    one = packed(tmp_path / "z", {"out.txt": b"hello", "computed.json": computed("/iexec_out/out.txt")})
    assert check(one, callback=False, limits=LIMITS).digest == to_hex(hashlib.sha256(b"hello").digest())
    files = {"d/b.txt": b"b", "d/a.txt": b"a", "d/sub/c": b"c", "computed.json": computed("/iexec_out/d")}
    two = check(packed(tmp_path / "y", files), callback=False, limits=LIMITS)
    assert two.digest == "0x9357c59d3ff5027438ddab3b1655da04ba890e0a43fac9d9568f78941d4b5a1f"
    assert two.callback is None


def test_a_callback_keeps_its_bytes(tmp_path: Path) -> None:
    path = packed(tmp_path / "z", {"computed.json": b'{"callback-data": "0x0123"}'})
    found = check(path, callback=True, limits=LIMITS)
    assert (found.digest, found.callback) == (to_hex(keccak(b"\x01\x23")), b"\x01\x23")
    refused(path, "no result")


@pytest.mark.parametrize("name", ["../out", "/etc/passwd", "a/../../b", "a\\b", ".."])
def test_paths_that_lead_out(tmp_path: Path, name: str) -> None:
    refused(packed(tmp_path / "z", {name: b"x"}), "not a path inside")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices(tmp_path: Path, kind: int) -> None:
    path = tmp_path / "z"
    with zipfile.ZipFile(path, "w") as archive:
        entry = zipfile.ZipInfo("out.txt")
        entry.external_attr = (kind | 0o777) << 16
        archive.writestr(entry, b"/etc/passwd")
        archive.writestr("computed.json", computed("/iexec_out/out.txt"))
    refused(path, "link or a device")


def test_twice_the_same_and_files_that_are_folders(tmp_path: Path) -> None:
    path = tmp_path / "z"
    with zipfile.ZipFile(path, "w") as archive, pytest.warns(UserWarning):
        archive.writestr("a", b"1")
        archive.writestr("a", b"2")
    refused(path, "twice")
    refused(packed(tmp_path / "y", {"a": b"1", "a/b": b"2"}), "file and a folder")
    refused(packed(tmp_path / "x", {"a/b": b"2", "a": b"1"}), "twice")


def test_bombs(tmp_path: Path) -> None:
    big = packed(tmp_path / "z", {"zeros": b"\0" * 3_000_000})
    refused(big, "times its size")
    refused(packed(tmp_path / "y", {"zeros": b"\0" * 5_000_000}), "at most 4000000")
    many = packed(tmp_path / "x", {f"f{n}": b"" for n in range(MAX_ENTRIES + 1)})
    refused(many, f"at most {MAX_ENTRIES}")


def test_a_size_that_is_a_lie(tmp_path: Path) -> None:
    """The directory says ten bytes, the data are a million: nothing beyond the ten is unpacked, and it is refused."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("out", b"x" * 1_000_000)
        archive.writestr("computed.json", computed("/iexec_out/out"))
    raw = target.getvalue().replace((1_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    (tmp_path / "z").write_bytes(raw)
    refused(tmp_path / "z", "not a sound zip")


def test_encrypted_and_strange_compression(tmp_path: Path) -> None:
    path = packed(tmp_path / "z", {"out": b"x"})
    raw = bytearray(path.read_bytes())
    for mark in (b"PK\x03\x04", b"PK\x01\x02"):
        at = raw.index(mark) + (6 if mark == b"PK\x03\x04" else 8)
        raw[at] |= 1
    path.write_bytes(raw)
    refused(path, "encrypted")
    with zipfile.ZipFile(tmp_path / "y", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("out", b"x")
    refused(tmp_path / "y", "unusual")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=300), st.tuples(st.integers(0, 250), st.integers(0, 255))))
def test_garbage_is_refused_not_crashed_on(tmp_path: Path, what: bytes | tuple[int, int]) -> None:
    path = packed(tmp_path / "z", {"out.txt": b"hello", "computed.json": computed("/iexec_out/out.txt")})
    right = check(path, callback=False, limits=LIMITS).digest
    if isinstance(what, bytes):
        path.write_bytes(what)
    else:
        raw = bytearray(path.read_bytes())
        raw[what[0] % len(raw)] = what[1]
        path.write_bytes(raw)
    with suppress(ResultRefusedError):
        assert check(path, callback=False, limits=LIMITS).digest == right


def test_kept_under_the_name_of_its_content(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    upload = tmp_path / "upload"
    upload.write_bytes(b"hello")
    sha256 = hashlib.sha256(b"hello").digest()
    cid = keep(upload, sha256, folder)
    assert cid == cid_of(sha256)
    assert (folder / cid).read_bytes() == b"hello"
    assert not upload.exists()
