"""One JSON object a line on stderr. Nothing that is secret is ever passed in here."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from typing import Any

_writing = threading.Lock()


def log(event: str, *, level: str = "info", **fields: Any) -> None:
    """Write one line: `ts` (Unix seconds), `level`, `event` and what else is given."""
    line = json.dumps({"ts": round(time.time(), 3), "level": level, "event": event, **fields}, default=str)
    with _writing:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


class JsonHandler(logging.Handler):
    """Other libraries' warnings in the same form."""

    def emit(self, record: logging.LogRecord) -> None:
        log("library", level=record.levelname.lower(), logger=record.name, message=record.getMessage())


def set_up() -> None:
    logging.basicConfig(handlers=[JsonHandler()], level=logging.WARNING, force=True)
