"""Results as they come in, with the engine on a real database: which one counts, and what is left on the disk."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from eth_account import Account
from sqlalchemy import select

from chain.wallet import Wallet
from poco.hexes import keccak, to_hex
from poco.ids import result_hash
from poco.states import ReplicateStatus as R
from poco.states import TaskStatus
from scheduler import model as m
from scheduler import store
from scheduler import tables as t
from scheduler.engine import Engine
from scheduler.funds import Funds
from scheduler.presence import Roll
from scheduler.store import Store
from scheduler.uploads import Uploads
from scheduler.web import HttpError

NOW = 1_000_000
T = 300
A, B = (f"0x{n:040x}" for n in (10, 11))


def packed(callback: bytes, more: bytes = b"") -> tuple[bytes, str]:
    """(zip, digest) of a callback's result; `more` is beside it and counts for nothing."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("computed.json", json.dumps({"callback-data": "0x" + callback.hex()}))
        archive.writestr("more", more)
    return out.getvalue(), to_hex(keccak(callback))


async def stream(data: bytes, halfway: asyncio.Event | None = None) -> AsyncIterator[bytes]:
    yield data[:100]
    if halfway is not None:
        await halfway.wait()
    yield data[100:]


class Desk:
    """A scheduler's desk for results, and a callback task of trust 1 that A runs."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "scheduler.db")
        wallet = Wallet(Account.create())
        self.engine = Engine(self.store, Roll(30, 120), Funds(None, ""), wallet, clock=lambda: NOW)  # type: ignore[arg-type]
        self.folder = folder / "results"
        self.uploads = Uploads(self.engine, None, self.folder, 10**6)  # type: ignore[arg-type]
        terms = m.TaskTerms("0x" + "11" * 32, "0x" + "33" * 20, True, 1, 5, T, NOW + 7 * T, NOW + 10 * T)
        self.task = terms.task(0).id
        with self.store.write() as db:
            self.engine.add_tasks(db, [terms.task(0)])
        self.apply(m.Initialized(), m.Leased(A, 2))

    def apply(self, *events: m.Event) -> None:
        for event in events:
            self.engine.apply(self.task, event)

    def revealed(self, worker: str, digest: str) -> None:
        agreed = result_hash(self.task, digest)
        self.apply(m.WorkerLost(A), m.Leased(worker, 2), m.Contributed(worker, agreed))
        self.apply(m.ConsensusReached(agreed, NOW + 2 * T), m.Revealed(worker, digest))

    async def take(
        self, worker: str, data: bytes, claimed: str | None = None, halfway: asyncio.Event | None = None
    ) -> str | None:
        headers = {"content-length": str(len(data))}
        state = await self.uploads.take(self.task, worker, headers, stream(data, halfway), claimed)
        return state.location

    def row(self) -> tuple[str, str, bytes]:
        r = t.results.c
        with self.store.read() as db:
            return tuple(db.execute(select(r.worker, r.cid, r.callback_data)).one())  # type: ignore[return-value]

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir() if not path.name.startswith("."))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_delivery_that_was_overtaken_does_not_take_the_place_of_what_was_revealed(desk: Desk) -> None:
    """With its bytes for the callback the other result could never be finalized."""
    (late, claimed), (good, digest) = packed(b"\1"), packed(b"\2")

    async def race() -> None:
        halfway = asyncio.Event()
        delivery = asyncio.create_task(desk.take(A, late, claimed, halfway))
        await asyncio.sleep(0.1)
        desk.revealed(B, digest)
        location = await desk.take(B, good)
        assert location is not None
        halfway.set()
        with pytest.raises(HttpError) as refused:
            await delivery
        assert refused.value.code == "NOT_ALONE"
        assert desk.row() == (B, location.removeprefix("/ipfs/"), b"\2")
        assert desk.files() == [location.removeprefix("/ipfs/")]

    asyncio.run(race())
    with desk.store.read() as db:
        task = store.load_task(db, desk.task)
        kinds = list(db.execute(select(t.outbox.c.kind, t.outbox.c.location)))
    assert task is not None
    assert task.status is TaskStatus.RESULT_UPLOADED
    assert (m.Tx.FINALIZE.value, task.location) in kinds


def test_two_workers_of_a_task_do_not_fill_the_disk_by_turns(desk: Desk) -> None:
    """What one has delivered stays as long as it may finalize with it; the other contributes like any other."""
    desk.apply(m.WorkerLost(A), m.Leased(B, 2), m.Reported(A, R.COMPUTED))

    async def by_turns() -> None:
        for number in range(3):
            for worker in (A, B):
                data, digest = packed(b"\1", f"{worker} {number}".encode())
                with suppress(HttpError):
                    await desk.take(worker, data, digest)

    asyncio.run(by_turns())
    worker, cid, _ = desk.row()
    assert (worker, desk.files()) == (A, [cid])
