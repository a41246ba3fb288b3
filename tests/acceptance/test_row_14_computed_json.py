"""Row 14: `computed.json` and the digests.

Parity: iExec's formulas, by its vectors. Beat: a declared path never leads out of /iexec_out, a result of any size is
hashed and zipped in pieces, and a program may have a folder counted with all that is below it.
"""

from __future__ import annotations

import hashlib
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from poco.errors import Cause
from poco.hexes import keccak, to_hex
from poco.result import ResultError, digest
from poco.ziptree import ZipTree
from tests.integration.runner_bench import Bench
from worker.runner.outputs import OutFolder, write_zip

MB = 1_048_576
NOTHING = "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


def says(out: Path, **computed: str | bool) -> OutFolder:
    (out / "computed.json").write_text(json.dumps({key.replace("_", "-"): value for key, value in computed.items()}))
    return OutFolder(out)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"r": "hello"}, "0x2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"),
        ({"r/b.txt": "b", "r/a.txt": "a"}, "0x9357c59d3ff5027438ddab3b1655da04ba890e0a43fac9d9568f78941d4b5a1f"),
        ({"r/only/sub/folders": "not counted"}, NOTHING),
    ],
    ids=["file", "folder", "sub-folders"],
)
def test_iexecs_vectors(tmp_path: Path, files: dict[str, str], expected: str) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    assert digest(says(tmp_path, deterministic_output_path="/iexec_out/r"), callback=False) == expected


def test_iexecs_vectors_of_an_empty_folder_and_a_callback(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    assert digest(says(tmp_path, deterministic_output_path="/iexec_out/r"), callback=False) == NOTHING
    assert digest(says(tmp_path, callback_data="0x0123"), callback=True) == (
        "0x667d3611273365cfb6e64399d5af0bf332ec3e5d6986f76bc7d10839b680eb58"
    )


def test_a_folder_may_count_with_all_that_is_below_it(tmp_path: Path) -> None:
    def found(files: dict[str, str]) -> str:
        out = tmp_path / str(len(list(tmp_path.iterdir())))
        for name, content in files.items():
            (out / "r" / name).parent.mkdir(parents=True, exist_ok=True)
            (out / "r" / name).write_text(content)
        tree = says(out, deterministic_output_path="/iexec_out/r", deterministic_output_recursive=True)
        of_folder = digest(tree, callback=False)
        write_zip(tree, tree.files(), out.with_suffix(".zip"))
        with out.with_suffix(".zip").open("rb") as file:
            assert digest(ZipTree(file, MB), callback=False) == of_folder
        return of_folder

    expected = keccak(*(hashlib.sha256(part).digest() for part in (b"a", b"1", b"b/c", b"2")))
    assert found({"b/c": "2", "a": "1"}) == to_hex(expected)
    others = [{"a": "1"}, {"a": "1", "c": "2"}, {"a": "1", "b/d": "2"}, {"a": "1", "b/c": "3"}, {"b/a": "1", "c": "2"}]
    assert len({to_hex(expected), *map(found, others)}) == 6


@pytest.mark.parametrize("said", ["true", 1, None])
def test_what_is_neither_true_nor_false_is_refused(tmp_path: Path, said: Any) -> None:
    with pytest.raises(ResultError, match="neither true nor false"):
        digest(
            says(tmp_path, deterministic_output_path="/iexec_out", deterministic_output_recursive=said), callback=False
        )


@pytest.mark.parametrize(
    "argv",
    [
        ("points", "/etc/passwd"),
        ("points", "/iexec_out/../etc/passwd"),
        ("points", "/iexec_outside"),
        ("link",),
        ("link", "/iexec_out/folder/hostname"),
    ],
)
def test_a_declared_path_leads_nowhere_else(bench: Callable[..., Bench], argv: tuple[str, ...]) -> None:
    one = bench()
    one.run(*argv)
    with pytest.raises(ResultError) as caught:
        digest(OutFolder(one.folder.out), callback=False)
    assert caught.value.cause is Cause.COMPUTED_PATH_INVALID


def test_a_large_result_is_hashed_and_zipped_in_pieces(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with (out / "r").open("wb") as file:
        file.truncate(64 * MB)
    tree = says(out, deterministic_output_path="/iexec_out/r")
    tracemalloc.start()
    try:
        digest(tree, callback=False)
        write_zip(tree, tree.files(), tmp_path / "result.zip")
        assert tracemalloc.get_traced_memory()[1] < 4 * MB
    finally:
        tracemalloc.stop()
