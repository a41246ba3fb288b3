"""Which runtime a worker uses."""

from __future__ import annotations

from dataclasses import dataclass

from worker.config import WorkerConfig
from worker.runner.errors import RunError
from worker.runner.protocol import Runner

#: What the second runtime does not do as the engine does, in one sentence; docs/reference/worker.md has the table.
WEAKER = (
    "bubblewrap isolates less than an engine: no network for any app, files in /tmp may be executed, and without "
    "control groups memory is bounded for each process and watched for all, processors in whole numbers"
)


@dataclass(frozen=True, slots=True)
class Choice:
    """The runtime that was chosen: its name, the runner, and why it is not the engine (empty where it is)."""

    name: str
    runner: Runner
    why: str


def choose(config: WorkerConfig, owner: str, earlier: str = "") -> Choice:
    """The runtime of the configuration; `auto`: the Docker Engine where one answers, else bubblewrap.

    Args:
        config: the worker's.
        owner: its wallet.
        earlier: the runtime of tasks that are under way: `auto` stays with it, since only it finds them again.
    """
    wanted = earlier if config.runtime == "auto" and earlier else config.runtime
    why = ""
    if wanted != "bubblewrap":
        from worker.runner.docker import DockerRunner  # its SDK takes memory that the other does not need

        runner = DockerRunner(config.docker, config.platform, owner, config.docker_host)
        if wanted == "docker":
            return Choice("docker", runner, "")
        try:
            runner.client()
            return Choice("docker", runner, "")
        except RunError as error:
            why = error.message
    from worker.runner.bubblewrap import BubblewrapRunner

    return Choice("bubblewrap", BubblewrapRunner(config.docker, config.platform, owner, config.data_dir), why)
