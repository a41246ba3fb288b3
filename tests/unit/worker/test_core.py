"""The core: its table exhaustively, its promises under any order of events."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oci.errors import PlatformUnsupportedError
from oci.manifest import require_platform
from oci.platform import normalise
from oci.platform import parse as parse_platform
from poco.errors import ERROR_RESULT_CAUSES, Cause
from poco.hexes import ZERO_ADDRESS
from poco.states import WORKER_MOVES, ChainTaskStatus, ContributionStatus, Presence, ReplicateStatus
from poco.wire import Logs, Notification, NotificationType, Verdict
from worker import core
from worker.core import (
    Answered,
    Drain,
    Effect,
    Facts,
    Funded,
    GiveBack,
    Happened,
    Notified,
    Replicate,
    Report,
    Stance,
    Tick,
    Weighed,
    Worker,
)
from worker.table import IN_HAND, SLOT_STAGES, TABLE, UNSTAKED, WATCHED, WORK, Do, Stage, What

TASK = "0x" + "11" * 32
DEAL = "0x" + "22" * 32
DIGEST = "0x" + "33" * 32
SIGNATURE = "0x" + "44" * 65
NOW = 1_000_000
FACTS = Facts(
    app=ZERO_ADDRESS,
    image="r/a:1",
    checksum=DEAL,
    run_seconds=300,
    contribution_deadline=NOW + 2100,
    final_deadline=NOW + 3000,
)
STAKED = frozenset({Stage.CONTRIBUTED, Stage.REVEALING})


def replicate(stage: Stage, **values: object) -> Replicate:
    given_values = {"facts": FACTS, "digest": DIGEST, **values}
    return Replicate(
        task_id=TASK, run=1, stage=stage, deal_id=DEAL, index=0, authorization=SIGNATURE,
        enclave_challenge=ZERO_ADDRESS, **given_values,
    )  # fmt: skip


def holding(stage: Stage, **values: object) -> Worker:
    return Worker(slots=1, acked=1, replicates={TASK: replicate(stage, **values)})


def news(kind: NotificationType, seq: int = 2, **data: object) -> Notified:
    return Notified(Notification(seq=seq, type=kind, task_id=TASK, data=data))


def start(seq: int = 2) -> Notified:
    return news(
        NotificationType.START, seq, authorization=SIGNATURE, enclave_challenge=ZERO_ADDRESS, deal_id=DEAL, index=0
    )


def stage_of(state: Worker) -> Stage:
    return state.replicates[TASK].stage if TASK in state.replicates else Stage.ENDED


def happened(what: What, run: int = 1, **values: object) -> Happened:
    return Happened(TASK, run, what, **values)  # type: ignore[arg-type]


def did(effects: list[Effect | Report]) -> list[Do]:
    return [e.do for e in effects if isinstance(e, Effect)]


def said(effects: list[Effect | Report]) -> list[ReplicateStatus]:
    return [e.update.status for e in effects if isinstance(e, Report)]


def test_every_pair_of_stage_and_happening_follows_the_table() -> None:
    """Every stage by every happening: a row is obeyed to the letter, everything else changes nothing."""
    for stage in Stage:
        for what in What:
            if stage is Stage.ENDED:
                continue
            before = holding(stage)
            after, effects = core.step(before, happened(what), NOW)
            move = TABLE.get((stage, what))
            if move is None:
                assert (after, effects) == (before, []), (stage, what)
                continue
            assert stage_of(after) is move.to, (stage, what)
            assert said(effects) == list(move.reports)
            assert did(effects) == [*(WORK[move.to] if move.to is not stage else ()), *move.also]


def test_what_the_scheduler_says_never_gives_up_a_stake() -> None:
    """While a stake is locked only the chain moves a replicate; after that nothing of the scheduler's can hurt."""
    asked = {
        What.ABORT, What.COMPLETE, What.GIVEN_BACK, What.UPLOAD_ASKED, What.REVEAL_ASKED, What.ERROR_ASKED, What.LATE,
    }  # fmt: skip
    for stage in STAKED:
        for what in asked:
            move = TABLE.get((stage, what))
            assert move is None or move.to is stage, (stage, what)
    assert TABLE[Stage.CONTRIBUTED, What.SEEN_REVEAL].to is Stage.REVEALING
    assert not any(stage in UNSTAKED for stage in STAKED)


def test_an_abort_ends_every_stage_without_a_stake_at_once() -> None:
    for stage in UNSTAKED:
        after, effects = core.step(holding(stage), news(NotificationType.ABORT, cause=Cause.CONSENSUS_REACHED), NOW)
        assert TASK not in after.replicates
        assert did(effects) == [Do.CLEAN]
        assert said(effects) == [ReplicateStatus.ABORTED]
    after, effects = core.step(
        holding(Stage.CONTRIBUTING), news(NotificationType.ABORT, cause=Cause.CONSENSUS_REACHED), NOW
    )
    assert after.replicates[TASK].aborted is Cause.CONSENSUS_REACHED
    after, effects = core.step(after, happened(What.FAILED, cause=Cause.TASK_NOT_ACTIVE), NOW)
    assert said(effects) == [ReplicateStatus.ABORTED], "given up because it was told so: not a failure of its own"


def test_reports_are_what_the_scheduler_allows() -> None:
    """Every sequence of reports along the table is one of the protocol's allowed moves."""
    where: dict[Stage, set[ReplicateStatus]] = {Stage.VERIFYING: {ReplicateStatus.CREATED}}
    on_chain = {ReplicateStatus.CONTRIBUTED, ReplicateStatus.REVEALED}
    asked = {ReplicateStatus.RESULT_UPLOADING: ReplicateStatus.RESULT_UPLOAD_REQUESTED}
    grown = True
    while grown:
        grown = False
        for (stage, what), move in TABLE.items():
            if what is What.SEEN_NOTHING or (stage, what) == (Stage.REVEALED, What.SEEN_REVEAL):
                continue  # after a reorganisation: the scheduler sees on chain what comes of it
            for current in tuple(where.get(stage, ())):
                if what is What.UPLOAD_FAILED or current is ReplicateStatus.ABORTED:
                    continue  # the scheduler has closed the matter for this worker
                # the chain pays only what was revealed, and the scheduler has seen that too
                last = ReplicateStatus.REVEALED if what is What.SETTLED_PAID else current
                for status in move.reports:
                    source = asked.get(status, last)
                    assert status in on_chain or status in WORKER_MOVES[source] | {last}, (stage, what, last, status)
                    last = status
                if last not in where.setdefault(move.to, set()):
                    where[move.to].add(last)
                    grown = True
    assert set(where) == set(Stage)


def test_what_an_image_calls_itself_stops_no_worker() -> None:
    """JSON can spell half of a character, and errors quote what they found: a report that cannot be made would end the
    process, and the next one at the same place."""
    with pytest.raises(PlatformUnsupportedError) as caught:
        require_platform(normalise("linux\ud800", "amd64"), parse_platform("linux/amd64"))
    failed = happened(What.FAILED, cause=caught.value.cause, reason=caught.value.message)
    _, effects = core.step(holding(Stage.PULLING), failed, NOW)
    (report,) = (effect for effect in effects if isinstance(effect, Report))
    assert "linux\ufffd/amd64" in report.update.reason
    assert report.update.model_dump_json()
    after, _ = core.step(holding(Stage.PULLING), Funded("the node said \udc80"), NOW)
    assert after.model_dump_json()


def test_an_offer_is_taken_declined_or_ignored() -> None:
    empty = Worker(slots=1, acked=1)
    after, effects = core.step(empty, start(), NOW)
    assert (stage_of(after), did(effects), after.acked) == (Stage.VERIFYING, [Do.VERIFY], 2)
    again, effects = core.step(after, start(), NOW)
    assert (again, effects) == (after, []), "sent again: known"
    again, effects = core.step(after, start(3), NOW)
    assert (again.replicates, effects) == (after.replicates, []), "in work already"
    for unwilling, cause in (
        ({"draining": True}, Cause.WORKER_STOPPED),
        ({"trouble": "no stake"}, Cause.STAKE_TOO_LOW),
        ({"stance": Stance(willing=False, words="battery at 12 %")}, Cause.ENERGY),
    ):
        after, effects = core.step(empty.model_copy(update=unwilling), start(), NOW)
        assert not after.replicates
        assert isinstance(effects[0], Report)
        assert (effects[0].update.status, effects[0].update.cause) == (ReplicateStatus.DECLINED, cause)
        assert core.free_slots(empty.model_copy(update=unwilling)) == 0


def test_notifications_that_make_no_sense_are_done_with() -> None:
    for kind in (NotificationType.START, NotificationType.ABORT, NotificationType.CONTRIBUTE_ERROR):
        for state in (Worker(slots=1, acked=1), holding(Stage.FAILED, cause=Cause.APP_COMPUTE_FAILED)):
            after, effects = core.step(state, news(kind, nonsense=1), NOW)
            assert (after, effects) == (state.model_copy(update={"acked": 2}), [])


def test_a_failed_worker_may_be_asked_again() -> None:
    state = holding(Stage.FAILED, cause=Cause.APP_IMAGE_DOWNLOAD_FAILED)
    after, effects = core.step(state, start(), NOW)
    assert stage_of(after) is Stage.VERIFYING
    assert after.replicates[TASK].run == 2
    late, effects = core.step(after, happened(What.PULLED, run=1), NOW)
    assert (late, effects) == (after, []), "the outcome of the first run is of no use to the second"


def test_an_error_result_is_contributed_only_for_the_cause_met() -> None:
    state = holding(Stage.FAILED, cause=Cause.APP_COMPUTE_FAILED)
    after, _ = core.step(state, news(NotificationType.CONTRIBUTE_ERROR, cause=Cause.DATASET_FILE_BAD_CHECKSUM), NOW)
    assert stage_of(after) is Stage.FAILED
    after, effects = core.step(state, news(NotificationType.CONTRIBUTE_ERROR, cause=Cause.APP_COMPUTE_FAILED), NOW)
    assert (stage_of(after), did(effects)) == (Stage.PROVING_ERROR, [Do.PROVE_ERROR])
    for stage in SLOT_STAGES:
        after, _ = core.step(
            holding(stage), news(NotificationType.CONTRIBUTE_ERROR, cause=Cause.APP_COMPUTE_FAILED), NOW
        )
        assert stage_of(after) is stage, "nothing has failed here"


def test_a_failure_is_kept_where_its_cause_may_be_contributed() -> None:
    logs = Logs(stdout="o", stderr="e")
    for cause in Cause:
        failed = happened(What.FAILED, cause=cause, reason="r", exit_code=3, logs=logs)
        after, effects = core.step(holding(Stage.RUNNING), failed, NOW)
        kept = cause in ERROR_RESULT_CAUSES
        assert stage_of(after) is (Stage.FAILED if kept else Stage.ENDED)
        report = effects[0]
        assert isinstance(report, Report)
        assert report.update.status is ReplicateStatus.FAILED
        assert (report.update.cause, report.update.reason, report.update.exit_code) == (cause, "r", 3)
        assert report.update.logs == logs
    after, _ = core.step(
        holding(Stage.VERIFYING, facts=None), happened(What.FAILED, cause=Cause.APP_COMPUTE_FAILED), NOW
    )
    assert stage_of(after) is Stage.ENDED, "nothing is known of the task: nothing can be contributed"


def test_an_upload_asked_for_too_early_is_not_forgotten() -> None:
    state, _ = core.step(holding(Stage.REVEALING), news(NotificationType.UPLOAD), NOW)
    assert stage_of(state) is Stage.REVEALING
    state, effects = core.step(state, happened(What.REVEALED, tx_hash=DEAL), NOW)
    assert stage_of(state) is Stage.UPLOADING
    assert said(effects) == [ReplicateStatus.REVEALED, ReplicateStatus.RESULT_UPLOADING]
    state, _ = core.step(holding(Stage.CONTRIBUTED), news(NotificationType.UPLOAD), NOW)
    state, _ = core.step(state, happened(What.SEEN_PROVED), NOW)
    assert stage_of(state) is Stage.UPLOADING


def test_ticks_watch_what_is_staked_and_forget_what_is_late() -> None:
    for stage in Stage:
        if stage is not Stage.ENDED:
            _, effects = core.step(holding(stage), Tick(), NOW)
            assert did(effects) == ([WATCHED[stage]] if stage in WATCHED else [])
    after, _ = core.step(holding(Stage.FAILED), Tick(), FACTS.contribution_deadline)
    assert not after.replicates


def test_draining_takes_nothing_new_and_gives_back_only_what_has_no_stake() -> None:
    for stage in Stage:
        if stage is Stage.ENDED:
            continue
        draining, effects = core.step(holding(stage), Drain(), NOW)
        assert (core.presence(draining), core.free_slots(draining)) == (Presence.DRAINING, 0)
        assert (stage_of(draining), effects) == (stage, [])
        back = GiveBack(frozenset({TASK, DEAL}), Cause.WORKER_STOPPED, "why")
        after, effects = core.step(draining, back, NOW)
        given = stage in UNSTAKED and stage is not Stage.FAILED
        assert (TASK in after.replicates) is not given
        if given:
            assert (said(effects), did(effects)) == ([ReplicateStatus.FAILED], [Do.CLEAN])
            report = effects[0]
            assert isinstance(report, Report)
            assert (report.update.cause, report.update.reason) == (Cause.WORKER_STOPPED, "why")
        other = GiveBack(frozenset({DEAL}), Cause.ENERGY, "why")
        assert core.step(draining, other, NOW) == (draining, [])
    assert core.in_hand([replicate(Stage.REVEALING)])
    assert not core.in_hand([replicate(Stage.CONTRIBUTED)])
    assert not IN_HAND & SLOT_STAGES
    stays = {stage for stage in Stage if core.unfinished([replicate(stage)])}
    assert stays == {*Stage} - {Stage.FAILED, Stage.UPLOADED, Stage.ENDED}


def test_a_result_of_trust_1_is_finalized_alone_where_the_scheduler_and_the_chain_both_say_so() -> None:
    for finalize, trust, alone in ((True, 1, True), (True, 2, False), (True, 0, False), (False, 1, False)):
        state = holding(Stage.PROVING, finalize=finalize, facts=FACTS.model_copy(update={"trust": trust}))
        after, effects = core.step(state, happened(What.PROVEN, digest=DIGEST), NOW)
        assert stage_of(after) is (Stage.DELIVERING if alone else Stage.CONTRIBUTING), (finalize, trust)
        assert said(effects)[0] is ReplicateStatus.COMPUTED
    after, effects = core.step(holding(Stage.DELIVERING), happened(What.DELIVERED), NOW)
    assert (stage_of(after), did(effects)) == (Stage.FINALIZING, [Do.FINALIZE])
    after, effects = core.step(after, happened(What.FINALIZED, tx_hash=DEAL), NOW)
    assert (stage_of(after), did(effects)) == (Stage.SETTLING, [Do.CLEAN, Do.SETTLE])
    again, _ = core.step(after, happened(What.SEEN_NOTHING), NOW)
    assert stage_of(again) is Stage.FINALIZING, "a reorganisation took it away"
    for stage in (Stage.DELIVERING, Stage.FINALIZING):
        after, _ = core.step(holding(stage), happened(What.USUAL_WAY), NOW)
        assert stage_of(after) is Stage.CONTRIBUTING


def test_a_notification_far_ahead_makes_nobody_deaf() -> None:
    state, most = Worker(slots=1, acked=7), 1000 * (NOW + core.MAX_AHEAD_SECONDS)
    for seq in (0, 7, most + 1, 2**53):
        assert core.step(state, start(seq), NOW) == (state, [])
    after, _ = core.step(state, start(most), NOW)
    assert after.acked == most


def test_presence() -> None:
    idle = Worker(slots=2)
    assert (core.presence(idle), core.free_slots(idle)) == (Presence.WAITING, 2)
    working = holding(Stage.RUNNING).model_copy(update={"slots": 2})
    assert (core.presence(working), core.free_slots(working)) == (Presence.WORKING, 1)
    waiting = holding(Stage.CONTRIBUTED)
    assert (core.presence(waiting), core.free_slots(waiting)) == (Presence.WAITING, 1), "a stake takes no slot"
    asleep, _ = core.step(idle, Weighed(Stance(willing=False, asleep=True, resume_at=5)), NOW)
    assert core.presence(asleep) is Presence.ASLEEP
    busy, _ = core.step(idle, Funded("no stake"), NOW)
    assert core.presence(busy) is Presence.BUSY


def test_verdicts() -> None:
    after, _ = core.step(holding(Stage.RUNNING), Answered(TASK, ReplicateStatus.COMPUTING, Verdict.ABORT), NOW)
    assert not after.replicates
    for verdict in (Verdict.OK, Verdict.ALREADY):
        state = holding(Stage.RUNNING)
        assert core.step(state, Answered(TASK, ReplicateStatus.COMPUTING, verdict), NOW) == (state, [])
    after, _ = core.step(holding(Stage.CONTRIBUTED), Answered(TASK, ReplicateStatus.CONTRIBUTED, Verdict.ABORT), NOW)
    assert stage_of(after) is Stage.CONTRIBUTED


def test_every_stage_is_taken_up_again() -> None:
    for stage in Stage:
        if stage is not Stage.ENDED:
            assert [e.do for e in core.resume(holding(stage))] == list(WORK[stage])


def test_what_the_chain_shows() -> None:
    active, revealing = ChainTaskStatus.ACTIVE, ChainTaskStatus.REVEALING
    mine = ContributionStatus
    assert core.seen(revealing, mine.CONTRIBUTED, agrees=True) is What.SEEN_REVEAL
    assert core.seen(revealing, mine.CONTRIBUTED, agrees=False) is What.SEEN_WAIT
    assert core.seen(active, mine.CONTRIBUTED, agrees=True) is What.SEEN_WAIT
    assert core.seen(revealing, mine.PROVED, agrees=True) is What.SEEN_PROVED
    assert core.seen(revealing, mine.REJECTED, agrees=True) is What.SEEN_WAIT
    assert core.seen(active, mine.UNSET, agrees=True) is What.SEEN_NOTHING
    assert core.seen(revealing, mine.UNSET, agrees=True) is What.SEEN_CLOSED
    for status in (ChainTaskStatus.COMPLETED, ChainTaskStatus.FAILED):
        for contribution in mine:
            assert core.seen(status, contribution, agrees=True) is What.SEEN_OVER


_causes = st.sampled_from(list(Cause))
_events = st.one_of(
    st.builds(
        happened, st.sampled_from(list(What)), run=st.integers(1, 4), cause=st.none() | _causes,
        facts=st.none() | st.just(FACTS), digest=st.none() | st.just(DIGEST),
    ),
    st.builds(start, st.integers(1, 30)),
    st.builds(
        lambda kind, seq, cause: news(kind, seq, **({"cause": cause} if kind in ("ABORT", "CONTRIBUTE_ERROR") else {})),
        st.sampled_from([k for k in NotificationType if k is not NotificationType.START]), st.integers(1, 30), _causes,
    ),
    st.builds(Answered, st.just(TASK), st.sampled_from(list(ReplicateStatus)), st.sampled_from(list(Verdict))),
    st.builds(Weighed, st.builds(Stance, willing=st.booleans(), halted=st.booleans(), asleep=st.booleans())),
    st.builds(Funded, st.sampled_from(["", "no stake"])),
    st.just(Tick()),
    st.just(Drain()),
    st.builds(GiveBack, st.just(frozenset({TASK})), _causes, st.just("why")),
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.lists(_events, max_size=40), st.integers(0, 3000))
def test_any_order_of_events_keeps_the_promises(events: list[core.Event], after_seconds: int) -> None:
    state = Worker(slots=1)
    for event in events:
        before = state
        state, effects = core.step(before, event, NOW + after_seconds)
        assert state.acked >= before.acked
        assert len([r for r in state.replicates.values() if r.stage in SLOT_STAGES]) <= 1
        assert core.free_slots(state) in (0, 1)
        assert Worker.model_validate_json(state.model_dump_json()) == state, "it survives the journal"
        for effect in effects:
            if isinstance(effect, Report):
                assert effect.update.cause is None or effect.update.status in ("FAILED", "ABORTED", "DECLINED")
        old, new = before.replicates.get(TASK), state.replicates.get(TASK)
        if old is not None and old.stage in STAKED and isinstance(event, Notified | Answered | Drain | GiveBack | Tick):
            assert new is not None and new.stage is old.stage, "only the chain ends a stake"
            assert (new.digest, new.run) == (old.digest, old.run)
        if new is not None and new.stage is Stage.REVEALING and old is not None and old.stage is not Stage.REVEALING:
            assert isinstance(event, Happened) and event.what is What.SEEN_REVEAL
