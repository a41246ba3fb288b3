"""The dapp to start from: its golden result, checkpoints through cuts at any moment, input that cannot be used."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sdk.builder.description import load
from sdk.cli import main as pew

ROOT = Path(__file__).resolve().parents[3]
DAPP = ROOT / "dapps" / "template"
TEXT = "".join(f"word{'abcdefghij'[number % 10]} line é {'x' * (number % 7)}\n" for number in range(45_000))
#: Ends the program as a power cut would, at its n-th checkpoint: before the new file replaces the old one.
CUT = """
import os, runpy, sys
left, program = int(sys.argv.pop(1)), sys.argv[1]
sys.argv = sys.argv[1:]
replace = os.replace
def cut(*names):
    global left
    left -= 1
    if left == 0:
        os._exit(137)
    replace(*names)
os.replace = cut
runpy.run_path(program, run_name="__main__")
"""


def run(tmp_path, *arguments, names=("input",), cut=None, checkpoint=None):
    """Run the program on `tmp_path/in`; returns what it did, with the result in `tmp_path/out`."""
    (tmp_path / "out").mkdir(exist_ok=True)
    environment = {
        "IEXEC_IN": str(tmp_path / "in"), "IEXEC_OUT": str(tmp_path / "out"),
        "IEXEC_INPUT_FILES_NUMBER": str(len(names)),
        **{f"IEXEC_INPUT_FILE_NAME_{number}": name for number, name in enumerate(names, 1)},
        **({"IEXEC_CHECKPOINT": str(checkpoint)} if checkpoint else {}),
    }  # fmt: skip
    before = ["-c", CUT, str(cut)] if cut else ["-I"]
    return subprocess.run(
        [sys.executable, *before, str(DAPP / "program"), *arguments],
        env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip


@pytest.fixture
def text(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "input").write_text(TEXT)
    return tmp_path


def test_the_golden_result_is_the_one_that_the_description_names(tmp_path):
    description = load(DAPP)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "input").write_bytes((DAPP / description.golden.input).read_bytes())
    done = run(tmp_path, *description.golden.arguments.split())
    assert done.returncode == 0, done.stderr
    assert "IEXEC_INPUT_FILES_NUMBER=1" in done.stdout
    expected = (DAPP / "golden" / "result.json").read_bytes()
    assert (tmp_path / "out" / "result.json").read_bytes() == expected
    assert description.golden.digest == "0x" + hashlib.sha256(expected).hexdigest()
    assert json.loads((tmp_path / "out" / "computed.json").read_text()) == {
        "deterministic-output-path": "/iexec_out/result.json"
    }


def test_counts_are_right(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a").write_text("Ärger, ärger!\nb b b a1a\n")
    (tmp_path / "in" / "b").write_text("a\n\nno_end of line")
    assert run(tmp_path, "--top", "3", names=("a", "b")).returncode == 0
    assert json.loads((tmp_path / "out" / "result.json").read_text()) == {
        "lines": 5, "words": 12, "different": 7, "top": {"a": 3, "b": 3, "ärger": 2},
    }  # fmt: skip


def test_a_run_that_is_cut_off_goes_on_where_it_was(text):
    run(text)
    whole = (text / "out" / "result.json").read_bytes()
    (text / "out" / "result.json").unlink()
    (text / "kept").mkdir()
    reached = []
    for moment in (1, 2, 2):  # in the middle of the first save, then twice after one more save
        assert run(text, cut=moment, checkpoint=text / "kept").returncode == 137
        path = text / "kept" / "progress.json"
        reached.append(json.loads(path.read_text())["state"]["lines"] if path.exists() else 0)
    assert reached == [0, 10_000, 20_000]
    assert not (text / "out" / "result.json").exists()
    assert run(text, checkpoint=text / "kept").returncode == 0
    assert (text / "out" / "result.json").read_bytes() == whole
    assert not (text / "kept" / "progress.json").exists()


@pytest.mark.parametrize("left", ["{", "[]", '{"of": [["input", 3]], "state": {"file": 9}}', '{"state": 1}'])
def test_a_checkpoint_of_something_else_is_not_believed(text, left):
    run(text)
    whole = (text / "out" / "result.json").read_bytes()
    (text / "kept").mkdir()
    (text / "kept" / "progress.json").write_text(left)
    assert run(text, checkpoint=text / "kept").returncode == 0
    assert (text / "out" / "result.json").read_bytes() == whole


@pytest.mark.parametrize(
    ("content", "arguments", "said"),
    [
        (None, (), "cannot be read"),
        (b"\xff\xfe\x00bad", (), "cannot be read"),
        (b"fine", ("--top", "0"), "--top is 1 to 1000"),
        (b"fine", ("--nothing",), "unrecognized arguments"),
    ],
    ids=["missing", "binary", "range", "unknown"],
)
def test_unusable_input_is_named(tmp_path, content, arguments, said):
    (tmp_path / "in").mkdir()
    if content is not None:
        (tmp_path / "in" / "input").write_bytes(content)
    done = run(tmp_path, *arguments)
    assert done.returncode == 2
    assert said in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out" / "computed.json").exists()


def test_no_input_at_all(tmp_path):
    done = run(tmp_path, names=())
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "neither a dataset nor an input file" in done.stderr


def project(tmp_path):
    """An empty project with links to the real template and layers."""
    (tmp_path / "dapps").mkdir()
    for name in ("template", "layers"):
        (tmp_path / "dapps" / name).symlink_to(ROOT / "dapps" / name)
    return tmp_path


def test_a_new_dapp_is_a_copy_under_its_own_name(tmp_path, capsys):
    root = project(tmp_path)
    assert pew(["dapp", "new", "bird-count", "--root", str(root)]) == 0
    assert "next: pew dapp test bird-count" in capsys.readouterr().out
    description = load(root / "dapps" / "bird-count")
    assert description.name == "bird-count"
    assert description.golden == load(DAPP).golden
    assert "pew dapp build bird-count" in (root / "dapps" / "bird-count" / "Dockerfile").read_text()
    assert (root / "dapps" / "bird-count" / "program" / "words.py").is_file()
    assert not list((root / "dapps" / "bird-count").rglob("__pycache__"))


@pytest.mark.parametrize("name", ["Bird", "../x", "a b", "-x", "x" * 61, "layers", "template"])
def test_names_that_cannot_be(tmp_path, capsys, name):
    root = project(tmp_path)
    before = sorted((root / "dapps").iterdir())
    assert pew(["dapp", "new", "--root", str(root), "--", name]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert sorted((root / "dapps").iterdir()) == before


def test_a_project_without_a_template(tmp_path, capsys):
    assert pew(["dapp", "new", "x", "--root", str(tmp_path)]) == 2
    assert "--root" in capsys.readouterr().err
