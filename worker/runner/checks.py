"""What the doctor asks about running programs here: the runtime, foreign platforms, memory, disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from oci.platform import parse as parse_platform
from poco.errors import PewError
from worker.config import WorkerConfig
from worker.runner import seccomp
from worker.runner.choose import WEAKER
from worker.runner.host import has_control_groups, has_emulator, own_platform, require_bubblewrap

_MB = 1_048_576
_SOCKET = "unix:///var/run/docker.sock"
#: Megabytes that the worker itself and the system beside it need.
_OWN_MEMORY_MB = 128
_QEMU = {"arm": "arm", "arm64": "aarch64", "amd64": "x86_64"}


def runtime(config: WorkerConfig) -> str:
    """The runtime that the worker would choose now, proved by an answer or a run.

    Raises:
        PewError: there is none, and the way to one.
    """
    if config.runtime == "bubblewrap":
        return _bubblewrap(config)
    try:
        return _docker(config)
    except PewError as error:
        if config.runtime == "docker":
            raise
        no_engine = error
    try:
        return f"{_bubblewrap(config)}; chosen because {no_engine.message}"
    except PewError as error:
        raise PewError(f"{no_engine.message}, and {error.message}", hint=f"{no_engine.hint}; or {error.hint}") from None


def platform(config: WorkerConfig) -> str:
    """Whether programs of the configured platform run; PewError with the emulator to install."""
    wanted, own = parse_platform(config.platform), own_platform()
    if own.runs(wanted):
        return f"{wanted} is this machine's own"
    if not has_emulator(_QEMU.get(wanted.architecture, "")):
        raise PewError(
            f"this machine is {own} and cannot run {wanted}",
            hint="apt-get install qemu-user-static binfmt-support, or leave `platform` out",
        )
    return f"{wanted} by emulation on {own}"


def memory(config: WorkerConfig) -> str:
    """Whether all slots' programs fit into this machine; PewError with what would."""
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    total, free = (int(fields[name].split()[0]) // 1024 for name in ("MemTotal", "MemAvailable"))
    need = config.docker.memory_mb * config.slots + _OWN_MEMORY_MB
    if need > total:
        raise PewError(
            f"{config.slots} slots of {config.docker.memory_mb} MB need {need} MB, this machine has {total}",
            hint=f"lower docker.memory_mb to {max(8, (total - _OWN_MEMORY_MB) // config.slots)}, or slots",
        )
    return f"{free} of {total} MB free, tasks may take {need - _OWN_MEMORY_MB}"


def data_dir(config: WorkerConfig) -> str:
    """Whether a task's files fit onto the disk; PewError with what is lacking."""
    folder = config.data_dir
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PewError(f"{folder} cannot be written", hint=f"chown it to the worker's user, who is {os.geteuid()}")
    free = shutil.disk_usage(folder).free // _MB
    limits = config.docker
    need = (limits.output_mb * 2 + config.fetch.total_mb) * config.slots
    if free < need:
        raise PewError(
            f"{folder} has {free} MB free, {config.slots} tasks may take {need}",
            hint="free some, or lower docker.output_mb, fetch.total_mb or slots",
        )
    return f"{folder}, {free} MB free"


def _docker(config: WorkerConfig) -> str:
    from worker.runner.docker import DockerRunner
    from worker.runner.errors import RunError

    runner = DockerRunner(config.docker, config.platform, "0x0", config.docker_host)
    try:
        version: dict[str, Any] = runner.client().version()
    except RunError:
        raise _no_engine(config.docker_host or os.environ.get("DOCKER_HOST") or _SOCKET) from None
    return f"Docker Engine {version['Version']}, API {version['ApiVersion']}"


def _no_engine(host: str) -> PewError:
    path = Path(urlsplit(host).path)
    install = "install and start Docker (systemctl start docker)"
    if not host.startswith("unix:"):
        return PewError(f"no Docker Engine answers at {host}", hint="start it, or correct docker_host or DOCKER_HOST")
    if not path.exists():
        return PewError(f"no Docker Engine is at {path}", hint=f"{install}, or correct docker_host")
    if not os.access(path, os.W_OK):
        return PewError(
            f"the Docker Engine's socket {path} is not open to this user",
            hint="sudo usermod -aG docker $USER, then log in again",
        )
    return PewError(f"no Docker Engine answers at {path}", hint=install)


def _bubblewrap(config: WorkerConfig) -> str:
    version = require_bubblewrap()
    if config.docker.network_apps:
        raise PewError(
            "docker.network_apps are allowed the network, which bubblewrap gives to none",
            hint="use runtime: docker, or empty docker.network_apps",
        )
    groups = "with" if has_control_groups() else "without"
    calls = "with" if seccomp.program() is not None else "without (apt-get install libseccomp2)"
    return f"{version}, {groups} control groups, {calls} a filter of system calls; {WEAKER}"
