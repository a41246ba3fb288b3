"""What a rollout has sent, on disk before it leaves: one JSON object a line, each synced, nothing ever rewritten.

A run that was killed at any moment is gone on with from here: a step's signed transactions are known, so it is found
again on chain by its receipt, or the same bytes are sent again. A last line that was cut off is dropped.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from eth_utils.crypto import keccak
from rlp import encode as rlp_encode  # type: ignore[import-untyped]

from chain.book import Ended, Prepared
from chain.nonces import Attempt, Lease
from poco.errors import BadInputError, PewError
from poco.hexes import address, to_bytes, to_hex


@dataclass(frozen=True, slots=True)
class Entry:
    """A step that was sent: its lease, and how that ended (None: it has not)."""

    lease: Lease
    ended: Ended | None = None

    @property
    def mined(self) -> bool:
        return self.ended is not None and self.ended.state == "MINED"

    @property
    def sent(self) -> Prepared:
        """The transaction that counts: the mined one, else the last."""
        wanted = self.ended.tx_hash if self.ended is not None and self.ended.tx_hash else self.lease.last.tx_hash
        attempt = next(each for each in self.lease.attempts if each.tx_hash == wanted)
        return Prepared(attempt.tx_hash, attempt.raw)


def created(deployer: str, nonce: int) -> str:
    """The address of a contract that an account creates with that nonce (yellow paper, 7): known before it is sent."""
    return address(to_hex(keccak(rlp_encode([to_bytes(deployer), nonce]))[12:]))


class Journal:
    """The journal of one network; a `chain.book.Book` for the deployer's wallet.

    Args:
        path: of the file.
        head: what must stay as it is while a rollout goes on: chain, deployer, build. Only checked with `write`.
        write: hold the file for this process, and begin it where there is none.

    Raises:
        BadInputError: another process holds it, it is not a journal, or it began with another `head`.
    """

    def __init__(self, path: Path, head: dict[str, Any], *, write: bool = False) -> None:
        self.path = path
        self.entries: dict[str, Entry] = {}
        self.head: dict[str, Any] = {}
        self._lock = threading.RLock()
        self._file: int | None = None
        if write:
            self._take()
        try:
            self._read()
            self._agree(head)
            if write and not self.head:
                self.head = head
                self._write({"kind": "begin", **head})
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let another process have it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    # chain.book.Book

    def open(self) -> list[Lease]:
        with self._lock:
            return [entry.lease for entry in self.entries.values() if entry.ended is None]

    def keep(self, step: str, prepared: Prepared, now: int) -> None:
        line: dict[str, Any] = {"kind": "keep", "step": step, "nonce": prepared.nonce, "at": now}
        if prepared.to == "0x":
            line["address"] = created(str(self.head["deployer"]), prepared.nonce)
        with self._lock:
            self._write({**line, "tx": prepared.tx_hash, "raw": to_hex(prepared.raw)})
            self._keep(step, prepared, now)

    def end(self, lease: Lease, ended: Ended) -> None:
        line = {"state": ended.state, "tx": ended.tx_hash, "block": ended.block, "cost_wei": ended.cost_wei}
        with self._lock:
            self._write({"kind": "end", "step": lease.step, **line})
            self.entries[lease.step] = replace(self.entries[lease.step], ended=ended)

    def reopen(self, step: str) -> Lease:
        """A step that was done is not on the chain any more: its lease goes on, with the same bytes."""
        with self._lock:
            self._write({"kind": "reopen", "step": step})
            self.entries[step] = replace(self.entries[step], ended=None)
            return self.entries[step].lease

    # the file

    def _take(self) -> None:
        fresh = not self.path.exists()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise BadInputError(
                f"another rollout is writing {self.path}", hint="wait until it ends; then go on with apply"
            ) from None
        except OSError as error:
            raise BadInputError(f"{self.path} cannot be written: {error.strerror}", hint="check the folder") from None
        if fresh:
            folder = os.open(self.path.parent, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)

    def _read(self) -> None:
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return
        whole = raw.rfind(b"\n") + 1
        if self._file is not None and whole < len(raw):
            os.ftruncate(self._file, whole)
            os.fsync(self._file)
        for number, line in enumerate(raw[:whole].splitlines(), 1):
            try:
                self._apply(json.loads(line))
            except (ValueError, KeyError, TypeError, BadInputError):
                raise BadInputError(
                    f"{self.path}, line {number}: not a line of a rollout's journal", hint="restore it from a backup"
                ) from None

    def _apply(self, line: dict[str, Any]) -> None:
        match line["kind"]:
            case "begin":
                self.head = {name: value for name, value in line.items() if name != "kind"}
            case "keep":
                self._keep(str(line["step"]), Prepared(str(line["tx"]), to_bytes(line["raw"])), int(line["at"]))
            case "end":
                ended = Ended(str(line["state"]), line["tx"], line["block"], line["cost_wei"])
                self.entries[line["step"]] = replace(self.entries[line["step"]], ended=ended)
            case "reopen":
                self.entries[line["step"]] = replace(self.entries[line["step"]], ended=None)
            case other:
                raise ValueError(other)

    def _keep(self, step: str, prepared: Prepared, now: int) -> None:
        known = self.entries.get(step)
        before = known.lease.attempts if known is not None and known.ended is None else ()
        attempt = Attempt(prepared.tx_hash, prepared.raw, now)
        # a step that is sent once more stands behind those that were sent before
        self.entries.pop(step, None) if not before else None
        self.entries[step] = Entry(Lease(step, prepared.nonce, (*before, attempt)))

    def _agree(self, head: dict[str, Any]) -> None:
        for name, value in head.items():
            if self.head and self.head.get(name) != value:
                raise BadInputError(
                    f"{self.path} began with another {name} ({self.head.get(name)}, now {value})",
                    hint="go on with the same one; for a deployment from the beginning move the journal away",
                )

    def _write(self, line: dict[str, Any]) -> None:
        if self._file is None:
            raise PewError("the journal is open for reading only")
        raw = json.dumps(line).encode() + b"\n"
        try:
            written = os.write(self._file, raw)
            if written != len(raw):
                raise OSError(None, "the disk is full")
            os.fsync(self._file)
        except OSError as error:
            raise PewError(
                f"{self.path} cannot be written: {error.strerror}; nothing more was sent",
                hint="make room on the disk, then go on with apply",
            ) from None
