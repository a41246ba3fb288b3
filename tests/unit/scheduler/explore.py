"""Walks the core through every kind of state that a task with one worker, and a second one's vote, can be in."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace

from poco.errors import Cause
from poco.ids import result_hash
from poco.states import ReplicateStatus as R
from scheduler import model as m
from scheduler.core import take
from scheduler.rules import follow

A, B = (f"0x{n:040x}" for n in (10, 11))
DIGESTS = "0x" + "ab" * 32, "0x" + "cd" * 32
T = 300
#: before and after the ends of a lease, the reveal, the contribution and the task
INSTANTS = (0, 2 * T + 1, 3 * T, 7 * T, 10 * T + 1)


def task(trust: int) -> m.Task:
    terms = m.TaskTerms("0x" + "11" * 32, "0x" + "33" * 20, False, trust, 5, T, 7 * T, 10 * T)
    return terms.task(0)


def events(state: m.Task) -> Iterator[m.Event]:
    """One of each kind, those of workers for A, votes for both."""
    mine, other = (result_hash(state.id, digest) for digest in DIGESTS)
    yield from (m.Initialized(), m.Claimed(), m.Finalized(None), m.Finalized("/ipfs/x", A, DIGESTS[0]))
    yield from (m.RolledBack(), m.Reopened(), m.Exhausted(), m.Tick(), m.ClockSetBack())
    yield from (m.Contributed(A, mine), m.Contributed(B, other))
    yield from (m.ConsensusReached(mine, 2 * T), m.ConsensusReached(other, 2 * T))
    yield from (m.Revealed(A, DIGESTS[0]), m.Revealed(B, DIGESTS[1]))
    yield from (m.Leased(A, 2), m.WorkerLost(A), m.Uploaded(A, "/ipfs/x"), m.UploadRefused(A))
    yield from (m.TransactionFailed(m.Tx.INITIALIZE), m.TransactionFailed(m.Tx.CLAIM))
    for status in R:
        yield m.Reported(A, status, Cause.INTERNAL_ERROR if status is R.FAILED else None)
    yield m.Reported(A, R.FAILED, Cause.APP_COMPUTE_FAILED)


def kind_of(state: m.Task) -> tuple[object, ...]:
    """States of one kind behave alike: what decides, without counters and instants."""
    a = state.replicate(A)
    mine = None if a is None else (a.status, a.result_hash is not None, a.revealed, a.rejected, a.asked is not None)
    wins = a is not None and a in state.winners
    return (state.status, state.consensus is not None, state.replicate(B) is not None, mine, wins)


def walk() -> Iterator[tuple[m.Task, m.Event, int, m.Task, m.Task]]:
    """(state, event, now, what the event itself made of it, what came of that by the rules) for all kinds of states."""
    seen: set[tuple[object, ...]] = set()
    todo = deque((follow(task(trust), 0)[0], 0) for trust in (1, 4))
    while todo:
        state, at = todo.popleft()
        for event in events(state):
            instants = INSTANTS[at:] if isinstance(event, m.Tick | m.Leased) else INSTANTS[at : at + 1]
            if isinstance(event, m.Reported):
                instants = tuple({INSTANTS[at], max(INSTANTS[at], 7 * T)})  # in time, and too late
            for now in instants:
                told, _ = take(state, event, now)
                after, _ = follow(told, now)
                yield state, event, now, told, after
                kind = kind_of(after)
                if kind not in seen:
                    seen.add(kind)
                    todo.append((replace(after, retry_at=0, tx_failures=0), INSTANTS.index(now)))
