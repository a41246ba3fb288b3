"""The core by tables: every report in every state, and the steps of a life one by one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poco.errors import LOCAL_CAUSES, TASK_CAUSES, Cause
from poco.ids import result_hash
from poco.states import WORKER_MOVES, TaskStatus
from poco.states import ReplicateStatus as R
from poco.wire import NotificationType as N
from poco.wire import Verdict
from scheduler import model as m
from scheduler.core import PROGRESS, may_lease, step, steps, wants_worker
from scheduler.rules import GONE_AFTER, LEASE_FACTOR, START_SECONDS, due, error_hash, upload_seconds

A, B, C = (f"0x{n:040x}" for n in (10, 11, 12))
DIGEST = "0x" + "ab" * 32
T = 300


def task(trust: int = 1, **changes: object) -> m.Task:
    terms = m.TaskTerms("0x" + "11" * 32, "0x" + "33" * 20, False, trust, 5, T, 7 * T, 10 * T)
    return replace(terms.task(0), **changes)


def run(state: m.Task, *events: m.Event, now: int = 0) -> tuple[m.Task, list[m.Effect]]:
    """The state after those events and the effects of the last one."""
    effects: tuple[m.Effect, ...] = ()
    for event in events:
        state, effects = step(state, event, now)
    return state, list(effects)


def started(trust: int = 1, *workers: str) -> m.Task:
    return run(task(trust), m.Tick(), m.Initialized(), *(m.Leased(w, 2) for w in workers or (A,)))[0]


def agreed(state: m.Task) -> str:
    return result_hash(state.id, DIGEST)


def contributed(trust: int = 1, *workers: str) -> m.Task:
    state = started(trust, *workers)
    for worker in workers or (A,):
        state, _ = run(state, m.Contributed(worker, agreed(state)))
    return state


def revealing(trust: int = 1, *workers: str) -> m.Task:
    state = contributed(trust, *workers)
    return run(state, m.ConsensusReached(agreed(state), 2 * T))[0]


def told(effects: list[m.Effect]) -> list[tuple[str, N]]:
    return [(e.worker, e.type) for e in effects if isinstance(e, m.Notify)]


def sent(effects: list[m.Effect]) -> list[m.Tx]:
    return [e.kind for e in effects if isinstance(e, m.Send)]


def test_a_new_task_is_initialized_once() -> None:
    state, effects = run(task(), m.Tick())
    assert sent(effects) == [m.Tx.INITIALIZE]
    assert run(state, m.Tick(), m.Tick())[1] == []
    state, effects = run(state, m.Initialized())
    assert (state.status, state.sent, effects) == (TaskStatus.INITIALIZED, None, [])


def test_a_refused_transaction_is_tried_again_later_and_later() -> None:
    state, _ = run(task(), m.Tick())
    waits = []
    now = 0
    for _ in range(4):
        state, effects = run(state, m.TransactionFailed(m.Tx.INITIALIZE), now=now)
        assert effects == []
        again = due(state, now) or 0
        waits.append(again - now)
        now = again
        state, effects = run(state, m.Tick(), now=now)
        assert sent(effects) == [m.Tx.INITIALIZE]
    assert waits == [1, 2, 4, 8]
    assert run(state, m.TransactionFailed(m.Tx.CLAIM))[0] == state


def test_a_lease_gives_leave_to_as_many_as_consensus_needs() -> None:
    state = run(task(5), m.Tick(), m.Initialized())[0]
    for worker in (A, B, C):
        assert wants_worker(state, 0)
        state, effects = run(state, m.Leased(worker, 2))
        assert effects == [m.Authorize(worker, state.id)]
    assert not wants_worker(state, 0)
    unchanged, effects = run(state, m.Leased("0x" + "44" * 20, 2))
    assert (unchanged, effects) == (state, [])


@pytest.mark.parametrize(
    "end",
    [
        m.Reported(A, R.DECLINED, Cause.ENERGY),
        m.Reported(A, R.FAILED, Cause.APP_IMAGE_DOWNLOAD_FAILED),
        m.Reported(A, R.FAILED, Cause.STAKE_TOO_LOW),
        m.Reported(A, R.ABORTED, Cause.WORKER_STOPPED),
        m.WorkerLost(A),
    ],
)
def test_a_replacement_is_wanted_at_once(end: m.Event) -> None:
    state = started()
    assert not wants_worker(state, 0)
    state, _ = run(state, end)
    assert wants_worker(state, 0)
    assert may_lease(state, B, 0)
    assert not may_lease(state, A, 0)


@pytest.mark.parametrize(
    ("status", "cause", "again"),
    [
        (R.DECLINED, Cause.ENERGY, True),
        (R.FAILED, Cause.WORKER_STOPPED, True),
        (R.FAILED, Cause.INTERNAL_ERROR, True),
        *[(R.FAILED, cause, False) for cause in sorted(LOCAL_CAUSES | TASK_CAUSES)],
    ],
)
def test_the_same_worker_may_try_again_after_a_fault_not_its_own(status: R, cause: Cause, again: bool) -> None:
    state, _ = run(started(), m.Reported(A, status, cause))
    assert may_lease(state, A, 10_000) is again
    if again:
        assert not may_lease(state, A, 5)
        state, effects = run(state, m.Leased(A, 2), now=20)
        assert effects == [m.Authorize(A, state.id)]
        replicate = state.replicate(A)
        assert replicate is not None
        assert replicate.attempt == 2


def test_failures_of_one_worker_end_declines_do_not() -> None:
    for status, cause, endless in ((R.FAILED, Cause.INTERNAL_ERROR, False), (R.DECLINED, Cause.ENERGY, True)):
        state, now, leases = started(), 0, 1
        for _ in range(5):
            state, _ = run(state, m.Reported(A, status, cause), now=now)
            now += 200
            if may_lease(state, A, now):
                state, _ = run(state, m.Leased(A, 2), now=now)
                leases += 1
        assert leases == (6 if endless else 3)


def test_who_has_staked_never_tries_again() -> None:
    state, _ = run(revealing(), m.Reopened(), now=3 * T)
    assert not may_lease(state, A, 5 * T)
    assert wants_worker(state, 3 * T)


CASES = [(current, new) for current in R for new in R]


@pytest.mark.parametrize(("current", "new"), CASES, ids=lambda status: status.value)
def test_every_report_in_every_state(current: R, new: R) -> None:
    """OK only along the table (or over reports that were lost), never what the chain alone can show."""
    staked = current in PROGRESS[7:]
    base = started(5, A, B, C)
    r = base.replicate(A)
    assert r is not None
    found = replace(
        r,
        status=current,
        result_hash=agreed(base) if staked else None,
        revealed=current in PROGRESS[9:],
        uploads=int(current in PROGRESS[10:12]),
    )
    state = replace(base, replicates=(found, *base.replicates[1:]))
    if current in PROGRESS[10:12]:
        state = replace(state, uploader=A, status=TaskStatus.RESULT_UPLOADING, consensus=agreed(base), digest=DIGEST)
    elif current in PROGRESS[9:]:
        state = replace(state, status=TaskStatus.RESULT_UPLOADED, consensus=agreed(base), digest=DIGEST)
        state = replace(state, location="/ipfs/x", sent=m.Tx.FINALIZE)
    state, _ = run(state, m.Tick())
    after, effects = run(state, m.Reported(A, new, Cause.INTERNAL_ERROR))
    (answer,) = [e for e in effects if isinstance(e, m.Answer)]
    now = after.replicate(A)
    assert now is not None
    if answer.verdict is None:
        assert after == state
        assert new not in WORKER_MOVES[current] or new in {R.CONTRIBUTED, R.REVEALED, R.RESULT_UPLOADED, R.COMPLETED}
    if answer.verdict is Verdict.OK:
        passed = {*WORKER_MOVES[current]}
        if current in PROGRESS[:7]:
            passed |= set(PROGRESS[PROGRESS.index(current) : 7])
        assert new in passed or (found.revealed and now.status is R.REVEALED), (current, new)
        assert now.status is new or found.revealed
    if new in {R.CONTRIBUTED, R.REVEALED, R.RESULT_UPLOADED} and current is not new:
        assert answer.verdict is not Verdict.OK
    if answer.verdict is Verdict.ABORT:
        assert not staked
    if current is new:
        assert (answer.verdict, after) == (Verdict.ALREADY, state)


def test_a_report_implies_those_before_it() -> None:
    state, effects = run(started(), m.Reported(A, R.COMPUTED))
    assert effects == [m.Answer(Verdict.OK)]
    assert state.status is TaskStatus.RUNNING
    assert run(state, m.Reported(A, R.STARTED))[1] == [m.Answer(Verdict.ALREADY)]


def test_an_unknown_worker_is_sent_away() -> None:
    assert run(started(), m.Reported(B, R.STARTED))[1] == [m.Answer(Verdict.ABORT)]


def test_a_worker_that_comes_too_late_is_told_so() -> None:
    _, effects = run(started(), m.Reported(A, R.STARTED), now=7 * T)
    assert m.Answer(Verdict.ABORT) in effects
    _, effects = run(revealing(1, A), m.Reported(B, R.STARTED))
    assert effects == [m.Answer(Verdict.ABORT)]


def test_a_lost_worker_comes_back_with_its_work() -> None:
    state, _ = run(started(), m.Reported(A, R.COMPUTING), m.WorkerLost(A), m.Leased(B, 2))
    _, effects = run(state, m.Reported(A, R.COMPUTED))
    assert effects == [m.Answer(Verdict.OK)]
    _, effects = run(state, m.Reported(A, R.COMPUTING))
    assert m.Answer(Verdict.ABORT) in effects
    free, _ = run(started(), m.WorkerLost(A))
    assert run(free, m.Reported(A, R.COMPUTING))[1] == [m.Answer(Verdict.OK)]


def test_consensus_tells_winners_to_reveal_and_others_to_stop() -> None:
    state = contributed(4, A)
    state, _ = run(state, m.Leased(B, 2), m.Leased(C, 2), m.Contributed(C, agreed(state)))
    state, effects = run(state, m.ConsensusReached(agreed(state), 2 * T))
    assert sorted(told(effects)) == sorted([(A, N.REVEAL), (C, N.REVEAL), (B, N.ABORT)])
    assert run(state, m.ConsensusReached(agreed(state), 2 * T))[1] == []


def test_one_winner_uploads_another_after_a_time_out_or_a_failure() -> None:
    state = revealing(4, A, B)
    state, effects = run(state, m.Revealed(B, DIGEST))
    assert told(effects) == [(B, N.UPLOAD)]
    state, effects = run(state, m.Revealed(A, DIGEST), now=10)
    assert told(effects) == []
    late = upload_seconds(state) + 1
    assert due(state, 0) == late
    state, effects = run(state, m.Tick(), now=late)
    assert told(effects) == [(A, N.UPLOAD)]
    state, effects = run(state, m.Reported(A, R.FAILED, Cause.RESULT_UPLOAD_FAILED), now=late + 1)
    assert told(effects) == [(B, N.UPLOAD)]
    state, effects = run(state, m.UploadRefused(B), now=late + 2)
    assert told(effects) == [(A, N.UPLOAD)]
    state, effects = run(state, m.Uploaded(B, "/ipfs/x"), now=late)
    assert sent(effects) == [m.Tx.FINALIZE]
    assert run(state, m.Uploaded(A, "/ipfs/y"), now=late) == (state, [])


def test_finalize_waits_for_the_other_winners_until_the_reveal_deadline() -> None:
    state = revealing(4, A, B)
    state, effects = run(state, m.Revealed(A, DIGEST), m.Uploaded(A, "/ipfs/x"))
    assert (state.status, sent(effects)) == (TaskStatus.RESULT_UPLOADED, [])
    assert due(state, 0) == 2 * T + 1
    _, effects = run(state, m.Revealed(B, DIGEST))
    assert sent(effects) == [m.Tx.FINALIZE]
    state, effects = run(state, m.Tick(), now=2 * T + 1)
    assert sent(effects) == [m.Tx.FINALIZE]
    state, effects = run(state, m.Finalized("/ipfs/x"))
    assert sorted(told(effects)) == sorted([(A, N.COMPLETE), (B, N.ABORT)])
    assert [r.status for r in state.replicates] == [R.COMPLETED, R.FAILED]


def test_nobody_reveals_reopen_and_give_it_to_others() -> None:
    state = revealing()
    assert due(state, 0) == 2 * T + 1
    state, effects = run(state, m.Tick(), now=2 * T + 1)
    assert sent(effects) == [m.Tx.REOPEN]
    state, effects = run(state, m.Reopened(), now=2 * T + 2)
    assert told(effects) == [(A, N.ABORT)]
    assert (state.status, state.consensus) == (TaskStatus.RUNNING, None)
    assert wants_worker(state, 2 * T + 2)


def test_a_reopen_that_cannot_help_is_not_sent() -> None:
    state = replace(revealing(), reveal_deadline=7 * T + 5)
    assert run(state, m.Tick(), now=7 * T + 6)[1] == []
    assert sent(run(state, m.Tick(), now=10 * T + 1)[1]) == [m.Tx.CLAIM]


@pytest.mark.parametrize("state", [started(), contributed(), revealing(), run(task(), m.Tick(), m.Initialized())[0]])
def test_claim_as_soon_as_the_final_deadline_has_passed(state: m.Task) -> None:
    assert m.Tx.CLAIM not in sent(run(state, m.Tick(), now=10 * T)[1])
    state = replace(state, sent=None)
    state, effects = run(state, m.Tick(), now=10 * T + 1)
    assert sent(effects) == [m.Tx.CLAIM]
    state, effects = run(state, m.Claimed(), now=10 * T + 2)
    assert state.status is TaskStatus.FAILED
    assert all(r.closed for r in state.replicates)
    assert due(state, 0) is None


def test_a_deal_that_the_chain_took_back_for_good_ends_its_tasks() -> None:
    """Its tasks cannot be initialized; past their end that is believed."""
    state, _ = run(task(), m.Tick())
    now = 0
    for _ in range(2 * GONE_AFTER):
        state, _ = run(state, m.TransactionFailed(m.Tx.INITIALIZE), now=now)
        now = state.retry_at
        assert now < 10 * T, "else it would have ended"
        state, effects = run(state, m.Tick(), now=now)
        assert (state.status, sent(effects)) == (TaskStatus.RECEIVED, [m.Tx.INITIALIZE])
        if now > 9 * T:
            break
    state, _ = run(state, m.TransactionFailed(m.Tx.INITIALIZE), now=10 * T + 1)
    assert state.status is TaskStatus.FAILED
    assert run(state, m.Tick(), now=20 * T)[1] == []


def test_the_contribution_deadline_frees_everybody() -> None:
    state, effects = run(started(4, A, B), m.Contributed(A, DIGEST), m.Tick(), now=0)
    state, effects = run(state, m.Tick(), now=7 * T)
    assert told(effects) == [(B, N.ABORT)]
    assert not wants_worker(state, 7 * T)


def test_a_replicate_that_never_starts_or_never_ends_is_replaced() -> None:
    state = started()
    assert due(state, 0) == START_SECONDS + 1
    assert wants_worker(run(state, m.Tick(), now=START_SECONDS + 1)[0], START_SECONDS + 1)
    state, _ = run(state, m.Reported(A, R.COMPUTING))
    assert due(state, 0) == START_SECONDS + T + 1
    assert not wants_worker(state, START_SECONDS + T)
    beside = run(state, m.Tick(), now=START_SECONDS + T + 1)[0]
    assert wants_worker(beside, START_SECONDS + T + 1), "its lease is no longer fresh: another is sought beside it"
    assert beside.replicates[0].status is R.COMPUTING
    assert due(beside, START_SECONDS + T + 1) == LEASE_FACTOR * T + 1
    assert wants_worker(run(state, m.Tick(), now=LEASE_FACTOR * T + 1)[0], LEASE_FACTOR * T + 1)


@pytest.mark.parametrize("cause", sorted(TASK_CAUSES))
def test_a_fault_of_the_task_becomes_an_error_result_at_once(cause: Cause) -> None:
    state, effects = run(started(), m.Reported(A, R.FAILED, cause))
    assert told(effects) == [(A, N.CONTRIBUTE_ERROR)]
    assert not wants_worker(state, 0)
    state, effects = run(state, m.Reported(A, R.CONTRIBUTING))
    assert effects == [m.Answer(Verdict.OK)]
    state, effects = run(state, m.Contributed(A, error_hash(state, cause)))
    state, effects = run(state, m.ConsensusReached(error_hash(state, cause), 2 * T))
    assert told(effects) == [(A, N.REVEAL)]


@pytest.mark.parametrize("cause", sorted(LOCAL_CAUSES))
def test_a_fault_that_may_be_the_workers_own_is_tried_by_others_first(cause: Cause) -> None:
    state, effects = run(started(), m.Reported(A, R.FAILED, cause))
    assert told(effects) == []
    assert wants_worker(state, 0)
    state, effects = run(state, m.Exhausted())
    assert told(effects) == [(A, N.CONTRIBUTE_ERROR)]


def test_when_time_runs_out_nobody_else_is_waited_for() -> None:
    state, _ = run(started(), m.Reported(A, R.FAILED, Cause.APP_IMAGE_DOWNLOAD_FAILED))
    assert due(state, 0) == 5 * T
    assert told(run(state, m.Tick(), now=5 * T)[1]) == [(A, N.CONTRIBUTE_ERROR)]


def test_two_must_meet_the_same_cause_and_nobody_a_result() -> None:
    same, other = Cause.APP_COMPUTE_FAILED, Cause.COMPUTED_FILE_NOT_FOUND
    state, effects = run(started(4, A, B), m.Reported(A, R.FAILED, same))
    assert told(effects) == []
    assert not wants_worker(state, 0)
    _, effects = run(state, m.Reported(B, R.FAILED, same))
    assert sorted(told(effects)) == [(A, N.CONTRIBUTE_ERROR), (B, N.CONTRIBUTE_ERROR)]
    differ, effects = run(state, m.Reported(B, R.FAILED, other))
    assert told(effects) == []
    assert wants_worker(differ, 0)
    computed, effects = run(state, m.Reported(B, R.COMPUTED))
    assert wants_worker(computed, 0)
    computed, effects = run(computed, m.Leased(C, 2), m.Reported(C, R.FAILED, same))
    assert told(effects) == []


def test_one_who_was_asked_for_the_error_result_and_is_lost_is_replaced() -> None:
    cause = Cause.APP_COMPUTE_FAILED
    state, _ = run(started(), m.Reported(A, R.FAILED, cause), m.WorkerLost(A))
    assert wants_worker(state, 0)
    state, effects = run(state, m.Leased(B, 2), m.Reported(B, R.FAILED, cause))
    assert told(effects) == [(B, N.CONTRIBUTE_ERROR)]


def test_one_who_was_asked_for_the_error_result_and_does_nothing_is_replaced() -> None:
    cause = Cause.APP_COMPUTE_FAILED
    state, _ = run(started(), m.Reported(A, R.FAILED, cause), now=5)
    assert due(state, 5) == 5 + T + 1
    state, _ = run(state, m.Tick(), now=5 + T + 1)
    assert wants_worker(state, 5 + T + 1)
    back, effects = run(state, m.Reported(A, R.CONTRIBUTING), now=5 + T + 2)
    assert effects == [m.Answer(Verdict.OK)]
    assert not wants_worker(back, 5 + T + 2)


LIFE = [
    m.Initialized(),
    m.Contributed(A, result_hash(task().id, DIGEST)),
    m.Contributed(B, result_hash(task().id, DIGEST)),
    m.ConsensusReached(result_hash(task().id, DIGEST), 2 * T),
    m.Revealed(A, DIGEST),
    m.Revealed(B, DIGEST),
    m.Finalized("/ipfs/x"),
]


@given(st.permutations(LIFE), st.lists(st.sampled_from(LIFE), max_size=5))
def test_the_chain_is_believed_in_any_order(order: list[m.Event], more: list[m.Event]) -> None:
    state, _ = run(task(4), m.Tick(), *order, *more)
    assert state.status is TaskStatus.COMPLETED
    assert state.location == "/ipfs/x"
    assert {r.worker for r in state.replicates} == {A, B}
    assert all(r.closed for r in state.replicates)


def test_blocks_taken_back_are_forgotten_and_read_again() -> None:
    state, _ = run(revealing(), m.Revealed(A, DIGEST), m.Uploaded(A, "/ipfs/x"))
    state, effects = run(state, m.RolledBack(), now=100)
    assert (state.status, state.consensus, sent(effects)) == (TaskStatus.RECEIVED, None, [])
    again = [m.Initialized(), m.Contributed(A, agreed(state)), m.ConsensusReached(agreed(state), 2 * T)]
    state, effects = run(state, *again, m.Revealed(A, DIGEST), now=110)
    assert state.status is TaskStatus.RESULT_UPLOADED
    assert sent(effects) == [m.Tx.FINALIZE]


def test_a_result_is_finalized_only_for_the_digest_that_it_was_uploaded_for() -> None:
    """On the chain that replaced the old one others have agreed, on something else."""
    state, effects = run(revealing(), m.Revealed(A, DIGEST), m.Uploaded(A, "/ipfs/x"))
    assert sent(effects) == [m.Tx.FINALIZE]
    state, effects = run(state, m.RolledBack(), now=100)
    assert m.Recall(m.Tx.FINALIZE, state.id) in effects
    other = "0x" + "cd" * 32
    agreed_now = result_hash(state.id, other)
    state, _ = run(state, m.Initialized(), m.Contributed(B, agreed_now), m.ConsensusReached(agreed_now, 2 * T), now=110)
    state, effects = run(state, m.Revealed(B, other), now=110)
    assert (state.location, sent(effects)) == (None, [])
    assert told(effects) == [(B, N.UPLOAD)]
    state, effects = run(state, m.Uploaded(B, "/ipfs/y"), now=120)
    assert [e for e in effects if isinstance(e, m.Send)] == [m.Send(m.Tx.FINALIZE, state.id, "/ipfs/y")]


def test_what_is_read_together_is_judged_once() -> None:
    """Read again after the contribution deadline: nobody is told to stop who has contributed in time."""
    reached = m.ConsensusReached(agreed(task()), 9 * T)
    state, _ = run(contributed(4, A, B), reached, m.Revealed(A, DIGEST))
    again = (m.Initialized(), m.Contributed(A, agreed(state)), m.Contributed(B, agreed(state)), reached)
    state, effects = steps(state, (m.RolledBack(), *again), 7 * T + 1)
    assert told(list(effects)) == [(A, N.REVEAL), (B, N.REVEAL)]
    assert not any(r.closed for r in state.replicates)


def test_a_winner_that_was_told_to_stop_still_uploads_where_there_is_no_other() -> None:
    """Its contribution was seen after the deadline: it was told to stop, which it answers long after its reveal."""
    state, effects = run(revealing(), m.Revealed(A, DIGEST))
    assert told(effects) == [(A, N.UPLOAD)]
    state, effects = run(state, m.Reported(A, R.ABORTED))
    assert told(effects) == [(A, N.UPLOAD)]
    state, effects = run(state, m.Uploaded(A, "/ipfs/x"))
    assert sent(effects) == [m.Tx.FINALIZE]
    state, _ = run(revealing(4, A, B), m.Revealed(A, DIGEST), m.Revealed(B, DIGEST))
    _, effects = run(state, m.Reported(state.uploader or "", R.ABORTED))
    assert told(effects) == [(B, N.UPLOAD)]


def test_no_owner_gets_a_second_vote_where_another_process_gave_the_first() -> None:
    state = started(4, A)
    assert wants_worker(state, 0)
    refused, effects = run(state, m.Leased(B, 2, kin=frozenset({A, C})))
    assert (refused, effects) == (state, [])
    gone, _ = run(state, m.WorkerLost(A))
    _, effects = run(gone, m.Leased(B, 2, kin=frozenset({A, C})))
    assert m.Authorize(B, state.id) in effects
