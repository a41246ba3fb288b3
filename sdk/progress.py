"""Progress for people: one line for each thing that happened, with the seconds since the start."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from sdk.watch import News

_WORDS = {
    "INITIALIZED": "task initialized on chain",
    "CREATED": "leased to {worker}",
    "DECLINED": "{worker} declined",
    "STARTED": "{worker} started",
    "APP_DOWNLOADED": "{worker} has the app's image",
    "DATA_DOWNLOADED": "{worker} has the data",
    "COMPUTING": "{worker} computes",
    "COMPUTED": "{worker} has a result",
    "CONTRIBUTED": "{worker} contributed",
    "CONSENSUS": "consensus: the workers agree",
    "REVEALED": "{worker} revealed",
    "RESULT_UPLOADED": "{worker} uploaded the result",
    "REOPENED": "reopened: nobody revealed in time",
    "FAILED": "{worker} failed",
    "ABORTED": "{worker} stopped",
    "WORKER_LOST": "{worker} is lost",
    "FINALIZED": "finalized: everybody is paid",
    "CLAIMED": "claimed: the requester has the money back",
}


def words(news: News, names: Mapping[str, str]) -> str | None:
    """A sentence for one piece of news, workers by their names; None for what people need not see."""
    text = _WORDS.get(news.what)
    if text is None:
        return None
    worker = names.get(news.worker, f"{news.worker[:8]}..{news.worker[-4:]}" if news.worker else "")
    detail = f" ({news.detail})" if news.detail else ""
    return text.format(worker=worker) + detail


class Progress:
    """Lines on a stream, `  12.3 s  ...`; on a terminal a spinner says what is being waited for.

    Args:
        stream: stderr by default, so that stdout stays for the outcome.
        quiet: print nothing.
    """

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False) -> None:
        from rich.console import Console

        self._stream = stream or sys.stderr
        self._console = Console(file=self._stream, highlight=False, soft_wrap=True)
        self._quiet = quiet
        self._started = time.monotonic()

    @property
    def seconds(self) -> float:
        """Since the start."""
        return time.monotonic() - self._started

    def say(self, text: str, *, style: str = "") -> None:
        """One line."""
        if self._quiet:
            return
        mark = f"{self.seconds:7.1f} s  "
        if self._console.is_terminal:
            from rich.text import Text

            self._console.print(Text.assemble((mark, "dim"), (text, style)))
        else:
            print(mark + text, file=self._stream, flush=True)

    def tell(self, news: News, names: Mapping[str, str], of: str = "") -> None:
        """A line for a piece of news, where it is one for people, begun by `of`; what the chain says is green."""
        text = words(news, names)
        if text is not None:
            self.say(of + text, style="green" if news.source == "chain" else "")

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """A spinner while the block runs; nothing where the stream is no terminal."""
        if self._quiet or not self._console.is_terminal:
            yield
            return
        with self._console.status(text):
            yield
