"""`GET /metrics` (Prometheus text format 0.0.4) and `GET /health`; no label is a worker or a task."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from poco.errors import PewError
from poco.states import Presence, TaskStatus
from scheduler import store
from scheduler import tables as t
from scheduler.engine import Engine
from scheduler.exposition import counter, gauge, histogram
from scheduler.load import BOUNDS, Load
from scheduler.model import Tx
from scheduler.presence import Seen
from scheduler.quarters import Quarters
from scheduler.replica import Replica
from scheduler.views import Views

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
#: One look at store and chain serves all who ask so soon after each other, seconds.
KEPT_SECONDS = 1.0
#: Bounds of states of charge; the last holds all that tell one.
CHARGES = (0.1, 0.2, 0.4, 0.6, 0.8, 1.01)
#: A worker that is lost for longer has been taken away.
MISSING_SECONDS = 86_400
#: What the meters of workers say, summed over those that are there: name in `Energy`, help.
_METERS = {
    "harvested_wh": "Energy harvested since the journals of the workers began, watt-hours",
    "consumed_wh": "Energy consumed since the journals of the workers began, watt-hours",
    "stored_wh": "Energy in the batteries now, watt-hours",
    "harvest_w": "Power harvested now, watts",
    "load_w": "Power drawn now, watts",
}
_MONEY = {
    "stake_nrlc": "Free stake of the scheduler in escrow, nRLC",
    "locked_nrlc": "Locked stake of the scheduler, nRLC",
    "native_wei": "Native coin of the scheduler, for gas, wei",
    "missing_nrlc": "What the standing orders of the pool need beyond the free stake, nRLC",
}


class Metrics:
    """Reads only."""

    def __init__(self, engine: Engine, replica: Replica, views: Views, load: Load) -> None:
        self._engine, self._replica, self._views, self._load = engine, replica, views, load
        self._quarters = Quarters(engine.store, engine.clock)
        self._lock = threading.Lock()
        self._text: tuple[float, str] = (0.0, "")
        self._started = time.time()

    def health(self) -> dict[str, Any]:
        """`ok`, and by part what is wrong; empty where nothing is. The outbox's trouble is told, and is the chain's."""
        said = {"store": "", "chain": self._replica.trouble, "threads": "", "outbox": self._replica.sending_trouble}
        if not said["chain"] and not self._replica.caught_up:
            said["chain"] = "it is not read up to its end yet"
        alive = {thread.name for thread in threading.enumerate()}
        missing = sorted({"clock", *self._replica.threads} - alive)
        if missing:
            said["threads"] = f"ended: {', '.join(missing)}"
        try:
            with self._engine.store.read() as db:
                store.get_meta(db, "block")
        except Exception as error:  # whatever the database says
            said["store"] = f"{type(error).__name__}"
        return {"ok": not (said["store"] or said["chain"] or said["threads"]), **said}

    def text(self) -> str:
        """All series."""
        with self._lock:
            read_at, text = self._text
            if not text or time.monotonic() - read_at >= KEPT_SECONDS:
                text = "".join(self._series())
                self._text = (time.monotonic(), text)
        return text

    def _series(self) -> Iterable[str]:
        parts = (self._fleet, self._means, self._traffic, self._process)
        stored, trouble = [], False
        try:
            for part in (self._work, self._telemetry):
                stored += list(part())
        except (PewError, SQLAlchemyError):  # all else can still be told
            trouble = True
        yield from (text for part in parts for text in part())
        yield from stored
        yield gauge("pew_store_trouble", "1 where the database cannot be read", [({}, trouble)])

    def _fleet(self) -> Iterable[str]:
        now = self._engine.clock()
        roll = self._engine.roll
        here = dict.fromkeys(Presence, 0)
        sums, metered, charges = dict.fromkeys(_METERS, 0.0), 0, []
        for seen in roll.all():
            presence = roll.presence(seen, now)
            here[presence] += 1
            if presence is Presence.LOST or not seen.energy:
                continue
            metered += any(name in seen.energy for name in _METERS)
            for name in _METERS:
                sums[name] += seen.energy.get(name) or 0.0
            if seen.energy.get("soc") is not None:
                charges.append(float(seen.energy["soc"]))
        yield gauge("pew_workers", "Workers by presence", [({"presence": p.value}, n) for p, n in here.items()])
        missing = sum(_is_missing(seen, roll.presence(seen, now), now) for seen in roll.all())
        yield gauge("pew_workers_missing", "Lost for less than a day, and had not said that they go", [({}, missing)])
        yield gauge("pew_workers_metered", "Workers whose meter says something", [({}, metered)])
        for name, help_text in _METERS.items():
            yield gauge(f"pew_energy_{name}", help_text, [({}, sums[name])])
        if charges:
            ranks = {"least": min(charges), "mean": sum(charges) / len(charges)}
            yield gauge("pew_energy_soc", "State of charge, 0 to 1", [({"of": k}, v) for k, v in ranks.items()])
        below = [({"below": str(bound)}, sum(charge < bound for charge in charges)) for bound in CHARGES]
        yield gauge("pew_workers_charged", "Workers by state of charge, each in all classes above it", below)

    def _work(self) -> Iterable[str]:
        o = t.outbox.c
        with self._engine.store.read() as db:
            counts = store.count_by_status(db)
            wanted = db.scalar(select(func.count()).select_from(t.tasks).where(t.tasks.c.wanted)) or 0
            query = select(o.kind, func.count()).where(o.status.in_((store.QUEUED, store.SENT))).group_by(o.kind)
            queued = {row[0]: row[1] for row in db.execute(query)}
            first = db.scalar(select(func.min(t.tasks.c.contribution_deadline)).where(t.tasks.c.wanted))
            self._engine.tally.price(db)
        polls, mail = self._engine.bell.counts()
        waiting = [({"kind": kind.value}, queued.get(kind.value, 0)) for kind in Tx]
        tasks = [({"status": status.value}, counts.get(status.value, 0)) for status in TaskStatus]
        yield gauge("pew_tasks", "Tasks by status", tasks)
        yield gauge("pew_tasks_wanting_a_worker", "Tasks that one more worker is sought for", [({}, wanted)])
        if first is not None:
            margin = first - self._engine.now()
            yield gauge(
                "pew_tasks_least_margin_seconds", "Until the first of them can no longer be done", [({}, margin)]
            )
        yield gauge("pew_outbox_waiting", "Transactions that wait or are on their way, by kind", waiting)
        yield gauge("pew_workers_polling", "Workers with an open poll", [({}, polls)])
        yield gauge("pew_workers_with_mail", "Workers with notifications not acknowledged", [({}, mail)])

        yield self._engine.tally.text()

    def _telemetry(self) -> Iterable[str]:
        yield self._quarters.text()

    def _means(self) -> Iterable[str]:
        money = self._views.money()
        for name, help_text in _MONEY.items():
            if name in money:
                yield gauge(f"pew_money_{name}", help_text, [({}, money[name])])
        w = self._replica
        yield gauge("pew_leader", "1 in the scheduler that leads", [({}, w.leading is not None)])
        if (bridge := w.bridge) is not None:
            yield gauge(
                "pew_broker_connected", "1 where the leader is connected to the broker", [({}, bridge.connected)]
            )
            yield gauge("pew_broker_workers", "Workers that are connected to the broker", [({}, bridge.online)])
        yield gauge("pew_chain_block", "The last block that was read", [({}, w.block)])
        trouble = bool(w.trouble or not w.caught_up)
        yield gauge("pew_chain_trouble", "1 where the chain cannot be read up to its end", [({}, trouble)])
        yield gauge("pew_outbox_trouble", "1 where nothing can be sent", [({}, bool(w.sending_trouble))])

    def _traffic(self) -> Iterable[str]:
        load = self._load
        answers = [({"method": m, "status": f"{c}xx"}, n) for (m, c), n in sorted(load.answers.items())]
        yield counter("pew_http_answers_total", "HTTP answers", answers)
        yield counter("pew_sent_away_total", "Calls refused for too much load", [({}, load.sent_away)])
        yield gauge("pew_polls_open", "Polls held open", [({}, load.polls)])
        yield gauge("pew_polls_max", "Polls that may be held open", [({}, load.max_polls)])
        yield gauge("pew_calls_open", "Other calls worked on", [({}, load.calls)])
        help_text = "From something to answer (poll), or request (status), to the answer"
        yield histogram("pew_latency_seconds", help_text, "kind", BOUNDS, load.histograms())

    def _process(self) -> Iterable[str]:
        used = resource.getrusage(resource.RUSAGE_SELF)
        cpu = used.ru_utime + used.ru_stime
        yield counter("process_cpu_seconds_total", "CPU time, seconds", [({}, round(cpu, 3))])
        yield gauge("process_start_time_seconds", "Start, Unix seconds", [({}, round(self._started, 3))])
        yield gauge("process_max_fds", "Files it may open", [({}, resource.getrlimit(resource.RLIMIT_NOFILE)[0])])
        proc = Path("/proc/self")
        if proc.is_dir():  # Linux
            pages = int((proc / "statm").read_text().split()[1])
            resident = pages * resource.getpagesize()
            yield gauge("process_resident_memory_bytes", "Resident memory, bytes", [({}, resident)])
            yield gauge("process_open_fds", "Files it has open", [({}, sum(1 for _ in (proc / "fd").iterdir()))])


def _is_missing(seen: Seen, presence: Presence, now: float) -> bool:
    return presence is Presence.LOST and seen.said is not Presence.DRAINING and now - seen.last_seen < MISSING_SECONDS
