"""A bag of many tasks in one deal: how long it takes to read, what the store is held for, gas and seconds to begin it.

`python -m benchmarks.bags [--tasks 10000] [--out build/bench/bags.json]`: Anvil, the real contracts, the scheduler's
own watcher and outbox on a fresh SQLite store; every task is initialized (as if the fleet were that large).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from chain import deployment
from chain import wallet as wallets
from chain.client import Chain
from chain.fees import FeePolicy
from chain.transactions import Sender
from chain.wallet import Wallet
from ops.ports import free_port
from ops.services import deploy_contracts, start_anvil
from ops.stack import Stack
from poco.hexes import to_hex
from poco.orders import NO_DATASET, AppOrder, RequestOrder, WorkerpoolOrder
from poco.states import TaskStatus
from scheduler import outbox as outboxes
from scheduler import store
from scheduler.engine import Engine
from scheduler.funds import Funds
from scheduler.outbox import Outbox
from scheduler.presence import Roll
from scheduler.store import Store
from scheduler.watcher import Watcher


class Waits:
    """How long another writer has to wait for the store, seconds."""

    def __init__(self, database: Store) -> None:
        self.longest = 0.0
        self._database = database
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)

    def __enter__(self) -> Waits:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _write(self) -> None:
        while not self._over.wait(0.02):
            began = time.monotonic()
            with self._database.write() as db:
                store.set_meta(db, "bench", str(began))
            self.longest = max(self.longest, time.monotonic() - began)


def make_deal(chain: Chain, folder: Path, tasks: int) -> tuple[Wallet, str, int]:
    """(pool owner, pool, gas of the match) of a deal of so many tasks at a price of nothing."""
    web3 = chain.web3
    owner = wallets.create(folder / "owner.json", "x", iterations=1024)
    web3.eth.send_transaction({"from": web3.eth.accounts[0], "to": owner.address, "value": 10**20})  # type: ignore[typeddict-item]
    send = Sender(chain, owner, FeePolicy(1.3, 10**12)).transact
    pools = chain.contract("workerpool_registry", chain.deployment.workerpool_registry).functions
    apps = chain.contract("app_registry", chain.deployment.app_registry).functions
    described, image = (
        (owner.address, "bags"),
        (owner.address, "app", "DOCKER", b"127.0.0.1:5000/a:1", b"\x01" * 32, b""),
    )
    pool, app = pools.predictWorkerpool(*described).call(), apps.predictApp(*image).call()
    send(pools.createWorkerpool(*described))
    send(apps.createApp(*image))
    domain, salt = chain.deployment.domain, to_hex(b"\x07" * 32)
    offers: list[Any] = [
        owner.sign_order(AppOrder(app, volume=tasks, salt=salt), domain),
        NO_DATASET,
        owner.sign_order(WorkerpoolOrder(pool, volume=tasks, category=4, trust=1, salt=salt), domain),
        owner.sign_order(
            RequestOrder(app, owner.address, volume=tasks, category=4, trust=1, beneficiary=owner.address, salt=salt),
            domain,
        ),
    ]
    receipt = send(chain.hub.functions.matchOrders(*(offer.as_tuple() for offer in offers)))
    return owner, str(pool), receipt.gas_used


def measure(chain: Chain, folder: Path, tasks: int) -> dict[str, Any]:
    """The figures for one deal of so many tasks."""
    owner, pool, match_gas = make_deal(chain, folder, tasks)
    database = Store(folder / "scheduler.db")
    engine = Engine(database, Roll(30, 120), Funds(chain, pool), owner)
    watcher = Watcher(engine, chain, pool, 0.2)
    outbox = Outbox(engine, chain, owner, FeePolicy(1.3, 10**12))
    with Waits(database) as waits:
        began = time.monotonic()
        while not watcher.look():
            raise SystemExit(watcher.trouble)
        read = time.monotonic() - began
    held = waits.longest
    outboxes.AHEAD = tasks
    began = time.monotonic()
    watcher.start()
    outbox.start()
    counts: dict[str, int] = {}
    while counts.get(TaskStatus.INITIALIZED.value, 0) < tasks:
        time.sleep(0.2)
        with database.read() as db:
            counts = store.count_by_status(db)
        if time.monotonic() - began > 60 + tasks * 0.2:
            raise SystemExit(f"not begun in time: {counts}, {watcher.trouble} {outbox.trouble}")
    begun = time.monotonic() - began
    outbox.stop()
    watcher.stop()
    spent = _gas(chain)
    database.close()
    return {
        "tasks": tasks,
        "match_gas": match_gas,
        "read_s": round(read, 2),
        "store_wait_max_s": round(held, 3),
        "begin_s": round(begun, 2),
        "transactions": len(spent),
        "gas_per_task": round(sum(spent) / tasks),
    }


def _gas(chain: Chain) -> list[int]:
    """Gas of every transaction that initialized tasks."""
    found: dict[str, int] = {}
    for event in chain.logs(0, chain.block_number(), ["TaskInitialize"]):
        if event.tx_hash not in found:
            receipt = chain.web3.eth.get_transaction_receipt(event.tx_hash)  # type: ignore[arg-type]
            found[event.tx_hash] = int(receipt["gasUsed"])
    return list(found.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=Path("build/bench/bags.json"))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Stack(Path(folder) / "stack", handle_signals=False) as stack:
        port = free_port()
        url = start_anvil(stack, port)
        chain = Chain(url, deployment.load(deploy_contracts(stack, port)))
        figures = measure(chain, Path(folder), given.tasks)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(figures, indent=2) + "\n")
    with suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
