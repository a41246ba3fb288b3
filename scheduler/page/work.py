"""Deals and tasks as the page shows them: how a task went, who contributed what, and whether that was enough."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, func, select

from poco.consensus import Tally
from poco.states import TaskStatus
from scheduler import store
from scheduler import tables as t
from scheduler.model import Task
from scheduler.page.earnings import rewards

#: Deals and tasks on one page; rows of one task's history.
PAGE = 50
HISTORY = 500
#: Further pages of deals than this are not leafed through: search.
LAST_PAGE = 1000


@dataclass(frozen=True, slots=True)
class DealRow:
    """A deal of this pool. `price`: what a task pays the pool, nRLC; `counts`: its tasks by status."""

    id: str
    block: int | None
    body: Mapping[str, Any]
    counts: Mapping[str, int]

    @property
    def size(self) -> int:
        return int(self.body.get("botSize") or sum(self.counts.values()))

    @property
    def price(self) -> int | None:
        return int(self.body["workerpool"]["price"]) if self.body else None

    def count(self, *statuses: str) -> int:
        return sum(self.counts.get(status, 0) for status in statuses)

    @property
    def open(self) -> int:
        return sum(self.counts.values()) - self.count("COMPLETED", "FAILED")


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of many. `more`: whether there is a further page."""

    rows: list[Any]
    page: int
    more: bool
    pages: int | None = None


def deals(db: Connection, pool: str, page: int, words: str = "") -> Page:
    """The pool's deals, the newest first; `words`: an address of requester, beneficiary or app."""
    d = t.deals.c
    page = max(1, min(page, LAST_PAGE))
    query = select(d.id, d.block, d.body).where(d.workerpool == pool)
    if words:
        query = query.where((d.requester == words) | (d.beneficiary == words) | (d.app == words))
    rows = db.execute(query.order_by(d.block.desc(), d.id).offset((page - 1) * PAGE).limit(PAGE + 1)).all()
    counts = _counts(db, [row.id for row in rows[:PAGE]])
    return Page([DealRow(r.id, r.block, r.body, counts.get(r.id, {})) for r in rows[:PAGE]], page, len(rows) > PAGE)


def deal(db: Connection, deal_id: str) -> DealRow | None:
    """One deal; None where neither it nor a task of it is known."""
    d = t.deals.c
    row = db.execute(select(d.id, d.block, d.body).where(d.id == deal_id)).first()
    counts = _counts(db, [deal_id]).get(deal_id, {})
    if row is None and not counts:
        return None
    return DealRow(deal_id, row.block if row else None, row.body if row else {}, counts)


def _counts(db: Connection, ids: Sequence[str]) -> dict[str, dict[str, int]]:
    c = t.tasks.c
    found: dict[str, dict[str, int]] = {}
    query = select(c.deal_id, c.status, func.count().label("number")).where(c.deal_id.in_(ids))
    for row in db.execute(query.group_by(c.deal_id, c.status)):
        found.setdefault(row.deal_id, {})[row.status] = row.number
    return found


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task in the list of its deal, with the workers that have something of it."""

    id: str
    index: int
    status: str
    final_deadline: int
    error: str | None
    workers: tuple[tuple[str, str], ...]


def tasks(db: Connection, deal_row: DealRow, page: int, status: TaskStatus | None = None, first: int = 0) -> Page:
    """Tasks of a deal by index, from index `first` on."""
    c = t.tasks.c
    where = (c.deal_id == deal_row.id) & (c.index >= first)
    if status is not None:
        where &= c.status == status.value
    found = db.scalar(select(func.count()).select_from(t.tasks).where(where)) or 0
    pages = max(math.ceil(found / PAGE), 1)
    page = max(1, min(page, pages))
    columns = select(c.id, c.index.label("number"), c.status, c.final_deadline, c.error).where(where)
    rows = db.execute(columns.order_by(c.index).offset((page - 1) * PAGE).limit(PAGE)).all()
    r = t.replicates.c
    by_task: dict[str, list[tuple[str, str]]] = {}
    for one in db.execute(
        select(r.task_id, r.worker, r.status).where(r.task_id.in_([row.id for row in rows])).order_by(r.position)
    ):
        by_task.setdefault(one.task_id, []).append((one.worker, one.status))
    listed = [
        TaskRow(row.id, row.number, row.status, row.final_deadline, row.error, tuple(by_task.get(row.id, ())))
        for row in rows
    ]
    return Page(listed, page, page < pages, pages)


@dataclass(frozen=True, slots=True)
class Recent:
    """A task that has changed lately."""

    task_id: str
    status: str
    cause: str | None
    at: int


def recent(db: Connection, count: int) -> list[Recent]:
    """The last changes of tasks, the newest first."""
    h = t.history.c
    # the newest rows alone are looked at: most tell of replicates
    newest = select(t.history).order_by(h.id.desc()).limit(count * 20).subquery()
    n = newest.c
    query = select(n.task_id, n.status, n.cause, n.at).where(n.worker.is_(None)).order_by(n.id.desc()).limit(count)
    return [Recent(*row) for row in db.execute(query)]


@dataclass(frozen=True, slots=True)
class Group:
    """Equal results: who contributed them with what weight, and what share of all the group has."""

    result: str
    weight: int
    share: float
    won: bool
    members: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Consensus:
    """The vote on a task. A group wins with more than `threshold` of the total weight (which starts at 1)."""

    trust: int
    total: int
    threshold: float
    groups: tuple[Group, ...]
    #: it took one transaction: one worker, no vote
    alone: bool


@dataclass(frozen=True, slots=True)
class OnChain:
    """Something that the chain says of a task."""

    block: int
    name: str
    who: str
    tx_hash: str


@dataclass(frozen=True, slots=True)
class TaskView:
    """All that is known of a task."""

    task: Task
    history: list[RowMapping]
    reports: Mapping[str, RowMapping]
    chain: list[OnChain]
    sent: list[RowMapping]
    consensus: Consensus
    rewards: Mapping[str, int]
    price: int | None


def task(db: Connection, task_id: str) -> TaskView | None:
    """A task with its timeline, its transactions and its vote; None where there is none of that id."""
    found = store.load_task(db, task_id)
    if found is None:
        return None
    h, o, x, e = t.history.c, t.outbox.c, t.transactions.c, t.events.c
    history = db.execute(select(t.history).where(h.task_id == task_id).order_by(h.id).limit(HISTORY)).mappings()
    reports = db.execute(select(t.reports).where(t.reports.c.task_id == task_id)).mappings()
    columns = select(o.kind, o.status, o.created_at, o.updated_at, o.error, o.tx_hash, x.block, x.cost_wei, x.state)
    sent = columns.select_from(t.outbox.outerjoin(t.transactions, o.tx_hash == x.hash))
    events = select(t.events).where(e.task_id == task_id).order_by(e.block, e.log_index).limit(HISTORY)
    said = list(db.execute(events).mappings())
    deal_row = db.execute(select(t.deals.c.body).where(t.deals.c.id == found.deal_id)).first()
    done = found.status is TaskStatus.COMPLETED
    return TaskView(
        task=found,
        history=list(history),
        reports={row["worker"]: row for row in reports},
        chain=[OnChain(r["block"], r["name"], str(r["args"].get("worker", "")), r["tx_hash"]) for r in said],
        sent=list(db.execute(sent.where(o.task_id == task_id).order_by(o.id)).mappings()),
        consensus=_consensus(found, said),
        rewards=rewards(db, [task_id]).get(task_id, {}) if done else {},
        price=int(deal_row.body["workerpool"]["price"]) if deal_row else None,
    )


def _consensus(found: Task, events: Iterable[RowMapping]) -> Consensus:
    votes, members = Tally(found.trust), dict[str, list[tuple[str, int]]]()
    alone, agreed = False, ""
    for event in events:
        args = event["args"]
        if event["name"] == "TaskConsensus":
            agreed = str(args["consensus"])
        elif event["name"] == "TaskReopen":
            # nobody of the group that had it has revealed: it is thrown out
            votes = _without(votes, agreed)
            members.pop(agreed, None)
        elif event["name"] == "TaskContribute":
            weight = int(args.get("weight", 2))
            votes = votes.add(args["hash"], weight)
            members.setdefault(args["hash"], []).append((args["worker"], weight))
        elif event["name"] == "TaskFinalize":
            alone = "worker" in args
    groups = tuple(
        Group(
            result=result,
            weight=votes.groups[result],
            share=votes.groups[result] / votes.total,
            won=result == found.consensus,
            members=tuple(each),
        )
        for result, each in members.items()
    )
    trust = max(found.trust, 1)
    return Consensus(trust, votes.total, (trust - 1) / trust, groups, alone)


def _without(votes: Tally, result: str) -> Tally:
    rest = {name: weight for name, weight in votes.groups.items() if name != result}
    return Tally(votes.trust, rest, votes.total - votes.groups.get(result, 0))


def holder(db: Connection, name: str) -> str:
    """The page of a task's or deal's id (32 bytes); empty where there is none."""
    if db.scalar(select(t.tasks.c.id).where(t.tasks.c.id == name)):
        return f"tasks/{name}"
    if db.scalar(select(t.deals.c.id).where(t.deals.c.id == name)):
        return f"deals/{name}"
    return ""
