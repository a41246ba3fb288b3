"""Performs the effects that the core asks for: one call, one outcome.

Everything here may be repeated after a restart. What fails for a passing reason (no chain, no scheduler, an engine that
restarts) is tried again for as long as it can still be of use.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Protocol

from poco import params, sensors
from poco.errors import BadInputError, Cause, PewError
from poco.result import ResultError, digest
from poco.wire import Logs
from worker.chain import PoolChain, RefusalError
from worker.config import WorkerConfig
from worker.core import Facts, Happened, Replicate
from worker.energy import Decision, Offer
from worker.journal import ContainerRow, Journal, ResultRow
from worker.link import Backoff, Link, SchedulerRefusedError
from worker.log import Log
from worker.proof import error_proof
from worker.runner.errors import Interrupted, RunError
from worker.runner.fetch import Fetcher, input_name
from worker.runner.folders import TaskFolder
from worker.runner.outputs import OutFolder, require_size, write_zip
from worker.runner.protocol import Control, Finished, Runner, RunSpec
from worker.table import Do, What

if TYPE_CHECKING:
    from worker.sensors.inputs import SensorInputs

_MB = 1_048_576
_VERIFY_SECONDS = 60
#: Codes of failures that may pass by themselves.
_PASSING = frozenset({"CHAIN_UNREACHABLE", "CHAIN_ERROR", "PENDING", "NOT_SENT", "SCHEDULER_DOWN"})


class Guard(Protocol):
    """The energy gate as effects see it."""

    def weigh(self, offer: Offer) -> Decision:
        """Whether to take an offered task."""
        ...

    @property
    def halted(self) -> bool:
        """Whether what runs must pause."""
        ...


@dataclass(frozen=True, slots=True)
class Performer:
    """The worker's hands."""

    config: WorkerConfig
    journal: Journal
    chain: PoolChain
    link: Link
    runner: Runner
    guard: Guard
    log: Log
    sensors: SensorInputs | None = None

    def perform(self, do: Do, replicate: Replicate, stop: threading.Event) -> Happened | None:
        """Do it; None where there is nothing to tell (given up, or not known yet)."""
        call: Callable[[Replicate, threading.Event], Happened | None] = {
            Do.VERIFY: self._verify,
            Do.GATE: self._gate,
            Do.PULL: self._pull,
            Do.FETCH: self._fetch,
            Do.RUN: self._run,
            Do.PROVE: self._prove,
            Do.PROVE_ERROR: self._prove_error,
            Do.CONTRIBUTE: self._contribute,
            Do.CHECK: self._check,
            Do.REVEAL: self._reveal,
            Do.UPLOAD: self._upload,
            Do.SETTLE: self._settle,
            Do.CLEAN: self._clean,
        }[do]
        try:
            return call(replicate, stop)
        except Interrupted:
            return None
        except RunError as error:
            return _happened(
                replicate,
                What.FAILED,
                cause=error.cause,
                reason=str(error),
                exit_code=error.program_exit,
                logs=error.logs,
            )
        except RefusalError as error:
            what = What.DECLINED if error.declined else What.FAILED
            return _happened(replicate, what, cause=error.cause, reason=str(error), facts=error.facts)

    def folder(self, task_id: str) -> TaskFolder:
        return TaskFolder(self.config.data_dir / "tasks", task_id)

    def _again(
        self, replicate: Replicate, stop: threading.Event, until: float, call: Callable[[], Happened]
    ) -> Happened | None:
        """Call until it works; None when given up. What still fails after `until` (Unix seconds) is raised."""
        pauses = Backoff(0.5, 30)
        while True:
            try:
                return call()
            except PewError as error:
                if error.code not in _PASSING:
                    raise
                if time.time() > until:
                    raise RefusalError(Cause.INTERNAL_ERROR, error.message, error.hint) from None
                self.log.warning("trying_again", task=replicate.task_id, stage=replicate.stage, why=error.message)
            if stop.wait(pauses.pause()):
                return None

    def _verify(self, replicate: Replicate, stop: threading.Event) -> Happened | None:
        def once() -> Happened:
            return _happened(replicate, What.VERIFIED, facts=self.chain.verify(replicate, int(time.time())))

        return self._again(replicate, stop, time.time() + _VERIFY_SECONDS, once)

    def _gate(self, replicate: Replicate, _stop: threading.Event) -> Happened:
        facts = _facts(replicate)
        lacking = self._lacking(facts)
        if lacking:
            self.log.info("offer_declined", task=replicate.task_id, reason=lacking)
            return _happened(replicate, What.DECLINED, cause=Cause.SENSOR_UNAVAILABLE, reason=lacking)
        decision = self.guard.weigh(
            Offer(
                replicate.task_id,
                self.journal.expected_seconds(facts.app) or float(facts.run_seconds),
                facts.reward_nrlc,
                facts.gas_nrlc,
                facts.contribution_deadline,
            )
        )
        taken = decision.action == "run"
        self.log.info(
            "offer_taken" if taken else "offer_declined",
            task=replicate.task_id, reward_nrlc=facts.reward_nrlc, gas_nrlc=facts.gas_nrlc,
            stake_nrlc=facts.stake_nrlc, reason=decision.reason,
        )  # fmt: skip
        if taken:
            return _happened(replicate, What.ADMITTED)
        return _happened(replicate, What.DECLINED, cause=Cause.ENERGY, reason=decision.reason)

    def _lacking(self, facts: Facts) -> str:
        """Which sensor the task asks for that this device cannot give; empty when none."""
        for url in params.parse(facts.params).input_files:
            if not sensors.is_sensor(url):
                continue
            asked = sensors.parse(url)
            lacking = self.sensors.lacking(asked, time.time()) if self.sensors else "this worker has no sensors"
            if lacking:
                return lacking
        return ""

    def _pull(self, replicate: Replicate, stop: threading.Event) -> Happened:
        facts = _facts(replicate)
        image = self.runner.pull(facts.image, facts.checksum, stop.is_set)
        self.journal.image_pulled(replicate.task_id, replicate.run, image, time.time())
        return _happened(replicate, What.PULLED)

    def _fetch(self, replicate: Replicate, stop: threading.Event) -> Happened:
        facts, folder = _facts(replicate), self.folder(replicate.task_id)
        folder.make()
        fetcher = Fetcher(self.config.fetch, stop.is_set)
        if facts.dataset is not None:
            fetcher.dataset(facts.dataset, facts.dataset_url, facts.dataset_checksum, folder.inputs)
        asked = params.parse(facts.params).input_files
        for url in filter(sensors.is_sensor, asked):
            if self.sensors is None:
                raise RunError(Cause.INPUT_FILES_DOWNLOAD_FAILED, "this worker has no sensors", "ask one that has")
            self.sensors.give(sensors.parse(url), folder.inputs / input_name(url), time.time())
        fetcher.inputs(tuple(url for url in asked if not sensors.is_sensor(url)), folder.inputs)
        return _happened(replicate, What.FETCHED)

    def _run(self, replicate: Replicate, stop: threading.Event) -> Happened:
        self.runner.run(self._spec(replicate), self._control(replicate, stop.is_set))
        row = self.journal.container(replicate.task_id, replicate.run)
        if row is not None:
            self.journal.set_note(f"seconds.{_facts(replicate).app}", str(row.ran_seconds))
        return _happened(replicate, What.RAN)

    def _spec(self, replicate: Replicate) -> RunSpec:
        facts = _facts(replicate)
        told = params.parse(facts.params)
        return RunSpec(
            task_id=replicate.task_id,
            image=self.journal.image(replicate.task_id, replicate.run),
            argv=told.argv(),
            env=environment(replicate, facts, told.input_files),
            folder=self.folder(replicate.task_id),
            seconds=facts.run_seconds,
            deadline=facts.contribution_deadline,
            network=facts.app in self.config.docker.network_apps,
        )

    def _control(self, replicate: Replicate, stop: Callable[[], bool]) -> Control:
        def recall() -> ContainerRow | None:
            return self.journal.container(replicate.task_id, replicate.run)

        def remember(row: ContainerRow) -> None:
            self.journal.container_kept(replicate.task_id, replicate.run, row)

        return Control(stop, lambda: self.guard.halted, recall, remember)

    def _prove(self, replicate: Replicate, stop: threading.Event) -> Happened:
        facts, folder = _facts(replicate), self.folder(replicate.task_id)
        kept = self.journal.result(replicate.task_id, replicate.run)
        ended = self.runner.run(self._spec(replicate), self._control(replicate, stop.is_set))
        if kept is not None and folder.zip.exists():
            return _proven(replicate, kept.digest, ended)
        limits, tree = self.config.docker, OutFolder(folder.out)
        try:
            require_size(folder.out, limits.output_mb * _MB, limits.output_files)
            found = digest(tree, callback=facts.callback)
        except ResultError as error:
            raise RunError(
                error.cause, error.message, error.hint, program_exit=ended.exit_code, logs=ended.logs
            ) from None
        sha256, size = write_zip(tree, tree.files(), folder.zip)
        self.journal.result_kept(replicate.task_id, replicate.run, ResultRow(found, sha256, size))
        return _proven(replicate, found, ended)

    def _prove_error(self, replicate: Replicate, _stop: threading.Event) -> Happened:
        if replicate.cause is None:
            raise RunError(Cause.INTERNAL_ERROR, "there is no cause to prove")
        folder = self.folder(replicate.task_id)
        folder.make()
        found, tree = error_proof(replicate.cause, callback=_facts(replicate).callback)
        sha256, size = write_zip(tree, (PurePosixPath(name) for name in sorted(tree.files)), folder.zip)
        self.journal.result_kept(replicate.task_id, replicate.run, ResultRow(found, sha256, size))
        return _happened(replicate, What.PROVEN, digest=found)

    def _contribute(self, replicate: Replicate, stop: threading.Event) -> Happened | None:
        def once() -> Happened:
            tx_hash = self.chain.contribute(replicate, stop.is_set)
            self._tidy(replicate.task_id)
            return _happened(replicate, What.CONTRIBUTED, tx_hash=tx_hash)

        # what was sent must be followed to its end: only the task's own end makes it useless
        return self._again(replicate, threading.Event(), _facts(replicate).final_deadline, once)

    def _tidy(self, task_id: str) -> None:
        """Drop what only the run needed; the zip stays. What cannot be dropped now goes when the task ends."""
        try:
            self.runner.remove(task_id)
        except RunError as error:
            self.log.warning("cannot_tidy", task=task_id, why=error.message)
        self.folder(task_id).drop_work()

    def _check(self, replicate: Replicate, _stop: threading.Event) -> Happened | None:
        try:
            return _happened(replicate, self.chain.look(replicate, int(time.time())))
        except PewError as error:
            self.log.warning("cannot_check", task=replicate.task_id, why=error.message)
            return None

    def _reveal(self, replicate: Replicate, stop: threading.Event) -> Happened | None:
        def once() -> Happened:
            return _happened(replicate, What.REVEALED, tx_hash=self.chain.reveal(replicate))

        return self._again(replicate, stop, _facts(replicate).final_deadline, once)

    def _upload(self, replicate: Replicate, stop: threading.Event) -> Happened | None:
        task_id, run = replicate.task_id, replicate.run
        archive = self.folder(task_id).zip
        if not archive.exists():
            return _happened(replicate, What.UPLOAD_FAILED, cause=Cause.RESULT_UPLOAD_FAILED, reason="the zip is gone")

        def once() -> Happened:
            self.journal.upload_begins(task_id, run, int(time.time()))
            location = self.link.upload(task_id, archive, stop.is_set).location
            self.journal.upload_done(task_id, run, location[:300])
            return _happened(replicate, What.UPLOADED)

        try:
            return self._again(replicate, stop, _facts(replicate).final_deadline, once)
        except SchedulerRefusedError as error:
            return _happened(replicate, What.UPLOAD_FAILED, cause=Cause.RESULT_UPLOAD_FAILED, reason=str(error))

    def _settle(self, replicate: Replicate, _stop: threading.Event) -> Happened | None:
        try:
            settled = self.chain.settle(replicate.task_id)
        except PewError as error:
            self.log.warning("cannot_settle", task=replicate.task_id, why=error.message)
            return None
        if settled is None:
            return None
        now = int(time.time())
        status, reward, seized = settled.status.name, settled.reward_nrlc, settled.seized_nrlc
        self.journal.earned(replicate.task_id, now, status, reward, seized)
        self.log.info("settled", task=replicate.task_id, status=status, reward_nrlc=reward, seized_nrlc=seized)
        return _happened(replicate, What.SETTLED_PAID if settled.counted else What.SETTLED_UNPAID)

    def _clean(self, replicate: Replicate, _stop: threading.Event) -> None:
        self.runner.remove(replicate.task_id)
        self.folder(replicate.task_id).remove()
        for image in self.runner.trim(self.journal.unused_images()):
            self.journal.image_gone(image)


def environment(replicate: Replicate, facts: Facts, input_files: tuple[str, ...]) -> dict[str, str]:
    """iExec's variables for a program."""
    env = {
        "IEXEC_TASK_ID": replicate.task_id,
        "IEXEC_DEAL_ID": replicate.deal_id,
        "IEXEC_TASK_INDEX": str(replicate.index),
        "IEXEC_IN": "/iexec_in",
        "IEXEC_OUT": "/iexec_out",
        "IEXEC_BOT_SIZE": str(facts.bot_size),
        "IEXEC_BOT_FIRST_INDEX": str(facts.bot_first),
        "IEXEC_BOT_TASK_INDEX": str(replicate.index),
        "IEXEC_INPUT_FILES_FOLDER": "/iexec_in",
        "IEXEC_INPUT_FILES_NUMBER": str(len(input_files)),
    }
    if facts.dataset is not None:
        env |= {"IEXEC_DATASET_ADDRESS": facts.dataset, "IEXEC_DATASET_FILENAME": facts.dataset}
    for number, url in enumerate(input_files, 1):
        env[f"IEXEC_INPUT_FILE_NAME_{number}"] = input_name(url)
    return env


def _facts(replicate: Replicate) -> Facts:
    if replicate.facts is None:
        raise BadInputError(f"task {replicate.task_id} was not verified", code="NOT_VERIFIED")
    return replicate.facts


def _happened(
    replicate: Replicate,
    what: What,
    *,
    facts: Facts | None = None,
    digest: str | None = None,
    cause: Cause | None = None,
    reason: str = "",
    exit_code: int | None = None,
    logs: Logs | None = None,
    tx_hash: str | None = None,
) -> Happened:
    return Happened(replicate.task_id, replicate.run, what, facts, digest, cause, reason, exit_code, logs, tx_hash)


def _proven(replicate: Replicate, found: str, ended: Finished) -> Happened:
    return _happened(replicate, What.PROVEN, digest=found, exit_code=ended.exit_code, logs=ended.logs)
