"""Row 14: `computed.json` and the digests.

Parity: iExec's formulas, by its vectors. Beat: a declared path never leads out of /iexec_out, and a result of any size
is hashed and zipped in pieces.
"""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from poco.errors import Cause
from poco.result import ResultError, digest
from tests.integration.runner_bench import Bench
from worker.runner.outputs import OutFolder, write_zip

MB = 1_048_576
NOTHING = "0xc5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


def says(out: Path, **computed: str) -> OutFolder:
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
