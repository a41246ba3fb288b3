"""Telemetry of the workers: a row for each quarter hour that one has told of, bounded in number and age."""

from __future__ import annotations

import time
from collections.abc import Iterable

from sqlalchemy import Connection, delete, select, update

from poco.wire import QUARTER_S, Sample
from scheduler import store
from scheduler import tables as t

DAY_S = 86_400
#: Quarter hours that are kept of one worker, the newest: about a month.
MOST_OF_ONE = 31 * DAY_S // QUARTER_S


def record(db: Connection, worker: str, sample: Sample) -> None:
    """Keep a worker's quarter hour; told again it replaces what was told before."""
    record_all(db, worker, [sample])


def record_all(db: Connection, worker: str, samples: Iterable[Sample]) -> None:
    """Keep quarter hours of one worker, and let go of its oldest beyond `MOST_OF_ONE`."""
    c = t.telemetry.c
    received = int(time.time())
    for sample in samples:
        values = {**sample.model_dump(), "received_at": received}
        key = {"worker": worker, "at": values.pop("at")}
        told_again = update(t.telemetry).where(c.worker == worker, c.at == key["at"]).values(**values)
        if not db.execute(told_again).rowcount:
            store.insert_new(db, t.telemetry, {**key, **values})
    mine = c.worker == worker
    newest = select(c.at).where(mine).order_by(c.at.desc()).offset(MOST_OF_ONE - 1).limit(1).scalar_subquery()
    db.execute(delete(t.telemetry).where(mine, c.at < newest))


def day(db: Connection, worker: str, day: int) -> list[Sample]:
    """A worker's quarter hours of one day, in order; `day` counts days of 86400 s since 1970 (UTC)."""
    return between(db, worker, day * DAY_S, (day + 1) * DAY_S)


def between(db: Connection, worker: str, start: int, end: int) -> list[Sample]:
    """A worker's quarter hours from `start` to before `end` (the clock of its power source), in order."""
    c = t.telemetry.c
    columns = [c[name] for name in Sample.model_fields]
    query = select(*columns).where(c.worker == worker, c.at >= start, c.at < end).order_by(c.at)
    return [Sample(**row) for row in db.execute(query).mappings()]


def latest(db: Connection, worker: str) -> Sample | None:
    """The last quarter hour that a worker has told of."""
    c = t.telemetry.c
    query = select(*(c[name] for name in Sample.model_fields)).where(c.worker == worker).order_by(c.at.desc()).limit(1)
    row = db.execute(query).mappings().first()
    return None if row is None else Sample(**row)


def forget(db: Connection, before: int) -> int:
    """Drop what was received before that Unix second; how many quarter hours."""
    return int(db.execute(delete(t.telemetry).where(t.telemetry.c.received_at < before)).rowcount)
