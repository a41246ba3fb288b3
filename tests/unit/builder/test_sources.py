"""What of a dapp's folder gets into its image, and what of the machine does not."""

import os
from pathlib import Path

import pytest

from oci.layout import Tree
from poco.errors import BadInputError
from sdk.builder import golden, sources
from sdk.builder.golden import GoldenRun
from sdk.builder.image import Builder


@pytest.fixture
def folder(tmp_path):
    program = tmp_path / "dapp" / "program"
    (program / "lib").mkdir(parents=True)
    (program / "run").write_text("#!/bin/true\n")
    (program / "run").chmod(0o700)
    (program / "lib" / "part.py").write_text("1\n")
    (program / "lib" / "part.py").chmod(0o666)
    return tmp_path / "dapp"


def copied(folder):
    tree = Tree()
    sources.copy(tree, folder, "program", "/opt/dapp")
    return tree.nodes


def test_only_the_right_to_execute_is_the_sources_own(folder):
    nodes = copied(folder)
    assert {path: node.mode for path, node in nodes.items()} == {"opt/dapp/run": 0o755, "opt/dapp/lib/part.py": 0o644}
    (folder / "program" / "run").chmod(0o777)
    os.utime(folder / "program" / "run", (1, 1))
    assert copied(folder) == nodes


@pytest.mark.parametrize("name", [".hidden", "part.py~", "old.pyc", "__pycache__/part.cpython-311.pyc", ".git/config"])
def test_leftovers_stay_behind(folder, name):
    before = copied(folder)
    (folder / "program" / name).parent.mkdir(exist_ok=True)
    (folder / "program" / name).write_text("left")
    assert copied(folder) == before


def test_a_link_out_of_the_folder_is_refused(folder, tmp_path):
    (tmp_path / "secret").write_text("x")
    (folder / "program" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(BadInputError, match="program/link"):
        copied(folder)


def test_a_link_inside_is_what_it_points_at(folder):
    (folder / "program" / "again").symlink_to("lib/part.py")
    assert copied(folder)["opt/dapp/again"].content == b"1\n"


def test_the_time_of_the_source(monkeypatch, tmp_path):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    Builder(tmp_path)
    for wrong in ("yesterday", "-1", "1.5", "", "9" * 30, "²"):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", wrong)
        with pytest.raises(BadInputError, match="SOURCE_DATE_EPOCH"):
            Builder(tmp_path)


@pytest.mark.parametrize("quote", ['"', "'", ""])
def test_an_accepted_digest_is_written_down(tmp_path, quote):
    path = tmp_path / "dapps" / "small" / "dapp.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(f"# a comment\ngolden:\n  input: x\n  digest: {quote}0x{'0' * 64}{quote}\nmemory_mb: 1\n")
    new = "0x" + "ab" * 32
    runs = golden.accept(tmp_path, "small", [GoldenRun("linux/arm64", new, 1.0, ok=False)])
    assert path.read_text() == f'# a comment\ngolden:\n  input: x\n  digest: "{new}"\nmemory_mb: 1\n'
    assert runs[0].ok
    path.write_text("golden: {}\n")
    with pytest.raises(BadInputError, match="digest"):
        golden.accept(tmp_path, "small", runs)
    assert Path(path).read_text() == "golden: {}\n"
