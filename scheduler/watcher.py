"""Reads the hub's events and turns them into events of tasks; notices when the chain takes blocks back."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from chain.abi import TASK_EVENTS
from chain.client import Chain
from chain.model import Event
from poco import params
from poco.consensus import weight
from poco.deadlines import REVEAL_RATIO
from poco.errors import PewError
from poco.result import on_chain_location
from scheduler import model as m
from scheduler import store
from scheduler import tables as t
from scheduler.engine import Engine
from scheduler.log import log

#: As many blocks as a node is asked for at once.
RANGE = 1000
#: So many block hashes are kept: a chain that takes back more is read anew from its oldest known block.
KEPT_BLOCKS = 128


class Watcher(threading.Thread):
    """Follows the chain. Where the node is away it keeps trying and says so in `trouble`.

    Args:
        workerpool: whose deals are ours.
        poll_seconds: pause between two looks.
    """

    def __init__(self, engine: Engine, chain: Chain, workerpool: str, poll_seconds: float) -> None:
        super().__init__(name="watcher", daemon=True)
        self._engine = engine
        self._chain = chain
        self._pool = workerpool
        #: seconds between two looks
        self.pause = poll_seconds
        self._stopping = threading.Event()
        self._reading = threading.Lock()
        #: why the chain cannot be read now; empty where it can
        self.trouble = ""
        #: the last block that was read; -1 before the first
        self.block = -1
        #: whether everything up to the chain's end has been read at least once
        self.caught_up = False

    def run(self) -> None:
        while not self._stopping.is_set():
            self.look()
            self._stopping.wait(self.pause)

    def stop(self) -> None:
        self._stopping.set()
        self.join(30)

    def look(self) -> bool:
        """Read what is new; False where the chain could not be read."""
        try:
            with self._reading:
                self._read()
        except PewError as error:
            self._say(error.message)
            return False
        except Exception as error:  # a node may send anything
            self._say(f"reading the chain failed: {error!r}")
            return False
        self._say("")
        self.caught_up = True
        return True

    def _say(self, trouble: str) -> None:
        if trouble != self.trouble:
            log("chain", level="warning" if trouble else "info", trouble=trouble or "none, it is read again")
            self.trouble = trouble

    def _read(self) -> None:
        head = self._chain.block_number()
        first = self._agreed() + 1
        while first <= head and not self._stopping.is_set():
            last = min(first + RANGE - 1, head)
            _, last_hash, _ = self._chain.block(last)
            events = self._chain.logs(first, last, TASK_EVENTS)
            if self._chain.block(last)[1] != last_hash:
                return  # the chain is just changing its mind: look again
            for event in merged(events):
                self._take(event)
            with self._engine.store.write() as db:
                _mark(db, last, last_hash)
                for event in events:
                    _mark(db, event.block, event.block_hash)
                store.set_meta(db, "block", str(last))
            self.block = last
            first = last + 1

    # --- reorganisations

    def _agreed(self) -> int:
        """The last block read that is still part of the chain; what came after it is rolled back."""
        with self._engine.store.read() as db:
            said = store.get_meta(db, "block")
            known = [(r.number, r.hash) for r in db.execute(select(t.blocks).order_by(t.blocks.c.number.desc()))]
        if said is None:
            return self._chain.deployment.block - 1
        agreed = self._chain.deployment.block - 1
        head = self._chain.block_number()
        for number, known_hash in known:
            if number <= head and self._chain.block(number)[1] == known_hash:
                agreed = number
                break
        if known and agreed < known[0][0]:
            self._roll_back(agreed)
        self.block = agreed
        return agreed

    def _roll_back(self, agreed: int) -> None:
        log("reorganisation", level="warning", agreed_block=agreed)
        effects: list[m.Effect] = []
        with self._engine.store.write() as db:
            gone = t.events.c.block > agreed
            touched = set(db.scalars(select(t.events.c.task_id).where(gone, t.events.c.task_id.is_not(None))))
            db.execute(delete(t.events).where(gone))
            db.execute(delete(t.blocks).where(t.blocks.c.number > agreed))
            store.set_meta(db, "block", str(agreed))
            for task_id in sorted(touched):
                effects += self._engine.apply_in(db, task_id, m.RolledBack())
                kept = select(t.events).where(t.events.c.task_id == task_id)
                for row in db.execute(kept.order_by(t.events.c.block, t.events.c.log_index)).mappings():
                    again = self._event(row["name"], row["args"])
                    if again is not None:
                        effects += self._engine.apply_in(db, task_id, again)
        self._engine.announce(effects)

    # --- events

    def _take(self, event: Event) -> None:
        """Store one event and what follows from it, once."""
        if event.name == "SchedulerNotice":
            if event.args["workerpool"] == self._pool:
                self._take_deal(event)
            return
        task_id = str(event.args["taskid"])
        with self._engine.store.read() as db:
            task = store.load_task(db, task_id)
            if task is None or _known(db, self._chain.deployment.chain_id, event):
                return
        args = _args(event)
        if event.name == "TaskConsensus":
            args["reveal_deadline"] = self._chain.block(event.block)[2] + REVEAL_RATIO * task.run_seconds
        elif event.name == "TaskContribute":
            args["weight"] = weight(self._chain.score(str(event.args["worker"])))
        meant = self._event(event.name, args)
        if meant is None:
            return
        with self._engine.store.write() as db:
            _remember(db, self._chain.deployment.chain_id, event, args, task_id)
            effects = self._engine.apply_in(db, task_id, meant)
        self._engine.announce(effects)

    def _take_deal(self, event: Event) -> None:
        deal_id = str(event.args["dealid"])
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
        tasks = [terms.task(deal.bot_first + n) for n in range(deal.bot_size)]
        with self._engine.store.write() as db:
            if _known(db, self._chain.deployment.chain_id, event):
                return
            _remember(db, self._chain.deployment.chain_id, event, _args(event), None)
            effects = self._engine.add_tasks(db, tasks)
        self._engine.announce(effects)

    def _event(self, name: str, args: Any) -> m.Event | None:
        match name:
            case "TaskInitialize":
                return m.Initialized()
            case "TaskContribute":
                return m.Contributed(args["worker"], args["hash"], args["weight"])
            case "TaskConsensus":
                return m.ConsensusReached(args["consensus"], args["reveal_deadline"])
            case "TaskReveal":
                return m.Revealed(args["worker"], args["digest"])
            case "TaskReopen":
                return m.Reopened()
            case "TaskFinalize":
                location = on_chain_location(bytes.fromhex(args["results"]))
                return m.Finalized(location, args.get("worker"), args.get("digest"))
            case "TaskClaimed":
                return m.Claimed()
        return None


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


def _args(event: Event) -> dict[str, Any]:
    return {name: value.hex() if isinstance(value, bytes) else value for name, value in event.args.items()}


def _known(db: Connection, chain_id: int, event: Event) -> bool:
    e = t.events.c
    same = (e.chain_id == chain_id) & (e.tx_hash == event.tx_hash) & (e.log_index == event.log_index)
    return db.execute(select(e.block).where(same)).first() is not None


def _remember(db: Connection, chain_id: int, event: Event, args: dict[str, Any], task_id: str | None) -> None:
    row = {"chain_id": chain_id, "tx_hash": event.tx_hash, "log_index": event.log_index, "block": event.block}
    db.execute(insert(t.events).values(**row, block_hash=event.block_hash, name=event.name, args=args, task_id=task_id))


def _mark(db: Connection, number: int, block_hash: str) -> None:
    db.execute(delete(t.blocks).where(t.blocks.c.number == number))
    db.execute(insert(t.blocks).values(number=number, hash=block_hash))
    oldest = db.scalar(select(t.blocks.c.number).order_by(t.blocks.c.number.desc()).offset(KEPT_BLOCKS).limit(1))
    if oldest is not None:
        db.execute(delete(t.blocks).where(t.blocks.c.number <= oldest))
