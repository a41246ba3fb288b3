"""One run of an app over many files: a deal for each, written down step by step, so that it goes on where it stopped.

A request is signed and written down before its deal is made. Whoever comes back sends the very same request, which the
hub takes only once: nothing is paid twice, wherever it was interrupted.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from poco import ids
from poco.errors import BadInputError
from poco.orders import AppOrder, RequestOrder
from sdk.client import Client, Matched, Wish
from sdk.inputs import Input
from sdk.preflight import Orders

FILE = ".pew-run.json"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file: what was signed for it, its deal and task, and how that ended (`DONE`, `FAILED`; empty: not yet)."""

    name: str
    cid: str
    request: dict[str, Any] | None = None
    deal: str = ""
    task: str = ""
    state: str = ""
    why: str = ""
    files: tuple[str, ...] = ()


class Bag:
    """The entries of a run, kept in `<folder>/.pew-run.json`.

    Args:
        folder: takes a folder for each file.
        terms: what the run is (network, wallet, app, arguments, ...): it goes on only with the same.
    """

    def __init__(self, folder: Path, terms: dict[str, Any]) -> None:
        self.folder = folder
        self._path = folder / FILE
        self.terms = terms
        self.entries: dict[str, Entry] = {}

    def load(self, inputs: Sequence[Input], *, again: bool) -> None:
        """Read what an earlier run wrote down and add what is new.

        Args:
            inputs: the files of this run.
            again: forget the failed ones, so that they are run anew.

        Raises:
            BadInputError: it was another run, a file has changed since, or the notes cannot be read.
        """
        kept: dict[str, Entry] = {}
        if self._path.exists():
            try:
                data = json.loads(self._path.read_text())
                terms = data["terms"]
                kept = {e["name"]: Entry(**{**e, "files": tuple(e["files"])}) for e in data["entries"]}
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise BadInputError(f"{self._path} cannot be read: {error}", hint="name another --output") from None
            if terms != self.terms:
                changed = ", ".join(name for name in self.terms if terms.get(name) != self.terms[name])
                raise BadInputError(
                    f"{self.folder} holds a run with another {changed}", hint="name another folder with --output"
                )
        for given in inputs:
            known = kept.get(given.name)
            if known is not None and known.cid != given.cid:
                raise BadInputError(
                    f"{given.path} has changed since its run in {self.folder}", hint="name another folder with --output"
                )
            if known is None or (again and known.state == "FAILED"):
                kept[given.name] = Entry(given.name, given.cid)
        self.entries = kept

    def put(self, entry: Entry, **changes: Any) -> Entry:
        """Change an entry, on disk before this returns."""
        entry = replace(entry, **changes)
        self.entries[entry.name] = entry
        self.folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"terms": self.terms, "entries": [asdict(e) for e in self.entries.values()]}, indent=1)
        part = self._path.with_suffix(".part")
        with part.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(self._path)
        return entry

    def where(self, entry: Entry) -> Path:
        """The folder of one file's result."""
        return self.folder / entry.name

    @contextmanager
    def alone(self) -> Iterator[None]:
        """BadInputError while another process is at the same run."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".pew-run.lock").open("w") as held:
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise BadInputError(f"another pew is at {self.folder}", hint="wait for it, or end it") from None
            yield


def order(client: Client, entry: Entry, wish: Wish, own: AppOrder | None) -> Orders:
    """Orders for an entry's deal: with the request that was signed before, where there is one."""
    if entry.request is None:
        return client.best_orders(wish, own)
    request = RequestOrder.from_json(entry.request)
    return replace(client.best_orders(replace(wish, workerpool=request.workerpool), own), request=request)


def made(client: Client, entry: Entry) -> Matched | None:
    """The deal of an entry, where it was made, also by a process that did not live to write it down."""
    if entry.deal:
        return client.matched(entry.deal)
    if entry.request is None:
        return None
    mark = RequestOrder.from_json(entry.request).hash(client.chain.deployment.domain)
    return client.matched(ids.deal_id(mark, 0)) if client.chain.consumed(mark) else None


def match(client: Client, bag: Bag, entry: Entry, orders: Orders) -> tuple[Entry, Matched]:
    """Write the signed request down, then make the deal, then write that down."""
    orders = client.signed(orders)
    entry = bag.put(entry, request=orders.request.as_json())
    deal = made(client, entry) or client.match(orders)
    return bag.put(entry, deal=deal.deal_id, task=deal.task_ids[0]), deal
