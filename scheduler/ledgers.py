"""The energy ledgers that workers publish, a file for each day, for anyone to audit. A day once here stays as it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

from poco.energy import Ledger, parse
from poco.hexes import address
from poco.wire import LedgerDay
from scheduler.web import HttpError

#: Days have six digits here.
LAST_DAY = 999_999


class Ledgers:
    """All ledgers of the pool, below `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take(self, wallet: str, day: int, body: LedgerDay) -> None:
        """Keep a day of that worker's ledger; the same again is no error.

        Raises:
            BadInputError: it is no ledger.
            HttpError: it is of another worker or day, or differs from what is here.
        """
        ledger = parse(body.lines)
        days = {entry.record.day for entry in ledger.entries}
        if ledger.worker != wallet or days != {day}:
            raise HttpError(
                HTTPStatus.BAD_REQUEST, "BAD_REQUEST", f"these are not the records of {wallet} on day {day}"
            )
        text = "".join(f"{line}\n" for line in body.lines)
        path = self._file(wallet, day)
        if path.exists():
            if path.read_text() != text:
                raise HttpError(
                    HTTPStatus.CONFLICT,
                    "OTHER_LEDGER",
                    f"another ledger of day {day} was published before",
                    "a worker that lost its journal begins a new ledger after the days it has published",
                )
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}.draft")
        draft.write_text(text)
        draft.replace(path)

    def lines(self, wallet: str, first: int, last: int) -> Iterator[str] | None:
        """The text of the days `first` to `last`, a day at a time; None where nothing of that worker is here."""
        if not self.folder_of(wallet).is_dir():
            return None
        days = [self._file(wallet, day) for day in self.days(wallet) if first <= day <= last]
        return (path.read_text() for path in days)

    def days(self, wallet: str) -> list[int]:
        """The days that worker has published, rising."""
        return sorted(int(path.stem) for path in self.folder_of(wallet).glob("*.jsonl"))

    def read(self, wallet: str, day: int) -> Ledger | None:
        """What that worker has published of one day; None where it has not."""
        try:
            return parse(self._file(wallet, day).read_text().splitlines())
        except FileNotFoundError:
            return None

    def folder_of(self, wallet: str) -> Path:
        """Where that worker's days lie, a file each; BadInputError for what is no address."""
        return self._folder / address(wallet).lower()

    def _file(self, wallet: str, day: int) -> Path:
        return self.folder_of(wallet) / f"{day:06d}.jsonl"
