"""Commands of operators to workers: durable rows, each carried by a notification, answered by its worker.

A row says what was asked and answered. Whether its worker has it is told by its notification: while that is there, the
command is queued.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from chain.wallet import Wallet
from poco.commands import (
    EXPIRE_SECONDS,
    LONGEST_SECONDS,
    NO_TASK,
    Command,
    CommandAnswer,
    CommandKind,
    CommandState,
    canonical,
    checked,
    command_typed_data,
)
from poco.errors import BadInputError
from poco.wire import Notification, NotificationType
from scheduler import store
from scheduler import tables as t
from scheduler.engine import Engine
from scheduler.model import Notify

#: Commands that may wait for one worker.
MOST_WAITING = 100
#: What was answered or has expired is remembered so long.
KEEP_SECONDS = 30 * 86_400


@dataclass(frozen=True, slots=True)
class Issued:
    """A command as it stands; `answer` is what its worker said to it, at `answered_at`."""

    id: int
    worker: str
    seq: int
    kind: CommandKind
    arguments: dict[str, Any]
    by: str
    at: int
    expires: int
    state: CommandState
    answer: str
    answered_at: int | None


def issue(
    db: Connection,
    workers: Sequence[str],
    kind: CommandKind | str,
    arguments: dict[str, Any],
    *,
    by: str,
    now: int,
    expires: int | None = None,
) -> list[int]:
    """Queue one command for each of those workers, in a transaction of the caller's; their ids, in that order.

    Once it is committed call `Engine.told`, which wakes the workers that poll; `send` does both.

    Args:
        by: the operator's wallet.
        expires: Unix seconds after which it is not obeyed any more; in three days where None.

    Raises:
        BadInputError: arguments that this kind does not take, an unknown worker, or too many commands that wait.
    """
    kind = CommandKind(kind)
    arguments = checked(kind, arguments)
    expires = now + EXPIRE_SECONDS if expires is None else expires
    if not now < expires <= now + LONGEST_SECONDS:
        raise BadInputError(
            "a command expires later than now, and within 90 days", hint="correct `expires`", code="BAD_COMMAND"
        )
    known = set(db.scalars(select(t.workers.c.wallet).where(t.workers.c.wallet.in_(list(workers)))))
    for worker in workers:
        if worker not in known:
            raise BadInputError(
                f"no worker {worker} is known here", hint="see `pew fleet status`", code="NO_SUCH_WORKER"
            )
    # always in the same order: two who lock rows of workers do not wait for each other
    row = {"kind": kind.value, "arguments": arguments, "issued_by": by, "issued_at": now, "expires_at": expires}
    ids = {worker: _issue(db, worker, row) for worker in sorted(set(workers))}
    return [ids[worker] for worker in workers]


def _issue(db: Connection, worker: str, row: dict[str, Any]) -> int:
    c, now = t.commands.c, row["issued_at"]
    seq = store.take_seq(db, worker, now)
    _drop_expired(db, worker, now)
    waiting = select(func.count()).select_from(t.commands.join(t.notifications, _carries()))
    if (db.scalar(waiting.where(c.worker == worker)) or 0) >= MOST_WAITING:
        raise BadInputError(
            f"{MOST_WAITING} commands wait for {worker}", hint="wait until it is awake", code="TOO_MANY_COMMANDS"
        )
    previous = db.scalar(select(func.max(c.seq)).where(c.worker == worker)) or 0
    said = {"kind": row["kind"], "arguments": row["arguments"], "expires": row["expires_at"]}
    news = Notify(worker, NotificationType.COMMAND, NO_TASK, {"seq": seq, "previous": previous, **said})
    store.put_notification(db, news, seq)
    made = insert(t.commands).values(**row, worker=worker, seq=seq, answer="").returning(c.id)
    return int(db.execute(made).scalar_one())


def send(
    engine: Engine,
    workers: Sequence[str],
    kind: CommandKind | str,
    arguments: dict[str, Any],
    *,
    by: str,
    expires: int | None = None,
) -> list[int]:
    """Queue a command for each of those workers and wake them; as `issue`."""
    ids = engine.store.transact(
        lambda db: issue(db, workers, kind, arguments, by=by, now=engine.now(), expires=expires)
    )
    engine.told(workers)
    return ids


def listed(db: Connection, worker: str | None = None, limit: int = 200, now: int | None = None) -> list[Issued]:
    """The latest commands to one worker, or to all, the newest first.

    Args:
        now: Unix seconds, the machine's clock where None: what is unanswered past its end is EXPIRED.
    """
    now = int(time.time()) if now is None else now
    c = t.commands.c
    query = select(t.commands, t.notifications.c.seq.label("waits"))
    query = query.select_from(t.commands.outerjoin(t.notifications, _carries()))
    if worker is not None:
        query = query.where(c.worker == worker)
    return [_issued(row, now) for row in db.execute(query.order_by(c.id.desc()).limit(limit)).mappings()]


def _issued(row: Any, now: int) -> Issued:
    if row["state"] is not None:
        state = CommandState(row["state"])
    elif now > row["expires_at"]:
        state = CommandState.EXPIRED
    else:
        state = CommandState.DELIVERED if row["waits"] is None else CommandState.QUEUED
    return Issued(
        id=row["id"],
        worker=row["worker"],
        seq=row["seq"],
        kind=CommandKind(row["kind"]),
        arguments=row["arguments"],
        by=row["issued_by"],
        at=row["issued_at"],
        expires=row["expires_at"],
        state=state,
        answer=row["answer"],
        answered_at=row["answered_at"],
    )


def answered(db: Connection, worker: str, seq: int, answer: CommandAnswer, now: int) -> bool:
    """Keep a worker's answer, the first one; False where it was never asked that."""
    c = t.commands.c
    mine = (c.worker == worker) & (c.seq == seq)
    values = {"state": answer.state.value, "answer": answer.answer, "answered_at": now}
    if db.execute(update(t.commands).where(mine, c.state.is_(None)).values(**values)).rowcount:
        return True
    return db.scalar(select(c.id).where(mine)) is not None


def forget(db: Connection, now: int) -> int:
    """Drop what is over for long, and the notifications of what has expired; how many commands were dropped."""
    _drop_expired(db, None, now)
    return int(db.execute(delete(t.commands).where(t.commands.c.expires_at < now - KEEP_SECONDS)).rowcount)


def _drop_expired(db: Connection, worker: str | None, now: int) -> None:
    """Nothing that has expired waits for a worker any longer."""
    c, n = t.commands.c, t.notifications.c
    expired = select(c.seq).where(c.worker == n.worker, c.seq == n.seq, c.expires_at < now)
    which = (n.type == NotificationType.COMMAND.value) & expired.exists()
    db.execute(delete(t.notifications).where(which if worker is None else which & (n.worker == worker)))


def _carries() -> Any:
    c, n = t.commands.c, t.notifications.c
    return (n.worker == c.worker) & (n.seq == c.seq)


class Signer:
    """Signs commands when they leave: for one worker, with the wallet of the pool's owner."""

    def __init__(self, wallet: Wallet, chain_id: int, workerpool: str) -> None:
        self._wallet, self._chain_id, self._pool = wallet, chain_id, workerpool
        self._signature = lru_cache(maxsize=4096)(self._sign)

    def _sign(self, worker: str, text: str) -> str:
        command = Command.model_validate_json(text)
        return self._wallet.sign_typed(command_typed_data(self._chain_id, self._pool, worker, command))

    def signed(self, worker: str, found: list[Notification]) -> list[Notification]:
        """Notifications as they are told: commands with their signature."""
        return [self._told(worker, n) if n.type is NotificationType.COMMAND else n for n in found]

    def _told(self, worker: str, notification: Notification) -> Notification:
        signature = self._signature(worker, canonical(notification.data))
        return notification.model_copy(update={"data": {**notification.data, "signature": signature}})
