"""From a proven result to its pay: deliver, contribute or finalize, reveal, upload, settle.

All of it may be repeated after a restart. What was sent is followed to its end; what was not is given up when it is
of no use any more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from chain.client import ChainUnreachableError
from poco.errors import BadInputError, Cause, PewError
from worker import shortcut
from worker.chain import PoolChain, RefusalError
from worker.core import Facts, Happened, Replicate, about
from worker.journal import Journal
from worker.link import Backoff, Link, SchedulerRefusedError
from worker.log import Log
from worker.runner.errors import RunError
from worker.runner.folders import TaskFolder
from worker.runner.protocol import Runner
from worker.shortcut import Delivery, UsualWayError
from worker.table import Stage, What
from worker.transport import while_wanted

#: Codes of failures that may pass by themselves.
_PASSING = frozenset({"CHAIN_UNREACHABLE", "CHAIN_ERROR", "PENDING", "NOT_SENT", "FEES_TOO_HIGH", "SCHEDULER_DOWN"})


def facts_of(replicate: Replicate) -> Facts:
    """What verification found; BadInputError before it."""
    if replicate.facts is None:
        raise BadInputError(f"task {replicate.task_id} was not verified", code="NOT_VERIFIED")
    return replicate.facts


def persist(
    log: Log,
    replicate: Replicate,
    stop: threading.Event,
    until: float,
    call: Callable[[], Happened],
    *,
    committed: Callable[[], bool] = lambda: False,
    over: Callable[[], bool] = lambda: True,
) -> Happened | None:
    """Call until it works; None when given up. What still fails after `until` (Unix seconds) is raised.

    Args:
        committed: whether something was sent that must be followed to its end, whatever `stop` says.
        over: asked after `until`, since this machine's clock may be fast: whether it is really too late.
    """
    # a stake waits for its reveal: a chain that answers now and then must be met while it does
    pauses = Backoff(0.5, 2 if replicate.stage is Stage.REVEALING else 30)
    while True:
        try:
            return call()
        except PewError as error:
            if error.code not in _PASSING and not isinstance(error, ChainUnreachableError):
                raise
            if time.time() > until and over():
                raise RefusalError(Cause.INTERNAL_ERROR, error.message, error.hint) from None
            log.warning("trying_again", task=replicate.task_id, stage=replicate.stage, why=error.message)
        pause = pauses.pause()
        if stop.wait(pause):
            if not committed():
                return None
            time.sleep(pause)


def _given_up(replicate: Replicate, stop: threading.Event) -> Callable[[], bool]:
    """Whether the work was given up: by this process, or before it began to run."""
    return lambda: replicate.aborted is not None or stop.is_set()


@dataclass(frozen=True, slots=True)
class Finisher:
    """The hands for all that follows a proof."""

    journal: Journal
    chain: PoolChain
    link: Link
    runner: Runner
    log: Log
    folder: Callable[[str], TaskFolder]

    def deliver(self, replicate: Replicate, stop: threading.Event) -> Happened | None:
        """Give the result to the scheduler before anything is on chain, and hold its answer against the zip."""
        task_id, run, facts = replicate.task_id, replicate.run, facts_of(replicate)
        archive, kept = self.folder(task_id).zip, self.journal.result(task_id, run)
        if kept is None or not archive.exists():
            raise RunError(Cause.INTERNAL_ERROR, "the proven result is gone")
        delivery = shortcut.delivery_of(archive, kept.sha256, callback=facts.callback)
        self.journal.delivery_kept(task_id, run, delivery.location, delivery.callback)
        told = self._upload_went(replicate)

        def once() -> Happened:
            with while_wanted(stop):
                location = self.link.upload(task_id, archive, stop.is_set, digest=kept.digest, told=told).location
            if location != delivery.location:
                raise RefusalError(
                    Cause.RESULT_UPLOAD_FAILED,
                    f"the scheduler says that the result lies at {location[:100]}, not at {delivery.location}",
                    "do not work for this scheduler: it would have a wrong place written on chain",
                )
            return about(replicate, What.DELIVERED)

        try:
            return persist(self.log, replicate, stop, facts.contribution_deadline, once)
        except SchedulerRefusedError as error:
            if error.code == "NOT_ALONE":
                return about(replicate, What.USUAL_WAY)
            raise RefusalError(Cause.RESULT_UPLOAD_FAILED, error.message, error.hint) from None

    def finalize(self, replicate: Replicate, stop: threading.Event) -> Happened | None:
        """Contribute, reveal and finalize in one transaction."""
        kept = self.journal.delivery(replicate.task_id, replicate.run)
        if kept is None:
            return about(replicate, What.USUAL_WAY)

        def once() -> Happened:
            self._require_wanted(replicate, stop, shortcut.STEP)
            tx_hash = shortcut.finalize(self.chain, replicate, Delivery(*kept), _given_up(replicate, stop))
            self._tidy(replicate.task_id)
            return about(replicate, What.FINALIZED, tx_hash=tx_hash)

        try:
            return self._follow(replicate, stop, shortcut.STEP, once)
        except UsualWayError as error:
            self.log.info("usual_way", task=replicate.task_id, why=error.message)
            return about(replicate, What.USUAL_WAY)

    def contribute(self, replicate: Replicate, stop: threading.Event) -> Happened | None:
        """Stake on the result."""

        def once() -> Happened:
            self._require_wanted(replicate, stop, "contribute")
            tx_hash = self.chain.contribute(replicate, _given_up(replicate, stop))
            self._tidy(replicate.task_id)
            return about(replicate, What.CONTRIBUTED, tx_hash=tx_hash)

        return self._follow(replicate, stop, "contribute", once)

    def _follow(
        self, replicate: Replicate, stop: threading.Event, step: str, once: Callable[[], Happened]
    ) -> Happened | None:
        """What was sent must be followed to its end: only the task's own end makes it useless."""

        def over() -> bool:
            return not self.journal.sent(replicate.task_id, step) or self._is_over(replicate)

        until = facts_of(replicate).final_deadline
        return persist(self.log, replicate, stop, until, once, committed=lambda: True, over=over)

    def _is_over(self, replicate: Replicate) -> bool:
        """Whether the final deadline has passed by the chain's own time; while that cannot be asked it has not."""
        try:
            return self.chain.now() > facts_of(replicate).final_deadline
        except PewError:
            return False

    def _require_wanted(self, replicate: Replicate, stop: threading.Event, step: str) -> None:
        """RefusalError when the work was given up before anything was signed: then the chain need not be asked."""
        if _given_up(replicate, stop)() and not self.journal.sent(replicate.task_id, step):
            raise RefusalError(replicate.aborted or Cause.TASK_NOT_ACTIVE, "given up before anything was sent")

    def _tidy(self, task_id: str) -> None:
        """Drop what only the run needed; the zip stays. What cannot be dropped now goes when the task ends."""
        try:
            self.runner.remove(task_id)
        except RunError as error:
            self.log.warning("cannot_tidy", task=task_id, why=error.message)
        self.folder(task_id).drop_work()

    def check(self, replicate: Replicate, _stop: threading.Event) -> Happened | None:
        """Look at the chain for what is staked."""
        try:
            return about(replicate, self.chain.look(replicate))
        except PewError as error:
            self.log.warning("cannot_check", task=replicate.task_id, why=error.message)
            return None

    def reveal(self, replicate: Replicate, stop: threading.Event) -> Happened | None:
        """Reveal what was contributed."""

        def once() -> Happened:
            return about(replicate, What.REVEALED, tx_hash=self.chain.reveal(replicate))

        until = facts_of(replicate).final_deadline
        return persist(self.log, replicate, stop, until, once, over=lambda: self._is_over(replicate))

    def upload(self, replicate: Replicate, stop: threading.Event) -> Happened | None:
        """Give the revealed result to the scheduler."""
        task_id, run = replicate.task_id, replicate.run
        archive = self.folder(task_id).zip
        if not archive.exists():
            return about(replicate, What.UPLOAD_FAILED, Cause.RESULT_UPLOAD_FAILED, reason="the zip is gone")
        told = self._upload_went(replicate)

        def once() -> Happened:
            self.journal.upload_begins(task_id, run, int(time.time()))
            with while_wanted(stop):
                location = self.link.upload(task_id, archive, stop.is_set, told=told).location
            self.journal.upload_done(task_id, run, location[:300])
            return about(replicate, What.UPLOADED)

        try:
            return persist(self.log, replicate, stop, facts_of(replicate).final_deadline, once)
        except (SchedulerRefusedError, RefusalError) as error:  # refused, or the scheduler is gone for too long
            return about(replicate, What.UPLOAD_FAILED, Cause.RESULT_UPLOAD_FAILED, reason=str(error))

    def _upload_went(self, replicate: Replicate) -> Callable[[int], None]:
        """Writes down how much of an upload the scheduler has."""
        task_id, run = replicate.task_id, replicate.run
        return lambda sent: self.journal.upload_went(task_id, run, sent, int(time.time()))

    def settle(self, replicate: Replicate, _stop: threading.Event) -> Happened | None:
        """What the task brought, once it is over on chain."""
        task_id = replicate.task_id
        try:
            settled = self.chain.settle(task_id)
            if settled is None:
                alone = self.journal.sent(task_id, shortcut.STEP)
                return about(replicate, self.chain.look(replicate)) if alone else None
        except PewError as error:
            self.log.warning("cannot_settle", task=task_id, why=error.message)
            return None
        now = int(time.time())
        status, reward, seized = settled.status.name, settled.reward_nrlc, settled.seized_nrlc
        self.journal.earned(task_id, now, status, reward, seized)
        self.log.info("settled", task=task_id, status=status, reward_nrlc=reward, seized_nrlc=seized)
        return about(replicate, What.SETTLED_PAID if settled.counted else What.SETTLED_UNPAID)
