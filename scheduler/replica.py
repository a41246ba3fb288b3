"""One scheduler among those of its pool: it leads while it holds the lease, and follows while another does.

Every replica serves HTTP and leases tasks to the workers that poll there. The leader alone reads the chain, ticks and
sends transactions; what it writes is fenced (`scheduler.lease`). Followers see the chain through what the leader has
stored. With a database of its own (SQLite) a process always leads.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chain.client import Chain
from poco.errors import PewError
from scheduler import store
from scheduler.broker import Bridge
from scheduler.engine import Engine
from scheduler.lease import Lease, Seen
from scheduler.log import log
from scheduler.outbox import Outbox
from scheduler.watcher import Watcher

#: How often a process looks at what the others have stored.
LOOK_SECONDS = 1.0
#: How long a follower waits for the leader to have read the chain.
READ_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Duties:
    """What the leader runs, through an engine whose writes are fenced."""

    engine: Engine
    watcher: Watcher
    outbox: Outbox
    bridge: Bridge | None = None

    def start(self) -> None:
        self.watcher.start()
        self.outbox.start()
        if self.bridge is not None:
            self.bridge.start()

    def stop(self) -> None:
        if self.bridge is not None:
            self.bridge.stop()
        self.outbox.stop()
        self.watcher.stop()


class Replica(threading.Thread):
    """Keeps the lease, or waits for it.

    Args:
        appoint: makes the leader's duties, not started, for an engine.
        lease_seconds: how long the lease lasts without being renewed.
    """

    def __init__(
        self, engine: Engine, chain: Chain, lease: Lease, appoint: Callable[[Engine], Duties], lease_seconds: float
    ) -> None:
        super().__init__(name="replica", daemon=True)
        self._engine = engine
        self._chain = chain
        self._lease = lease
        self._appoint = appoint
        self._every = min(LOOK_SECONDS, lease_seconds / 4)
        self._stopping = threading.Event()
        self._duties: Duties | None = None
        self._epoch = 0
        self._seen = Seen()

    def start(self) -> None:
        """Lead at once where nobody does."""
        self._step()
        super().start()

    def run(self) -> None:
        while not self._stopping.wait(self._every):
            try:
                self._step()
            except Exception as error:  # the database is away: whoever leads writes nothing meanwhile
                log("replica_failed", level="error", error=repr(error))

    def stop(self) -> None:
        """Stop what the leader runs, then let another lead."""
        self._stopping.set()
        if self.is_alive():
            self.join(30)
        duties, self._duties = self._duties, None
        if duties is not None:
            duties.stop()
            try:
                self._lease.release(self._epoch)
            except PewError as error:
                log("lease_not_released", level="warning", error=error.message)

    def _step(self) -> None:
        if self._duties is not None:
            self._stay(self._duties)
        else:
            epoch = self._lease.acquire()
            if epoch is not None:
                self._lead(epoch)
        self._seen = self._lease.look()
        if self._engine.store.shared is not None:
            self.look_around()

    def _lead(self, epoch: int) -> None:
        log("leads", epoch=epoch)
        self._epoch = epoch
        guarded = self._engine.store.guarded(lambda db: self._lease.require(db, epoch))
        duties = self._appoint(self._engine.on(guarded))
        self._engine.roll.look_again()
        self._duties = duties
        duties.start()

    def _stay(self, duties: Duties) -> None:
        if not self._lease.renew(self._epoch, _state(duties)):
            log("leads_no_longer", level="warning", epoch=self._epoch)
            self._duties = None
            # it may just wait for the chain; its writes fail from now on
            threading.Thread(target=duties.stop, name="resign", daemon=True).start()

    def look_around(self) -> None:
        """Take over what other processes have stored, whether or not a signal of it came."""
        engine = self._engine
        with engine.store.read() as db:
            engine.roll.merge(db, engine.now())
            waiting = store.waiting_workers(db)
        polling = engine.bell.open_polls()
        engine.bell.load(waiting - polling)
        for wallet in waiting & polling:
            engine.bell.ring(wallet)

    # --- what others ask

    @property
    def leading(self) -> Engine | None:
        """The engine with which the leader writes; None in a follower."""
        duties = self._duties
        return duties.engine if duties is not None else None

    @property
    def watcher(self) -> Watcher | None:
        """The leader's; None in a follower."""
        duties = self._duties
        return duties.watcher if duties is not None else None

    @property
    def bridge(self) -> Bridge | None:
        """The leader's way to the MQTT broker; None in a follower, and where there is no broker."""
        duties = self._duties
        return duties.bridge if duties is not None else None

    @property
    def threads(self) -> frozenset[str]:
        """Names of the threads that must live."""
        return frozenset({"replica", "watcher", "outbox"} if self._duties is not None else {"replica"})

    def look(self) -> bool:
        """Have the chain read as far as it goes now; False where that failed."""
        if (watcher := self.watcher) is not None:
            return watcher.look()
        try:
            head = self._chain.block_number()
        except PewError:
            return False
        end = time.monotonic() + READ_SECONDS
        while not self._stopping.is_set() and time.monotonic() < end:
            if self._stored_block() >= head:
                return True
            time.sleep(0.05)
        return False

    def _stored_block(self) -> int:
        with self._engine.store.read() as db:
            return int(store.get_meta(db, "block") or -1)

    @property
    def block(self) -> int:
        """The last block that was read; -1 before the first."""
        return int(self._now()["block"])

    @property
    def caught_up(self) -> bool:
        """Whether everything up to the chain's end has been read at least once."""
        return bool(self._now()["caught_up"])

    @property
    def trouble(self) -> str:
        """Why the chain cannot be read now; empty where it can."""
        return str(self._now()["trouble"])

    @property
    def sending_trouble(self) -> str:
        """Why nothing can be sent now; empty where it can."""
        return str(self._now()["sending_trouble"])

    @property
    def ready(self) -> bool:
        """Whether tasks are as the chain has them, so that they may be given to workers."""
        now = self._now()
        return bool(now["caught_up"]) and not now["trouble"]

    def status(self) -> dict[str, Any]:
        """Which part this process has: `leading`, the lease's `epoch` and `holder`."""
        return {"leading": self._duties is not None, "epoch": self._seen.epoch, "leader": self._seen.holder}

    def _now(self) -> dict[str, Any]:
        duties, seen = self._duties, self._seen
        if duties is not None:
            return _state(duties)
        if not seen.live:
            return {
                "block": -1,
                "caught_up": False,
                "trouble": "no scheduler of this pool leads",
                "sending_trouble": "",
            }
        return {"block": -1, "caught_up": False, "trouble": "", "sending_trouble": "", **seen.state}


def _state(duties: Duties) -> dict[str, Any]:
    watcher = duties.watcher
    said = {"block": watcher.block, "caught_up": watcher.caught_up, "trouble": watcher.trouble}
    return {**said, "sending_trouble": duties.outbox.trouble}
