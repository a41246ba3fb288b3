"""Reading what a stranger's program left: only plain files below the folder exist."""

from __future__ import annotations

import io
import os
import socket
import zipfile
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poco.errors import Cause
from poco.result import ResultError, digest
from worker.proof import MemoryTree, error_proof
from worker.runner.folders import TaskFolder
from worker.runner.outputs import OutFolder, require_size, write_zip
from worker.runner.usage import usage

P = PurePosixPath


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def files(folder: Path) -> list[str]:
    return [str(path) for path in OutFolder(folder).files()]


def test_plain_files_and_folders(out: Path) -> None:
    (out / "b.txt").write_text("b")
    (out / "a.txt").write_text("a")
    (out / "sub").mkdir()
    (out / "sub" / "c").write_text("c")
    tree = OutFolder(out)
    assert files(out) == ["a.txt", "b.txt", "sub/c"]
    assert (tree.kind(P("sub")), tree.kind(P("a.txt")), tree.kind(P("nothing"))) == ("dir", "file", None)
    assert b"".join(tree.chunks(P("sub/c"))) == b"c"


def test_the_published_vectors(out: Path) -> None:
    (out / "computed.json").write_text('{"deterministic-output-path": "/iexec_out/dir"}')
    (out / "dir").mkdir()
    empty = "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert digest(OutFolder(out), callback=False) == empty
    (out / "dir" / "a.txt").write_text("a")
    (out / "dir" / "b.txt").write_text("b")
    assert digest(OutFolder(out), callback=False) == (
        "0x9357c59d3ff5027438ddab3b1655da04ba890e0a43fac9d9568f78941d4b5a1f"
    )


def test_nothing_else_exists(out: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("key")
    (out / "link").symlink_to(secret)
    (out / "folder").symlink_to(tmp_path)
    (out / "loop").symlink_to(out)
    os.mkfifo(out / "pipe")
    os.link(secret, out / "hard")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(out / "sock"))
        if os.geteuid() == 0:
            os.mknod(out / "zero", 0o600 | 0o020000, os.makedev(1, 5))
        tree = OutFolder(out)
        assert files(out) == []
        for name in ("link", "folder", "loop", "pipe", "hard", "sock", "zero"):
            assert tree.kind(P(name)) is None
            assert list(tree.chunks(P(name))) == []
    for path in ("folder/secret", "../secret", "sub/../../secret", "/etc/passwd", "loop/link", "a\0b"):
        assert tree.kind(P(path)) is None
    with pytest.raises(ResultError) as caught:
        (out / "computed.json").write_text('{"deterministic-output-path": "/iexec_out/link"}')
        digest(tree, callback=False)
    assert caught.value.cause is Cause.COMPUTED_PATH_INVALID


def test_a_root_that_is_a_link_is_empty(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "x").write_text("x")
    (tmp_path / "root").symlink_to(tmp_path / "real")
    assert files(tmp_path / "root") == []


def test_names_that_no_zip_can_hold_do_not_exist(out: Path) -> None:
    (out / "good ü\n").write_text("x")
    Path(os.fsdecode(os.fsencode(out) + b"/bad\xff")).write_text("x")
    assert files(out) == ["good ü\n"]


def test_depth_is_bounded(out: Path) -> None:
    folder = out
    for _ in range(60):
        folder = folder / "d"
        folder.mkdir()
    (folder / "deep").write_text("x")
    assert files(out) == []
    assert usage(out, 1000).entries == 1001, "too deep counts as too much"


def test_size_counts_holes_many_files_and_no_targets(out: Path, tmp_path: Path) -> None:
    with (out / "sparse").open("wb") as file:
        file.truncate(10_000_000)
    (tmp_path / "huge").write_bytes(bytes(5_000_000))
    (out / "link").symlink_to(tmp_path / "huge")
    used = usage(out, 100)
    assert used.entries == 2
    assert 10_000_000 <= used.size < 11_000_000
    with pytest.raises(ResultError) as caught:
        require_size(out, 9_000_000, 100)
    assert caught.value.cause is Cause.OUTPUT_TOO_LARGE
    for number in range(50):
        (out / str(number)).touch()
    with pytest.raises(ResultError):
        require_size(out, 20_000_000, 40)
    require_size(out, 20_000_000, 60)


_names = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="/\0"), min_size=1, max_size=8
).filter(lambda name: name not in (".", "..") and len(name.encode()) < 200)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(_names, st.binary(max_size=200), max_size=6))
def test_a_zip_is_the_same_every_time_and_holds_what_the_digest_covers(contents: dict[str, bytes]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as base:
        folder = Path(base) / "out"
        (folder / "d").mkdir(parents=True)
        for name, content in contents.items():
            (folder / "d" / name).write_bytes(content)
        (folder / "computed.json").write_text('{"deterministic-output-path": "/iexec_out/d"}')
        tree = OutFolder(folder)
        first = write_zip(tree, tree.files(), Path(base) / "1.zip")
        os.utime(folder / "computed.json", (1, 1))
        assert write_zip(tree, tree.files(), Path(base) / "2.zip") == first
        with zipfile.ZipFile(Path(base) / "1.zip") as archive:
            back = {info.filename: archive.read(info) for info in archive.infolist()}
        assert {name: back[f"d/{name}"] for name in contents} == contents
        assert len(back) == len(contents) + 1


def test_error_results_agree() -> None:
    for callback in (False, True):
        one, tree = error_proof(Cause.APP_COMPUTE_FAILED, callback=callback)
        two, _ = error_proof(Cause.APP_COMPUTE_FAILED, callback=callback)
        other, _ = error_proof(Cause.OUTPUT_TOO_LARGE, callback=callback)
        assert one == two != other
        assert set(tree.files) == {"error.json", "computed.json"}
        assert b"".join(MemoryTree(tree.files).chunks(P("error.json"))) == b'{"cause":"APP_COMPUTE_FAILED"}'


def test_folders_are_private_and_go_away_whatever_is_in_them(tmp_path: Path) -> None:
    folder = TaskFolder(tmp_path / "tasks", "0x" + "ab" * 32)
    folder.make()
    assert folder.root.stat().st_mode & 0o777 == 0o700
    shut = folder.out / "shut"
    shut.mkdir()
    (shut / "file").write_text("x")
    shut.chmod(0)
    (folder.out / "link").symlink_to(tmp_path)
    folder.zip.write_bytes(b"zip")
    folder.drop_work()
    assert folder.zip.exists() and not folder.out.exists()
    folder.make()
    folder.remove()
    assert not folder.root.exists()
    assert tmp_path.exists()
    with pytest.raises(Exception, match=r"32 are needed|not a 0x"):
        TaskFolder(tmp_path, "../../etc")


def test_a_zip_can_be_read_back_in_pieces(out: Path, tmp_path: Path) -> None:
    (out / "big").write_bytes(bytes(range(256)) * 4096)
    tree = OutFolder(out)
    _, size = write_zip(tree, tree.files(), tmp_path / "z.zip")
    raw = (tmp_path / "z.zip").read_bytes()
    assert len(raw) == size
    assert zipfile.ZipFile(io.BytesIO(raw)).testzip() is None


def test_deep_folders_count_as_too_much_and_can_be_removed(tmp_path: Path) -> None:
    folder = TaskFolder(tmp_path, "0x" + "11" * 32)
    folder.make()
    here = os.open(folder.out, os.O_RDONLY)
    for _ in range(3000):  # longer than any path may be, deeper than any recursion
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    with pytest.raises(ResultError):
        require_size(folder.out, 1000, 10_000)
    folder.remove()
    assert not any(tmp_path.iterdir())


def test_what_is_removed_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir(mode=0o755)
    (tmp_path / "mine" / "key").write_text("secret")
    folder = TaskFolder(tmp_path / "tasks", "0x" + "11" * 32)
    folder.make()
    (folder.out / "link").symlink_to(tmp_path / "mine")
    (folder.out / "closed").mkdir()
    (folder.out / "closed" / "below").mkdir()
    (folder.out / "closed" / "below" / "link").symlink_to("../../../../../mine")
    (folder.out / "closed" / "below").chmod(0)
    (folder.out / "closed").chmod(0)
    folder.remove()
    assert not folder.root.exists()
    assert (tmp_path / "mine" / "key").read_text() == "secret"
    assert (tmp_path / "mine").stat().st_mode & 0o777 == 0o755
