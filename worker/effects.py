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
from typing import TYPE_CHECKING, Protocol, TypeVar

from poco import params, sensors
from poco.errors import Cause
from poco.result import ResultError, digest
from worker.chain import PoolChain, RefusalError
from worker.config import WorkerConfig
from worker.core import Facts, Happened, Replicate, about
from worker.energy import Decision, Offer
from worker.energy.situation import sum_of
from worker.finishing import Finisher, facts_of, persist
from worker.journal import ContainerRow, Journal, ResultRow
from worker.link import Backoff, Link
from worker.log import Log
from worker.proof import error_proof
from worker.runner.errors import EngineDownError, Interrupted, RunError
from worker.runner.fetch import Fetcher, input_name
from worker.runner.folders import TaskFolder
from worker.runner.outputs import OutFolder, require_size, write_zip
from worker.runner.protocol import Control, Finished, Runner, RunSpec
from worker.table import Do, What
from worker.tail import Tail

if TYPE_CHECKING:
    from worker.sensors.inputs import SensorInputs

_MB = 1_048_576
_VERIFY_SECONDS = 60
#: An engine that is away for longer, or ever again, has its task given to another worker.
_ENGINE_SECONDS, _ENGINE_RESTARTS = 120, 10

_Answer = TypeVar("_Answer")


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
        finisher = Finisher(self.journal, self.chain, self.link, self.runner, self.log, self.folder)
        call: Callable[[Replicate, threading.Event], Happened | None] = {
            Do.VERIFY: self._verify,
            Do.GATE: self._gate,
            Do.PULL: self._pull,
            Do.FETCH: self._fetch,
            Do.RUN: self._run,
            Do.PROVE: self._prove,
            Do.PROVE_ERROR: self._prove_error,
            Do.DELIVER: finisher.deliver,
            Do.FINALIZE: finisher.finalize,
            Do.CONTRIBUTE: finisher.contribute,
            Do.CHECK: finisher.check,
            Do.REVEAL: finisher.reveal,
            Do.UPLOAD: finisher.upload,
            Do.SETTLE: finisher.settle,
            Do.CLEAN: self._clean,
        }[do]
        try:
            return call(replicate, stop)
        except Interrupted:
            return None
        except RunError as error:
            return about(
                replicate,
                What.FAILED,
                cause=error.cause,
                reason=str(error),
                exit_code=error.program_exit,
                logs=error.logs,
            )
        except RefusalError as error:
            what = What.DECLINED if error.declined else What.FAILED
            return about(replicate, what, cause=error.cause, reason=str(error), facts=error.facts)

    def folder(self, task_id: str) -> TaskFolder:
        return TaskFolder(self.config.data_dir / "tasks", task_id)

    def _verify(self, replicate: Replicate, stop: threading.Event) -> Happened | None:
        def once() -> Happened:
            return about(replicate, What.VERIFIED, facts=self.chain.verify(replicate, int(time.time())))

        return persist(self.log, replicate, stop, time.time() + _VERIFY_SECONDS, once)

    def _gate(self, replicate: Replicate, _stop: threading.Event) -> Happened:
        facts = facts_of(replicate)
        lacking = self._lacking(facts)
        if lacking:
            self.log.info("offer_declined", task=replicate.task_id, reason=lacking)
            return about(replicate, What.DECLINED, cause=Cause.SENSOR_UNAVAILABLE, reason=lacking)
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
            task=replicate.task_id, brings=sum_of(facts.reward_nrlc, facts.gas_nrlc), reward_nrlc=facts.reward_nrlc,
            gas_nrlc=facts.gas_nrlc, stake_nrlc=facts.stake_nrlc, reason=decision.reason,
        )  # fmt: skip
        if taken:
            return about(replicate, What.ADMITTED)
        return about(replicate, What.DECLINED, cause=Cause.ENERGY, reason=decision.reason)

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
        facts = facts_of(replicate)

        def pull() -> str:
            return self.runner.pull(facts.image, facts.checksum, stop.is_set)

        image = self._while_engine_restarts(replicate, stop, pull)
        self.journal.image_pulled(replicate.task_id, replicate.run, image, time.time())
        return about(replicate, What.PULLED)

    def _fetch(self, replicate: Replicate, stop: threading.Event) -> Happened:
        facts, folder = facts_of(replicate), self.folder(replicate.task_id)
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
        return about(replicate, What.FETCHED)

    def _run(self, replicate: Replicate, stop: threading.Event) -> Happened:
        control = self._control(replicate, stop.is_set)
        with Tail(self.link, self.runner, replicate, control, self.config.live_logs):
            self._while_engine_restarts(replicate, stop, lambda: self.runner.run(self._spec(replicate), control))
        row = self.journal.container(replicate.task_id, replicate.run)
        if row is not None:
            self.journal.set_note(f"seconds.{facts_of(replicate).app}", str(row.ran_seconds))
        return about(replicate, What.RAN)

    def _spec(self, replicate: Replicate) -> RunSpec:
        facts = facts_of(replicate)
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

    def _while_engine_restarts(
        self, replicate: Replicate, stop: threading.Event, call: Callable[[], _Answer]
    ) -> _Answer:
        """The call's answer. What it began is found again once the engine is back, or EngineDownError."""
        for _ in range(_ENGINE_RESTARTS):
            try:
                return call()
            except EngineDownError as error:
                self.log.warning("trying_again", task=replicate.task_id, stage=replicate.stage, why=error.message)
                self._await_engine(stop, error)
        return call()

    def _await_engine(self, stop: threading.Event, error: EngineDownError) -> None:
        pauses, until = Backoff(0.5, 5), time.monotonic() + _ENGINE_SECONDS
        while True:
            if stop.wait(pauses.pause()):
                raise Interrupted
            if not self.runner.trouble():
                return
            if time.monotonic() > until:
                raise error

    def _control(self, replicate: Replicate, stop: Callable[[], bool]) -> Control:
        def recall() -> ContainerRow | None:
            return self.journal.container(replicate.task_id, replicate.run)

        def remember(row: ContainerRow) -> None:
            self.journal.container_kept(replicate.task_id, replicate.run, row)

        return Control(stop, lambda: self.guard.halted, recall, remember)

    def _prove(self, replicate: Replicate, stop: threading.Event) -> Happened:
        facts, folder = facts_of(replicate), self.folder(replicate.task_id)
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
        found, tree = error_proof(replicate.cause, callback=facts_of(replicate).callback)
        sha256, size = write_zip(tree, (PurePosixPath(name) for name in sorted(tree.files)), folder.zip)
        self.journal.result_kept(replicate.task_id, replicate.run, ResultRow(found, sha256, size))
        return about(replicate, What.PROVEN, digest=found)

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


def _proven(replicate: Replicate, found: str, ended: Finished) -> Happened:
    return about(replicate, What.PROVEN, digest=found, exit_code=ended.exit_code, logs=ended.logs)
