"""Steps and stamps of the set-up, and what it says when it cannot go on."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
from collections import namedtuple
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops import console, setup
from ops.console import ROOT, CommandError, SetupError

NO_NETWORK = """
error: Request failed after 3 retries
  cause: Failed to fetch: https://example.invalid/simple/web3/
  cause: dns error: failed to lookup address information
"""


@pytest.fixture
def stamps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "stamps"
    folder.mkdir()
    monkeypatch.setattr(setup, "STAMPS", folder)
    return folder


def make_step(tmp_path: Path, done: list[str]) -> setup.Step:
    def action() -> None:
        done.append("x")
        (tmp_path / "product").touch()

    return setup.Step("thing", "a thing", [tmp_path / "input", "word"], [tmp_path / "product"], action)


def test_a_step_is_done_again_only_for_a_reason(tmp_path: Path, stamps: Path) -> None:
    done: list[str] = []
    step = make_step(tmp_path, done)
    (tmp_path / "input").write_text("1")
    assert not step.is_done()
    step.do()
    assert step.is_done()
    (tmp_path / "input").write_text("2")
    assert not step.is_done()
    step.do()
    (tmp_path / "input").touch()  # a new time with the same content is no reason
    assert step.is_done()
    (tmp_path / "product").unlink()
    assert not step.is_done()
    step.do()
    (stamps / "thing").unlink()
    assert not step.is_done()
    assert len(done) == 3


def test_a_step_that_fails_leaves_no_stamp(tmp_path: Path, stamps: Path) -> None:
    def action() -> None:
        raise SetupError("broken")

    step = setup.Step("thing", "a thing", [], [], action)
    (stamps / "thing").write_text(step.digest())
    with pytest.raises(SetupError, match="broken"):
        step.do()
    assert not step.is_done()


def test_a_step_that_leaves_no_product_is_a_failure(tmp_path: Path, stamps: Path) -> None:
    step = setup.Step("thing", "a thing", [], [tmp_path / "never"], lambda: None)
    with pytest.raises(SetupError, match=r"left no .*never"):
        step.do()
    assert not step.is_done()


@given(st.lists(st.text(max_size=5), max_size=4), st.lists(st.text(max_size=5), max_size=4))
def test_the_digest_tells_inputs_apart(one: list[str], other: list[str]) -> None:
    one, other = [w.replace("\0", "") for w in one], [w.replace("\0", "") for w in other]
    digests = [setup.Step("s", "s", words, [], lambda: None).digest() for words in (one, other)]
    assert (digests[0] == digests[1]) == (one == other)


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_the_digest_tells_contents_apart(one: bytes, other: bytes) -> None:
    digests = []
    for content in (one, other):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "input"
            path.write_bytes(content)
            digests.append(setup.Step("s", "s", [path], [], lambda: None).digest())
    assert (digests[0] == digests[1]) == (one == other)


def test_the_second_run_has_nothing_to_do(tmp_path: Path, stamps: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(setup, "steps", lambda: [make_step(tmp_path, done)])
    assert setup.prepare() == 1
    assert setup.prepare() == 0
    assert done == ["x"]


def test_a_second_set_up_waits_for_the_first(tmp_path: Path) -> None:
    program = f"from pathlib import Path; from ops import setup; setup.STAMPS = Path({str(tmp_path)!r}); "
    program += "setup.steps = lambda: []; print(setup.prepare())"
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert second.stdout is not None
        assert "another set-up of this folder is running" in second.stdout.readline()
        assert second.poll() is None
    assert second.communicate(timeout=10)[0] == "0\n"


@pytest.mark.parametrize(
    ("output", "hint"),
    [
        (NO_NETWORK, "cannot be reached: check the network"),
        ("npm error code ENOTFOUND", "cannot be reached: check the network"),
        ("ERROR: No matching distribution found for uv==0.0.1", "cannot be reached: check the network"),
        ("OSError: [Errno 28] No space left on device", "is full: free 3 GB"),
        ("something else", None),
    ],
)
def test_what_a_failure_means(output: str, hint: str | None) -> None:
    program = f"import sys; print({output!r}); sys.exit(1)"
    with pytest.raises(SetupError) as failure:
        setup._run([sys.executable, "-c", program])
    assert output.strip().splitlines()[-1].strip() in failure.value.message
    assert (hint in failure.value.hint) if hint else failure.value.hint == ""
    assert failure.value.exit_code == 1


def test_a_command_that_is_missing_or_hangs() -> None:
    with pytest.raises(CommandError, match="ended with code 127"):
        console.run(["/nonexistent/npm", "ci"])
    with pytest.raises(CommandError, match=r"ended with code 124:\n.*no answer in 0 s"):
        console.run([sys.executable, "-c", "import time; time.sleep(30)"], timeout=0.2)


def test_too_little_disk_is_said_first(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(setup.shutil, "disk_usage", lambda _: usage(10, 9, 2**30))
    with pytest.raises(SetupError, match=r"1\.0 GB are free .* needs 3 GB"):
        setup._check_disk()


def test_the_interpreter_of_a_fitting_version_is_kept() -> None:
    assert setup.fitting_python() == os.path.realpath(sys.executable)


def test_another_version_looks_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup.sys, "version_info", (3, 9, 1))
    shim = tmp_path / "python3.11"
    shim.write_text("#!/bin/sh\necho 'shim: version 3.11 is not installed' >&2\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SetupError) as refused:
        setup.fitting_python()
    assert refused.value.message == "Python 3.9 does not fit, and none of 3.11, 3.12, 3.13 is on PATH"
    assert refused.value.exit_code == 2
    (tmp_path / "python3.13").symlink_to(sys.executable)
    assert setup.fitting_python() == os.path.realpath(sys.executable)


def test_uv_comes_with_the_hashes_of_the_lock() -> None:
    first, *hashes = setup._uv_lines()
    assert first.startswith("uv==")
    assert hashes
    assert all(line.strip().startswith("--hash=sha256:") for line in hashes)


@pytest.mark.parametrize(("error", "code"), [(SetupError("no", "do this"), 2), (KeyboardInterrupt(), 130)])
def test_errors_are_sentences(error: BaseException, code: int, capsys: pytest.CaptureFixture[str]) -> None:
    def main() -> int:
        raise error

    assert console.guarded(main) == code
    text = capsys.readouterr().err
    assert "error: " in text
    assert "Traceback" not in text
    assert ("hint:  do this" in text) == (code == 2)
