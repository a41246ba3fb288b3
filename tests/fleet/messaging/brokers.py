"""The brokers, started as a pool's operator has them, and both ends of a pool's messages without its chain."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from eth_account import Account

from chain.wallet import Wallet
from ops.mosquitto import start_pool_broker
from ops.nats import start_nats
from ops.ports import free_port
from ops.stack import Stack
from poco.commands import CommandKind
from poco.topics import BrokerAccess
from poco.wire import Poll, WorkerInfo
from scheduler import store
from scheduler.broker import Bridge, Broker
from scheduler.config import BrokerConfig
from scheduler.engine import Engine
from scheduler.fleet_commands import Signer
from scheduler.funds import Funds
from scheduler.presence import Roll
from scheduler.store import Store
from worker import core
from worker.commands import Judge
from worker.config import MessagingConfig
from worker.core import Event, Stance, Worker
from worker.journal import Journal
from worker.log import Log
from worker.messaging import Messenger
from worker.orders import Reply
from worker.postbox import Postbox

POOL = "0x5FC8d32690cc91D4c39d9d3abcBD16989F875707"
CHAIN_ID = 1337
KINDS = ("mosquitto", "nats")
_START: dict[str, Callable[..., Any]] = {"mosquitto": start_pool_broker, "nats": start_nats}


def until(question: Callable[[], Any], what: str, seconds: float = 30) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := question():
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited {seconds} s for: {what}")


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of this machine's loopback, which vouches for itself."""
    made = folder / "broker.pem", folder / "broker.key"
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    argv += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run([*argv, "-keyout", made[1], "-out", made[0]], check=True, capture_output=True)
    return made


class TheBroker:
    """A broker of one kind on loopback, with TLS; it can be killed and started again."""

    def __init__(self, stack: Stack, kind: str, folder: Path) -> None:
        self._stack, self.kind, self.name = stack, kind, f"{kind}-{folder.name}"
        self.port, self.tls = free_port(), certificate(folder)
        self.config = BrokerConfig(
            host="127.0.0.1",
            port=self.port,
            ca_file=self.tls[0],
            users_file=folder / "users.conf",
            users_format=kind,
            pid_file=stack.run_dir / self.name / "pid",
            keepalive_seconds=10,
        )
        self.start()

    def start(self) -> None:
        assert self.config.users_file is not None
        _START[self.kind](self._stack, self.port, self.config.users_file, name=self.name, tls=self.tls)

    def stop(self) -> None:
        self._stack.stop_process(self.name)


class PoolEnd:
    """The scheduler's end: engine, store and bridge are real, the chain is not needed."""

    def __init__(self, folder: Path, broker: TheBroker) -> None:
        self.owner = Wallet(Account.create())
        self.database = Store(folder / "scheduler.db")
        seal = Signer(self.owner, CHAIN_ID, POOL).signed
        self.engine = Engine(self.database, Roll(30, 120), Funds(None, ""), self.owner, seal=seal)  # type: ignore[arg-type]
        self.broker = Broker(broker.config, self.engine, CHAIN_ID, POOL)
        self.bridge: Bridge | None = None

    def lead(self) -> None:
        self.bridge = self.broker.bridge()
        self.bridge.start()

    def resign(self) -> None:
        if self.bridge is not None:
            self.bridge.stop()
            self.bridge = None

    def register(self, wallet: str) -> None:
        info = WorkerInfo(name="roof", platforms=["linux/arm64"], cpus=1, memory_mb=64, disk_mb=64)
        with self.database.write() as db:
            store.ensure_worker(db, wallet, 1)
        self.engine.roll.register(wallet, info, self.engine.now())
        poll = Poll(presence="WAITING", free_slots=1, acked=0, wait_seconds=1800)
        self.engine.roll.heard(wallet, poll, self.engine.now(), self.engine.clock() + 1800)

    def close(self) -> None:
        self.resign()
        self.database.close()


class Access:
    """What a worker's link is to its messenger: who it is, and what the scheduler lets it know."""

    def __init__(self, pool: PoolEnd, wallet: str) -> None:
        self._pool, self.wallet, self.chain_id = pool, wallet, CHAIN_ID

    def broker(self) -> BrokerAccess:
        return self._pool.broker.access(self.wallet)

    def close(self) -> None:
        """Nothing was opened."""


class WorkerEnd:
    """A worker's end: journal, core and messenger are real; it polls nothing."""

    def __init__(self, folder: Path, pool: PoolEnd, broker: TheBroker) -> None:
        self.wallet = Wallet(Account.create()).address
        pool.register(self.wallet)
        self.journal = Journal(folder / f"{self.wallet}.db")
        self.postbox = Postbox(self.journal, 900)
        self.state = Worker(slots=1, stance=Stance(willing=True))
        self.replies: list[Reply] = []
        self.polled = 0
        self.over = threading.Event()
        self.log: list[str] = []
        link: Any = Access(pool, self.wallet)
        self.messenger = Messenger(
            MessagingConfig(ca_file=broker.tls[0]), POOL, link=link,
            judge=Judge(CHAIN_ID, POOL, self.wallet, tuple(CommandKind)), postbox=self.postbox,
            state=lambda: self.state, owner=lambda: pool.owner.address, tell=self.tell, poll_now=self.poll_now,
            log=Log(stream=self, worker="test"),  # type: ignore[arg-type]
        )  # fmt: skip
        self.thread: threading.Thread | None = None

    def write(self, text: str) -> None:
        self.log.append(text)

    def flush(self) -> None:
        pass

    def tell(self, event: Event) -> None:
        after, said = core.step(self.state, event, int(time.time()))
        replies = [each for each in said if isinstance(each, Reply)]
        self.journal.commit(self.state, after, replies, int(time.time()))
        self.replies += replies
        self.state = after

    def poll_now(self) -> None:
        self.polled += 1

    def start(self) -> WorkerEnd:
        self.over.clear()
        self.thread = threading.Thread(target=self.messenger.run, args=(self.over,), daemon=True)
        self.thread.start()
        return self

    def connected(self) -> WorkerEnd:
        until(lambda: self.messenger.hold_seconds, f"the broker to take the worker: {self.log[-2:]}", 60)
        return self

    def stop(self) -> None:
        self.over.set()
        if self.thread is not None:
            self.thread.join(20)

    def asleep(self, resume_at: int | None) -> None:
        """Begin or end a sleep."""
        self.state = self.state.model_copy(
            update={"stance": Stance(willing=resume_at is None, asleep=resume_at is not None, resume_at=resume_at)}
        )
