"""The log: JSON lines, and never a reason to stop."""

from __future__ import annotations

import io
import json
from contextlib import suppress
from pathlib import Path

from worker.log import Log


def test_a_line_is_one_object() -> None:
    stream = io.StringIO()
    Log(stream, worker="w").warning("trying_again", why="two\nlines", path=Path("/x"))
    found = json.loads(stream.getvalue())
    assert (found["worker"], found["level"], found["event"], found["why"], found["path"]) == (
        "w", "warning", "trying_again", "two\nlines", "/x",
    )  # fmt: skip


def test_a_full_disk_or_a_closed_pipe_takes_no_lines_and_stops_nobody(tmp_path: Path) -> None:
    """The thread that logs may be the one that reveals."""
    full = Path("/dev/full").open("w")  # noqa: SIM115  (closing it fails too)
    log = Log(full)
    for _ in range(10_000):
        log.info("stage", task="0x" + "11" * 32)
    with suppress(OSError):
        full.close()
    gone = (tmp_path / "log").open("w")
    gone.close()
    Log(gone).error("effect_failed")
