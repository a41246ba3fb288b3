"""One JSON object a line on stderr. What is passed in is logged as it is: pass no secret."""

from __future__ import annotations

import json
import sys
import threading
import time
from contextlib import suppress
from typing import IO


class Log:
    """A structured log; `fields` are added to every line.

    Args:
        stream: where to write, stderr by default.
        fields: name and address of the worker, for example.
    """

    def __init__(self, stream: IO[str] | None = None, **fields: object) -> None:
        self._stream = stream or sys.stderr
        self._fields = fields
        self._lock = threading.Lock()

    def _write(self, level: str, event: str, fields: dict[str, object]) -> None:
        line = {"ts": round(time.time(), 3), "level": level, "event": event, **self._fields, **fields}
        text = json.dumps(line, default=str, ensure_ascii=True)
        # a full disk or a closed pipe costs a line: whoever logs may have a stake to reveal
        with self._lock, suppress(OSError, ValueError):
            self._stream.write(text + "\n")
            self._stream.flush()

    def event(self, event: str, *, level: str = "info", **fields: object) -> None:
        """Write one line of that level."""
        self._write(level, event, fields)

    def info(self, event: str, **fields: object) -> None:
        self._write("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        self._write("warning", event, fields)

    def error(self, event: str, **fields: object) -> None:
        self._write("error", event, fields)
