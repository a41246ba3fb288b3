"""The worker's mind: `step(state, event, now) -> (state, effects)`, no clock, no I/O.

A replicate moves by `TABLE` alone: (stage, what happened) gives the next stage, what is reported to the scheduler and
what is done beside the work that every stage begins with (`WORK`). What is not in the table changes nothing, so that a
notification that comes twice, late or in the wrong order does no harm. Whether a stake is at risk is always asked of
the chain (`What.SEEN_*`), never of the scheduler.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import Field, ValidationError

from poco.errors import ERROR_RESULT_CAUSES, Cause
from poco.logtext import plain
from poco.states import ChainTaskStatus, ContributionStatus, Presence, ReplicateStatus
from poco.wire import Logs, Message, Notification, NotificationType, StatusUpdate, Verdict
from worker.orders import Commanded, Inbox, Orders, Reply, take
from worker.table import ASKED, IN_HAND, SLOT_STAGES, TABLE, UNFINISHED, WATCHED, WORK, Do, Stage, What

R = ReplicateStatus

#: Numbers of notifications begin at the scheduler's clock, in milliseconds. One that is further ahead of this worker's
#: clock than a day would make it deaf to all that come after it.
MAX_AHEAD_SECONDS = 86_400


class Facts(Message):
    """What verification read from the chain; kept so that a restart needs no second look."""

    app: str
    image: str
    checksum: str
    dataset: str | None = None
    dataset_url: str = ""
    dataset_checksum: str = ""
    params: str = ""
    callback: bool = False
    bot_first: int = 0
    bot_size: int = 1
    trust: int = 0
    run_seconds: int
    contribution_deadline: int
    final_deadline: int
    stake_nrlc: int = 0
    reward_nrlc: int = 0
    gas_nrlc: int = 0


class Replicate(Message):
    """This worker's run of one task. `run` tells two runs of one task apart."""

    task_id: str
    run: int
    stage: Stage = Stage.VERIFYING
    deal_id: str
    index: int
    authorization: str
    enclave_challenge: str
    finalize: bool = False
    facts: Facts | None = None
    digest: str | None = None
    cause: Cause | None = None
    aborted: Cause | None = None
    upload_asked: bool = False


class Stance(Message):
    """What the energy gate says of the worker as a whole, in its words."""

    willing: bool = True
    halted: bool = False
    asleep: bool = False
    words: str = ""
    resume_at: int | None = None


class Worker(Message):
    """The whole state. `trouble` is why no work can be taken for now (no stake, no gas), in words.

    `acked`: the last notification that was taken over; `commanded`: the last command, which may have come earlier.
    """

    slots: int
    acked: int = 0
    commanded: int = 0
    orders: Orders = Orders()
    draining: bool = False
    trouble: str = ""
    stance: Stance = Stance()
    replicates: dict[str, Replicate] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Notified:
    notification: Notification


@dataclass(frozen=True, slots=True)
class Happened:
    """The outcome of an effect of one run."""

    task_id: str
    run: int
    what: What
    facts: Facts | None = None
    digest: str | None = None
    cause: Cause | None = None
    reason: str = ""
    exit_code: int | None = None
    logs: Logs | None = None
    tx_hash: str | None = None


@dataclass(frozen=True, slots=True)
class Answered:
    """The scheduler's verdict on a report."""

    task_id: str
    status: ReplicateStatus
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Weighed:
    stance: Stance


@dataclass(frozen=True, slots=True)
class Funded:
    """Whether stake and gas suffice: `trouble` is empty, or what is wrong."""

    trouble: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Time to look at the chain for everything that is staked."""


@dataclass(frozen=True, slots=True)
class Drain:
    """No new work from now on."""


@dataclass(frozen=True, slots=True)
class GiveBack:
    """These tasks will not be done here; one that has a stake is not given up by this."""

    tasks: frozenset[str]
    cause: Cause
    reason: str


Event = Notified | Commanded | Happened | Answered | Weighed | Funded | Tick | Drain | GiveBack


@dataclass(frozen=True, slots=True)
class Effect:
    do: Do
    task_id: str
    run: int


@dataclass(frozen=True, slots=True)
class Report:
    task_id: str
    update: StatusUpdate


Outcome = Effect | Report | Reply


def seen(task: ChainTaskStatus, contribution: ContributionStatus, *, agrees: bool) -> What:
    """What the chain's state means for whoever contributes to a task; whether it is in time, the chain decides too.

    Args:
        task: status of the task on chain.
        contribution: status of this worker's contribution.
        agrees: whether the consensus is this worker's result.
    """
    if task in (ChainTaskStatus.COMPLETED, ChainTaskStatus.FAILED):
        return What.SEEN_OVER
    if contribution is ContributionStatus.PROVED:
        return What.SEEN_PROVED
    if contribution is ContributionStatus.CONTRIBUTED:
        return What.SEEN_REVEAL if task is ChainTaskStatus.REVEALING and agrees else What.SEEN_WAIT
    if contribution is ContributionStatus.UNSET:
        return What.SEEN_NOTHING if task is ChainTaskStatus.ACTIVE else What.SEEN_CLOSED
    return What.SEEN_WAIT


def step(state: Worker, event: Event, now: int) -> tuple[Worker, list[Outcome]]:
    """The state after an event, and what is to be done and reported because of it."""
    match event:
        case Notified(notification):
            return _notified(state, notification, now)
        case Commanded():
            return _commanded(state, event, now)
        case Happened():
            replicate = state.replicates.get(event.task_id)
            if replicate is None or replicate.run != event.run:
                return state, []
            return _move(state, replicate, event, now)
        case Answered(task_id, status, verdict):
            replicate = state.replicates.get(task_id)
            if verdict is not Verdict.ABORT or replicate is None or status in (R.ABORTED, R.COMPLETED, R.DECLINED):
                return state, []
            return _move(state, replicate, about(replicate, What.ABORT, Cause.TASK_NOT_ACTIVE), now)
        case Weighed(stance):
            return state.model_copy(update={"stance": stance}), []
        case Funded(trouble):
            return state.model_copy(update={"trouble": plain(trouble)}), []
        case Tick():
            return _tick(state, now)
        case Drain():
            return state.model_copy(update={"draining": True}), []
        case GiveBack():
            return _give_back(state, event, now)


def resume(state: Worker) -> list[Effect]:
    """The work to take up again after a restart."""
    return [Effect(do, r.task_id, r.run) for r in state.replicates.values() for do in WORK[r.stage]]


def free_slots(state: Worker) -> int:
    """How many more tasks this worker wants now."""
    taken = sum(r.stage in SLOT_STAGES for r in state.replicates.values())
    return max(0, state.slots - taken) if not _unwilling(state) else 0


def presence(state: Worker) -> Presence:
    """How the worker announces itself."""
    if state.draining or state.orders.drain:
        return Presence.DRAINING
    if state.stance.asleep:
        return Presence.ASLEEP
    if _unwilling(state):
        return Presence.BUSY
    working = any(r.stage in SLOT_STAGES for r in state.replicates.values())
    return Presence.WORKING if working else Presence.WAITING


def _unwilling(state: Worker) -> bool:
    return state.draining or state.orders.drain or bool(state.trouble) or not state.stance.willing


def _commanded(state: Worker, event: Commanded, now: int) -> tuple[Worker, list[Outcome]]:
    if event.seq > 1000 * (now + MAX_AHEAD_SECONDS):
        return state, []
    inbox, replies = take(Inbox(state.acked, state.commanded, state.orders), event, now)
    return state.model_copy(update=inbox._asdict()), list(replies)


def _notified(state: Worker, news: Notification, now: int) -> tuple[Worker, list[Outcome]]:
    if not state.acked < news.seq <= 1000 * (now + MAX_AHEAD_SECONDS):
        return state, []
    state = state.model_copy(update={"acked": news.seq})
    try:
        return _obeyed(state, news, now)
    except ValidationError:
        return state, []  # data that its type cannot have: never understood, however often it is sent


def _obeyed(state: Worker, news: Notification, now: int) -> tuple[Worker, list[Outcome]]:
    replicate = state.replicates.get(news.task_id)
    if news.type is NotificationType.START:
        return _offered(state, news, replicate, now)
    if replicate is None or news.type not in ASKED:
        return state, []
    what = ASKED[news.type]
    cause = news.cause() if news.type in (NotificationType.CONTRIBUTE_ERROR, NotificationType.ABORT) else None
    if what is What.ERROR_ASKED and cause is not replicate.cause:
        what = What.ERROR_ASKED_OTHER
    return _move(state, replicate, about(replicate, what, cause), now)


def _offered(state: Worker, news: Notification, old: Replicate | None, now: int) -> tuple[Worker, list[Outcome]]:
    if old is not None and old.stage is not Stage.FAILED:
        return state, []
    if free_slots(state) == 0:
        cause, reason = _why_not(state)
        update = StatusUpdate(status=R.DECLINED, at=now, cause=cause, reason=reason)
        return state, [Report(news.task_id, update)]
    start = news.start()
    replicate = Replicate(
        task_id=news.task_id,
        run=news.seq,
        deal_id=start.deal_id,
        index=start.index,
        authorization=start.authorization,
        enclave_challenge=start.enclave_challenge,
        finalize=start.finalize,
    )
    return _with(state, replicate), [Effect(do, replicate.task_id, replicate.run) for do in WORK[replicate.stage]]


def _why_not(state: Worker) -> tuple[Cause | None, str]:
    if state.draining:
        return Cause.WORKER_STOPPED, "this worker is going away"
    if state.orders.drain:
        return Cause.WORKER_STOPPED, "the pool's operator drains this worker"
    if state.trouble:
        return Cause.STAKE_TOO_LOW, state.trouble[:500]
    if not state.stance.willing:
        return Cause.ENERGY, state.stance.words[:500]
    return None, "all slots are taken"


def _tick(state: Worker, now: int) -> tuple[Worker, list[Outcome]]:
    effects: list[Outcome] = []
    for replicate in list(state.replicates.values()):
        if replicate.stage in WATCHED:
            effects.append(Effect(WATCHED[replicate.stage], replicate.task_id, replicate.run))
        elif replicate.stage is Stage.FAILED and replicate.facts and now >= replicate.facts.contribution_deadline:
            state, more = _move(state, replicate, about(replicate, What.LATE), now)
            effects += more
    return state, effects


def _give_back(state: Worker, event: GiveBack, now: int) -> tuple[Worker, list[Outcome]]:
    effects: list[Outcome] = []
    for replicate in [r for task_id, r in state.replicates.items() if task_id in event.tasks]:
        state, more = _move(state, replicate, about(replicate, What.GIVEN_BACK, event.cause, reason=event.reason), now)
        effects += more
    return state, effects


def about(replicate: Replicate, what: What, cause: Cause | None = None, **values: Any) -> Happened:
    """An outcome of this replicate's run."""
    return Happened(replicate.task_id, replicate.run, what, cause=cause, **values)


def _refined(replicate: Replicate, event: Happened) -> What:
    """The outcome with what the replicate knows taken into account."""
    if event.what is What.FAILED and event.cause in ERROR_RESULT_CAUSES and (event.facts or replicate.facts):
        return What.FAILED_KEEP
    if event.what in (What.REVEALED, What.SEEN_PROVED) and replicate.upload_asked:
        return What.REVEALED_UPLOAD_ASKED
    if event.what is What.PROVEN and replicate.finalize and replicate.facts and replicate.facts.trust == 1:
        return What.PROVEN_ALONE
    return event.what


def _move(state: Worker, replicate: Replicate, event: Happened, now: int) -> tuple[Worker, list[Outcome]]:
    what = _refined(replicate, event)
    move = TABLE.get((replicate.stage, what))
    if move is None:
        return state, []
    update: dict[str, object] = {"stage": move.to}
    if event.facts is not None:
        update["facts"] = event.facts
    if event.digest is not None:
        update["digest"] = event.digest
    if what is What.ABORT:
        update["aborted"] = event.cause
    elif what is What.UPLOAD_ASKED:
        update["upload_asked"] = True
    elif move.to is Stage.FAILED:
        update["cause"] = event.cause
    after = replicate.model_copy(update=update)
    effects: list[Outcome] = [_report(after, status, event, now) for status in move.reports]
    begins = WORK[move.to] if move.to is not replicate.stage else ()
    effects += [Effect(do, after.task_id, after.run) for do in (*begins, *move.also)]
    return _with(state, after), effects


def _report(replicate: Replicate, status: ReplicateStatus, event: Happened, now: int) -> Report:
    cause = event.cause
    if status is R.FAILED and replicate.aborted is not None and event.what is What.FAILED:
        status, cause = R.ABORTED, replicate.aborted
    ends = status in (R.FAILED, R.ABORTED, R.DECLINED)
    tells = status is R.COMPUTED or ends
    return Report(
        replicate.task_id,
        StatusUpdate(
            status=status,
            at=now,
            tx_hash=event.tx_hash if status in (R.CONTRIBUTED, R.REVEALED) else None,
            cause=cause if ends else None,
            reason=plain(event.reason)[:500] if ends else "",  # it may quote a stranger
            exit_code=event.exit_code if tells else None,
            logs=event.logs if tells else None,
        ),
    )


def _with(state: Worker, *changed: Replicate) -> Worker:
    replicates = {**state.replicates, **{r.task_id: r for r in changed}}
    alive = {key: r for key, r in replicates.items() if r.stage is not Stage.ENDED}
    return state.model_copy(update={"replicates": alive})


def in_hand(replicates: Iterable[Replicate]) -> bool:
    """Whether a transaction or an upload is going on."""
    return any(r.stage in IN_HAND for r in replicates)


def unfinished(replicates: Iterable[Replicate]) -> list[Replicate]:
    """What a draining worker stays for: all but what was given up, and what others have to finish."""
    return [r for r in replicates if r.stage in SLOT_STAGES | UNFINISHED]
