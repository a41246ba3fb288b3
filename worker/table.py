"""How a replicate may move, as data: stages, what can happen, and what follows.

`WORK` is what every stage begins with; `TABLE` has a row for every (stage, what happened) that means something. What
has no row changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from poco.states import ReplicateStatus
from poco.wire import NotificationType

R = ReplicateStatus


class Stage(StrEnum):
    """Where a replicate is; each stage names the work that is going on, or what is waited for."""

    VERIFYING = "VERIFYING"
    GATING = "GATING"
    PULLING = "PULLING"
    FETCHING = "FETCHING"
    RUNNING = "RUNNING"
    PROVING = "PROVING"
    FAILED = "FAILED"  # no result and no stake; the error result may still be asked for
    PROVING_ERROR = "PROVING_ERROR"
    DELIVERING = "DELIVERING"  # trust 1: the result goes to the scheduler before anything is on chain
    FINALIZING = "FINALIZING"  # contributeAndFinalize: never a stake
    CONTRIBUTING = "CONTRIBUTING"
    CONTRIBUTED = "CONTRIBUTED"  # a stake is locked: the chain is watched until the task ends
    REVEALING = "REVEALING"
    REVEALED = "REVEALED"
    UPLOADING = "UPLOADING"
    UPLOADED = "UPLOADED"
    SETTLING = "SETTLING"  # nothing is left to do but to read what was earned
    ENDED = "ENDED"


class Do(StrEnum):
    """An effect on one replicate."""

    VERIFY = "VERIFY"
    GATE = "GATE"
    PULL = "PULL"
    FETCH = "FETCH"
    RUN = "RUN"
    PROVE = "PROVE"
    PROVE_ERROR = "PROVE_ERROR"
    DELIVER = "DELIVER"
    FINALIZE = "FINALIZE"
    CONTRIBUTE = "CONTRIBUTE"
    CHECK = "CHECK"
    REVEAL = "REVEAL"
    UPLOAD = "UPLOAD"
    SETTLE = "SETTLE"
    CLEAN = "CLEAN"


class What(StrEnum):
    """What happened to a replicate: outcomes of effects, notifications, and what the chain was seen to hold."""

    VERIFIED = "VERIFIED"
    ADMITTED = "ADMITTED"
    DECLINED = "DECLINED"
    PULLED = "PULLED"
    FETCHED = "FETCHED"
    RAN = "RAN"
    PROVEN = "PROVEN"
    PROVEN_ALONE = "PROVEN_ALONE"  # and the scheduler and the deal let this worker finalize it alone
    DELIVERED = "DELIVERED"
    FINALIZED = "FINALIZED"
    USUAL_WAY = "USUAL_WAY"  # it cannot be finalized alone: contribute, then reveal
    CONTRIBUTED = "CONTRIBUTED"
    REVEALED = "REVEALED"
    REVEALED_UPLOAD_ASKED = "REVEALED_UPLOAD_ASKED"
    UPLOADED = "UPLOADED"
    UPLOAD_FAILED = "UPLOAD_FAILED"
    SETTLED_PAID = "SETTLED_PAID"
    SETTLED_UNPAID = "SETTLED_UNPAID"
    FAILED = "FAILED"
    FAILED_KEEP = "FAILED_KEEP"  # for a cause that an error result may be contributed for
    SEEN_OVER = "SEEN_OVER"  # the task is completed or failed
    SEEN_REVEAL = "SEEN_REVEAL"  # this worker's result has consensus and may be revealed now
    SEEN_PROVED = "SEEN_PROVED"
    SEEN_NOTHING = "SEEN_NOTHING"  # no contribution of this worker, and one is possible
    SEEN_CLOSED = "SEEN_CLOSED"  # no contribution of this worker, and none is possible any more
    SEEN_WAIT = "SEEN_WAIT"
    ERROR_ASKED = "ERROR_ASKED"
    ERROR_ASKED_OTHER = "ERROR_ASKED_OTHER"
    REVEAL_ASKED = "REVEAL_ASKED"
    UPLOAD_ASKED = "UPLOAD_ASKED"
    COMPLETE = "COMPLETE"
    ABORT = "ABORT"
    GIVEN_BACK = "GIVEN_BACK"  # this worker will not do it: it is stopped, or has no energy for it
    LATE = "LATE"  # the contribution deadline is over


@dataclass(frozen=True, slots=True)
class Move:
    """A row of the table: next stage, reports, and effects beside the next stage's own work."""

    to: Stage
    reports: tuple[ReplicateStatus, ...] = ()
    also: tuple[Do, ...] = ()


#: The work a stage begins with, at entry and again after a restart (every effect can be repeated).
WORK: dict[Stage, tuple[Do, ...]] = {
    Stage.VERIFYING: (Do.VERIFY,),
    Stage.GATING: (Do.GATE,),
    Stage.PULLING: (Do.PULL,),
    Stage.FETCHING: (Do.FETCH,),
    Stage.RUNNING: (Do.RUN,),
    Stage.PROVING: (Do.PROVE,),
    Stage.FAILED: (Do.CLEAN,),
    Stage.PROVING_ERROR: (Do.PROVE_ERROR,),
    Stage.DELIVERING: (Do.DELIVER,),
    Stage.FINALIZING: (Do.FINALIZE,),
    Stage.CONTRIBUTING: (Do.CONTRIBUTE,),
    Stage.CONTRIBUTED: (Do.CHECK,),
    Stage.REVEALING: (Do.REVEAL,),
    Stage.REVEALED: (),
    Stage.UPLOADING: (Do.UPLOAD,),
    Stage.UPLOADED: (),
    Stage.SETTLING: (Do.CLEAN, Do.SETTLE),
    Stage.ENDED: (Do.CLEAN,),
}

_S, _W = Stage, What

#: Stages that hold one of the worker's slots.
SLOT_STAGES = frozenset({_S.VERIFYING, _S.GATING, _S.PULLING, _S.FETCHING, _S.RUNNING, _S.PROVING})
#: Stages without anything on chain: they can be dropped at no cost.
UNSTAKED = SLOT_STAGES | {_S.FAILED, _S.PROVING_ERROR, _S.DELIVERING}
#: Effects that a stake may depend on.
STAKE_EFFECTS = frozenset({Do.FINALIZE, Do.CONTRIBUTE, Do.CHECK, Do.REVEAL, Do.SETTLE})
#: Effects whose stage nothing but their own outcome ends: what they have sent is followed to its end.
FOLLOWED = frozenset({Do.FINALIZE, Do.CONTRIBUTE, Do.REVEAL})
#: Stages in which the chain is watched, and with what.
WATCHED: dict[Stage, Do] = {
    _S.CONTRIBUTED: Do.CHECK,
    _S.REVEALED: Do.CHECK,
    _S.UPLOADED: Do.CHECK,
    _S.SETTLING: Do.SETTLE,
}
#: Stages in which a transaction or an upload is going on.
IN_HAND = frozenset({_S.PROVING_ERROR, _S.DELIVERING, _S.FINALIZING, _S.CONTRIBUTING, _S.REVEALING, _S.UPLOADING})
#: Stages beside those with a slot that a draining worker stays for.
UNFINISHED = IN_HAND | {_S.CONTRIBUTED, _S.REVEALED, _S.SETTLING}

TABLE: dict[tuple[Stage, What], Move] = {
    (_S.VERIFYING, _W.VERIFIED): Move(_S.GATING),
    (_S.VERIFYING, _W.DECLINED): Move(_S.ENDED, (R.DECLINED,)),
    (_S.GATING, _W.ADMITTED): Move(_S.PULLING, (R.STARTED,)),
    (_S.GATING, _W.DECLINED): Move(_S.ENDED, (R.DECLINED,)),
    (_S.PULLING, _W.PULLED): Move(_S.FETCHING, (R.APP_DOWNLOADED,)),
    (_S.FETCHING, _W.FETCHED): Move(_S.RUNNING, (R.DATA_DOWNLOADED, R.COMPUTING)),
    (_S.RUNNING, _W.RAN): Move(_S.PROVING),
    (_S.PROVING, _W.PROVEN): Move(_S.CONTRIBUTING, (R.COMPUTED, R.CONTRIBUTING)),
    **{(stage, _W.FAILED): Move(_S.ENDED, (R.FAILED,)) for stage in (*SLOT_STAGES, _S.PROVING_ERROR)},
    **{(stage, _W.FAILED_KEEP): Move(_S.FAILED, (R.FAILED,)) for stage in SLOT_STAGES},
    **{(stage, _W.ABORT): Move(_S.ENDED, (R.ABORTED,)) for stage in UNSTAKED},
    **{(stage, _W.COMPLETE): Move(_S.ENDED) for stage in UNSTAKED},
    **{(stage, _W.GIVEN_BACK): Move(_S.ENDED, (R.FAILED,)) for stage in UNSTAKED - {_S.FAILED}},
    (_S.FAILED, _W.ERROR_ASKED): Move(_S.PROVING_ERROR),
    (_S.FAILED, _W.LATE): Move(_S.ENDED),
    (_S.PROVING_ERROR, _W.PROVEN): Move(_S.CONTRIBUTING, (R.CONTRIBUTING,)),
    (_S.PROVING, _W.PROVEN_ALONE): Move(_S.DELIVERING, (R.COMPUTED,)),
    (_S.PROVING_ERROR, _W.PROVEN_ALONE): Move(_S.DELIVERING),
    (_S.DELIVERING, _W.DELIVERED): Move(_S.FINALIZING, (R.CONTRIBUTING,)),
    (_S.DELIVERING, _W.USUAL_WAY): Move(_S.CONTRIBUTING, (R.CONTRIBUTING,)),
    (_S.FINALIZING, _W.FINALIZED): Move(_S.SETTLING, (R.CONTRIBUTED,)),
    (_S.FINALIZING, _W.USUAL_WAY): Move(_S.CONTRIBUTING),
    (_S.FINALIZING, _W.ABORT): Move(_S.FINALIZING),  # stops the effect if nothing was sent yet
    **{
        (stage, what): Move(_S.ENDED, (R.FAILED,))
        for stage in (_S.DELIVERING, _S.FINALIZING)
        for what in (_W.FAILED, _W.FAILED_KEEP)
    },
    (_S.SETTLING, _W.SEEN_NOTHING): Move(_S.FINALIZING),  # a reorganisation took it away
    (_S.CONTRIBUTING, _W.CONTRIBUTED): Move(_S.CONTRIBUTED, (R.CONTRIBUTED,)),
    (_S.CONTRIBUTING, _W.FAILED): Move(_S.ENDED, (R.FAILED,)),
    (_S.CONTRIBUTING, _W.FAILED_KEEP): Move(_S.ENDED, (R.FAILED,)),
    (_S.CONTRIBUTING, _W.ABORT): Move(_S.CONTRIBUTING),  # stops the effect if nothing was sent yet
    # whatever the scheduler says of a stake is looked up on chain; after a reopening even a loser may still win
    (_S.CONTRIBUTED, _W.REVEAL_ASKED): Move(_S.CONTRIBUTED, (), (Do.CHECK,)),
    (_S.CONTRIBUTED, _W.UPLOAD_ASKED): Move(_S.CONTRIBUTED, (), (Do.CHECK,)),
    (_S.CONTRIBUTED, _W.COMPLETE): Move(_S.CONTRIBUTED, (), (Do.CHECK,)),
    (_S.CONTRIBUTED, _W.ABORT): Move(_S.CONTRIBUTED, (R.ABORTED,), (Do.CHECK,)),
    (_S.CONTRIBUTED, _W.SEEN_REVEAL): Move(_S.REVEALING, (R.REVEALING,)),
    (_S.CONTRIBUTED, _W.SEEN_PROVED): Move(_S.REVEALED, (R.REVEALED,)),
    (_S.CONTRIBUTED, _W.REVEALED_UPLOAD_ASKED): Move(_S.UPLOADING, (R.REVEALED, R.RESULT_UPLOADING)),
    (_S.CONTRIBUTED, _W.SEEN_OVER): Move(_S.SETTLING),
    (_S.CONTRIBUTED, _W.SEEN_NOTHING): Move(_S.CONTRIBUTING),  # a reorganisation took it away
    (_S.CONTRIBUTED, _W.SEEN_CLOSED): Move(_S.ENDED, (R.ABORTED,)),
    (_S.REVEALING, _W.REVEALED): Move(_S.REVEALED, (R.REVEALED,)),
    (_S.REVEALING, _W.REVEALED_UPLOAD_ASKED): Move(_S.UPLOADING, (R.REVEALED, R.RESULT_UPLOADING)),
    (_S.REVEALING, _W.UPLOAD_ASKED): Move(_S.REVEALING),
    (_S.REVEALING, _W.FAILED): Move(_S.SETTLING, (R.FAILED,)),
    (_S.REVEALED, _W.UPLOAD_ASKED): Move(_S.UPLOADING, (R.RESULT_UPLOADING,)),
    (_S.REVEALED, _W.SEEN_REVEAL): Move(_S.REVEALING),  # a reorganisation took the reveal away
    (_S.UPLOADING, _W.UPLOADED): Move(_S.UPLOADED, (R.RESULT_UPLOADED,)),
    (_S.UPLOADING, _W.UPLOAD_FAILED): Move(_S.REVEALED, (R.FAILED,)),
    (_S.UPLOADED, _W.UPLOAD_ASKED): Move(_S.UPLOADING, (R.RESULT_UPLOADING,)),
    **{(stage, _W.SEEN_OVER): Move(_S.SETTLING) for stage in (_S.REVEALED, _S.UPLOADING, _S.UPLOADED)},
    # the result is kept until the chain says that the task is over, whatever the scheduler says
    **{(stage, _W.COMPLETE): Move(_S.REVEALED, (), (Do.CHECK,)) for stage in (_S.REVEALED, _S.UPLOADING)},
    **{(stage, _W.ABORT): Move(_S.REVEALED, (R.ABORTED,), (Do.CHECK,)) for stage in (_S.REVEALED, _S.UPLOADING)},
    (_S.UPLOADED, _W.COMPLETE): Move(_S.UPLOADED, (), (Do.CHECK,)),
    (_S.UPLOADED, _W.ABORT): Move(_S.UPLOADED, (R.ABORTED,), (Do.CHECK,)),
    (_S.SETTLING, _W.SETTLED_PAID): Move(_S.ENDED, (R.COMPLETED,)),
    (_S.SETTLING, _W.SETTLED_UNPAID): Move(_S.ENDED),
}

ASKED: dict[NotificationType, What] = {
    NotificationType.CONTRIBUTE_ERROR: What.ERROR_ASKED,
    NotificationType.REVEAL: What.REVEAL_ASKED,
    NotificationType.UPLOAD: What.UPLOAD_ASKED,
    NotificationType.COMPLETE: What.COMPLETE,
    NotificationType.ABORT: What.ABORT,
}
