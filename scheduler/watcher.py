"""Reads the hub's events and turns them into events of tasks; notices when the chain takes blocks back."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, insert, select

from chain.abi import TASK_EVENTS
from chain.client import Chain
from chain.endpoints import FORGET_SECONDS
from chain.logs import LogReader
from chain.model import Event
from chain.settings import LOCAL_CHAINS
from poco import params
from poco.consensus import weight
from poco.deadlines import REVEAL_RATIO
from poco.errors import PewError
from scheduler import model as m
from scheduler import reorgs, store
from scheduler import tables as t
from scheduler.engine import Engine
from scheduler.log import log
from scheduler.reorgs import meaning

#: Nodes may know a block before they know its logs: it is read again for so long, now and then,
#: and for a report for a moment.
RECHECK_SECONDS = 10.0
RECHECK_EVERY = 2.0
REPORT_SECONDS = 1.0
#: So many blocks are read again at the start.
RECHECK_BLOCKS = 8
#: Providers may know a log much later than its block: on a chain that is not of this machine what was read in the last
#: ten minutes, and so many blocks before the start, is read again every minute. A deal that is missed loses a stake.
LATE_SECONDS, LATE_EVERY, LATE_STEP = 600.0, 60.0, 10.0
LATE_BLOCKS = 256
#: Tasks of a new deal, and events, in one write to the store.
TASKS_TOGETHER = 500
EVENTS_TOGETHER = 50
#: Looks begin so far apart, seconds: workers' reports ask for them too.
LOOK_SECONDS = 0.03
#: A chain that has not moved is read again after so long.
STILL_SECONDS = 0.5
#: A node that is behind what was read is no trouble for so long: a provider answers for several.
BEHIND_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class _Read:
    """How far the chain was read: hashes of blocks, and the last one."""

    marks: dict[int, str]
    block: int

    def keep(self, db: Connection) -> None:
        reorgs.mark(db, self.marks)
        store.set_meta(db, "block", str(self.block))


class Watcher(threading.Thread):
    """Follows the chain. Where the node is away it keeps trying and says so in `trouble`.

    Args:
        workerpool: whose deals are ours.
        poll_seconds: pause between two looks.
        saw: told the newest block's time, where blocks come by themselves.
    """

    def __init__(
        self,
        engine: Engine,
        chain: Chain,
        workerpool: str,
        poll_seconds: float,
        saw: Callable[[int], None] = lambda _time: None,
    ) -> None:
        super().__init__(name="watcher", daemon=True)
        self._engine = engine
        self._chain = chain
        self._pool = workerpool
        self._saw = saw
        #: seconds between two looks
        self.pause = poll_seconds
        self._stopping = threading.Event()
        self._reading = threading.Lock()
        #: whether the next look is to read again all that was read not long ago
        self._widely = threading.Event()
        #: when the last look began, monotonic
        self._began = -math.inf
        #: why the chain cannot be read now; empty where it can
        self.trouble = ""
        #: the last block that was read; -1 before the first
        self.block = -1
        self._reader = LogReader(chain, TASK_EVENTS)
        #: first block of what was read, and when: not long ago
        self._fresh: list[tuple[int, float]] = []
        #: logs of those blocks that were dealt with: (block, its hash, index)
        self._taken: set[tuple[int, str, int]] = set()
        #: whether the nodes are of this machine
        self._here = chain.deployment.chain_id in LOCAL_CHAINS
        #: blocks that were read not very long ago, and when; and when they were read again
        self._late: deque[tuple[int, float]] = deque()
        self._late_read = -math.inf
        #: the chain's end as it was read last, and when
        self._end: tuple[str, float] | None = None
        #: since when the nodes show less than was read, monotonic; None where they do not
        self._behind_since: float | None = None
        #: whether everything up to the chain's end has been read at least once
        self.caught_up = False

    def run(self) -> None:
        widely = -math.inf
        while not self._stopping.is_set():
            if time.monotonic() - widely >= RECHECK_EVERY:
                self._widely.set()
                widely = time.monotonic()
            self.look()
            self._stopping.wait(self.pause)

    def stop(self) -> None:
        self._stopping.set()
        self.join(30)

    def look(self) -> bool:
        """Read what is new; False where the chain could not be read.

        Those who wait at the same time share one look: any that began after they asked has seen what they are after.
        """
        asked = time.monotonic()
        with self._reading:
            if self._began <= asked:
                time.sleep(max(self._began + LOOK_SECONDS - time.monotonic(), 0))
                self._began = time.monotonic()
                trouble = self._try()
                self.caught_up |= not trouble
                self._say(trouble)
            return not self.trouble

    def _try(self) -> str:
        try:
            self._read()
        except PewError as error:
            return error.message
        except Exception as error:  # a node may send anything
            return f"reading the chain failed: {error!r}"
        return ""

    def _say(self, trouble: str) -> None:
        if trouble != self.trouble:
            log("chain", level="warning" if trouble else "info", trouble=trouble or "none, it is read again")
            self.trouble = trouble

    def _read(self) -> None:
        stale = self._chain.stale(time.time(), self._saw)
        if stale:
            raise PewError(f"out of service: {stale}", hint="the nodes do not follow the chain", code="OUT_OF_SERVICE")
        began, widely = time.monotonic(), self._widely.is_set()
        late = not self._here and began - self._late_read >= LATE_EVERY
        head = self._chain.block_number()
        end = self._chain.block(head)[1]
        still = self._end is not None and self._end[0] == end and began - self._end[1] < STILL_SECONDS
        if still and not widely and not late:
            return
        self._widely.clear()
        self._end = None
        common = self._agreed((head, end), began)
        if common is None:
            return
        self.block = common
        first = self._again_from(common, RECHECK_SECONDS if widely else REPORT_SECONDS)
        if late:
            first = self._late_from(common, began)
        if first > head:
            self._end = end, began
        while first <= head and not self._stopping.is_set():
            found = self._reader.read(first, head, end)
            if found is None:
                return  # the chain is just changing its mind: look again
            events, last, last_hash = found
            self._chain.endpoints.require(last)
            new = [event for event in merged(events) if _place(event) not in self._taken]
            if new or last > self.block:
                marks = {**{event.block: event.block_hash for event in new}, last: last_hash}
                self._take(new, _Read(marks, max(last, self.block)))
            if last > self.block:
                self._fresh.append((self.block + 1, time.monotonic()))
                if not self._late or began - self._late[-1][1] >= LATE_STEP:
                    self._late.append((self.block + 1, began))
                self.block = last
            first = last + 1
            if last_hash == end:
                self._end = end, began
        if late:
            self._late_read = began

    def _agreed(self, end: tuple[int, str], now: float) -> int | None:
        """The last block read that the chain still has; None while a node is behind that for a moment."""
        behind = now - self._behind_since if self._behind_since is not None else 0.0
        # a chain of this machine that is shorter was set back
        patient = not self._here and behind < FORGET_SECONDS
        common = reorgs.agreed(self._engine, self._chain, end, patient=patient)
        self._behind_since = now - behind if common is None else None
        if common is None and not (self.caught_up and behind < BEHIND_SECONDS):
            raise PewError(f"the nodes show block {end[0]}, which is older than what was read", code="BEHIND")
        return common

    def _again_from(self, common: int, seconds: float) -> int:
        """The first block to read: what was read for the first time within `seconds` is read again."""
        now = time.monotonic()
        if not self.caught_up:
            self._fresh = [(common + 1 - RECHECK_BLOCKS, now)]
        self._fresh = [(block, at) for block, at in self._fresh if at > now - RECHECK_SECONDS and block <= common]
        oldest = min((block for block, _ in self._fresh), default=common + 1)
        self._taken = {log for log in self._taken if oldest <= log[0] <= common}
        first = min((block for block, at in self._fresh if at > now - seconds), default=common + 1)
        return max(min(first, common + 1), self._chain.deployment.block)

    def _late_from(self, common: int, now: float) -> int:
        """The first of the blocks that were read not very long ago."""
        if self._late_read == -math.inf:
            self._late.appendleft((common + 1 - LATE_BLOCKS, now))
        while self._late and self._late[0][1] < now - LATE_SECONDS:
            self._late.popleft()
        first = min((block for block, _ in self._late), default=common + 1)
        return max(min(first, common + 1), self._chain.deployment.block)

    # --- events

    def _take(self, events: Sequence[Event], read: _Read) -> None:
        """Store events and what follows from them, each once: a new deal before its tasks, `read` last."""
        waiting: list[Event] = []
        for event in events:
            if event.name != "SchedulerNotice":
                waiting.append(event)
                continue
            if event.args["workerpool"] == self._pool:
                self._take_tasks(waiting)
                self._take_deal(event)
                waiting = []
            self._taken.add(_place(event))
        self._take_tasks(waiting, read)

    def _take_tasks(self, events: Sequence[Event], read: _Read | None = None) -> None:
        for start in range(0, len(events), EVENTS_TOGETHER):
            chunk = [e for e in events[start : start + EVENTS_TOGETHER] if "taskid" in e.args]
            with self._engine.store.read() as db:
                ids = {str(event.args["taskid"]) for event in chunk}
                query = select(t.tasks.c.id, t.tasks.c.run_seconds).where(t.tasks.c.id.in_(ids))
                seconds = {row.id: row.run_seconds for row in db.execute(query)}
                known = _known(db, self._chain.deployment.chain_id, chunk)
            new = [e for e in chunk if e.args["taskid"] in seconds and (e.tx_hash, e.log_index) not in known]
            # rising ids: whoever changes several tasks takes them in this order
            new.sort(key=lambda event: str(event.args["taskid"]))
            if new:
                last = start + EVENTS_TOGETHER >= len(events)
                self._apply([(event, self._arguments(event, seconds)) for event in new], read if last else None)
                read = None if last else read
            # those of tasks that are not known yet may be ours: the log of their deal may come late
            self._taken |= {_place(event) for event in chunk if event.args["taskid"] in seconds}
        if read is not None:
            with self._engine.store.write() as db:
                read.keep(db)

    def _arguments(self, event: Event, seconds: dict[str, int]) -> dict[str, Any]:
        """An event's arguments as they are kept, with what the chain says beside it."""
        args = _plain(event)
        if event.name == "TaskConsensus":
            run_seconds = seconds[str(event.args["taskid"])]
            args["reveal_deadline"] = self._chain.block(event.block)[2] + REVEAL_RATIO * run_seconds
        elif event.name == "TaskContribute":
            args["weight"] = weight(self._chain.score(str(event.args["worker"])))
        return args

    def _apply(self, events: Sequence[tuple[Event, dict[str, Any]]], read: _Read | None) -> None:
        def work(db: Connection) -> list[m.Effect]:
            effects: list[m.Effect] = []
            for task_id, together in groupby(events, key=lambda one: str(one[0].args["taskid"])):
                learned = []
                for event, args in together:
                    _remember(db, self._chain.deployment.chain_id, event, args, task_id)
                    meant = meaning(event.name, args)
                    learned += [meant] if meant is not None else []
                if learned:
                    effects += self._engine.apply_in(db, task_id, *learned)
            if read is not None:
                read.keep(db)
            return effects

        self._engine.announce(self._engine.store.transact(work))

    def _take_deal(self, event: Event) -> None:
        chain_id = self._chain.deployment.chain_id
        with self._engine.store.read() as db:
            if _known(db, chain_id, [event]):
                return
        tasks = self._tasks_of(str(event.args["dealid"]))
        # in pieces, so that nobody waits long for the store; the event last, so that none is forgotten
        for start in range(0, len(tasks), TASKS_TOGETHER):
            piece = tasks[start : start + TASKS_TOGETHER]
            with self._engine.store.write() as db:
                effects = self._engine.add_tasks(db, piece)
                if start + len(piece) == len(tasks):
                    _remember(db, chain_id, event, _plain(event), None)
            self._engine.announce(effects)

    def _tasks_of(self, deal_id: str) -> list[m.Task]:
        deal = self._chain.deal(deal_id)
        seconds = self._chain.category(deal.category).seconds
        ends = deal.deadlines(seconds)
        terms = m.TaskTerms(
            deal_id=deal_id,
            app=deal.app.pointer,
            callback=deal.has_callback,
            trust=deal.trust,
            worker_stake=deal.worker_stake,
            run_seconds=seconds,
            contribution_deadline=ends.contribution,
            final_deadline=ends.final,
            tag=deal.tag,
            needs=params.needs(deal.params),
        )
        return [terms.task(deal.bot_first + n) for n in range(deal.bot_size)]


def merged(events: list[Event]) -> list[Event]:
    """With the four events of a contributeAndFinalize as one: TaskFinalize, which names worker and digest too.

    Told one by one they would have the scheduler ask for a reveal and an upload, and finalize, in between.
    """
    ends = {(e.tx_hash, e.args["taskid"]) for e in events if e.name == "TaskFinalize"}
    reveals = {(e.tx_hash, e.args["taskid"]): e for e in events if e.name == "TaskReveal"}
    alone = ends & reveals.keys()
    kept = []
    for event in events:
        where = (event.tx_hash, event.args.get("taskid"))
        if where not in alone:
            kept.append(event)
        elif event.name == "TaskFinalize":
            said = reveals[event.tx_hash, event.args["taskid"]].args
            kept.append(replace(event, args={**event.args, "worker": said["worker"], "digest": said["digest"]}))
    return kept


def _place(event: Event) -> tuple[int, str, int]:
    return event.block, event.block_hash, event.log_index


def _plain(event: Event) -> dict[str, Any]:
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in event.args.items()}


def _known(db: Connection, chain_id: int, events: Sequence[Event]) -> set[tuple[str, int]]:
    """Those of the events, by transaction and log index, that were taken before."""
    e = t.events.c
    mine = (e.chain_id == chain_id) & e.tx_hash.in_({event.tx_hash for event in events})
    return {(row.tx_hash, row.log_index) for row in db.execute(select(e.tx_hash, e.log_index).where(mine))}


def _remember(db: Connection, chain_id: int, event: Event, args: dict[str, Any], task_id: str | None) -> None:
    row = {"chain_id": chain_id, "tx_hash": event.tx_hash, "log_index": event.log_index, "block": event.block}
    db.execute(insert(t.events).values(**row, block_hash=event.block_hash, name=event.name, args=args, task_id=task_id))
