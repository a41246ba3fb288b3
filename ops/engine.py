"""The Docker Engine, foreign binaries and the registry's program: `python3 -m ops.engine ensure|status|host [--json]`.

What works is used as it is. Only root on Debian or Ubuntu has packages installed and the system's own service
started; it is a system service, so it stays. Everybody else gets one message that names what to do, and exit code 2.
"""

from __future__ import annotations

import argparse
import fcntl
import functools
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ops import emulation
from ops.console import ROOT, CommandError, SetupError, guarded, run, say, step

LOCK = Path("/run/lock/pew-engine.lock")
SOCKET = Path("/var/run/docker.sock")
PID_FILE = Path("/var/run/docker.pid")
CONTAINERD_PID_FILE = Path("/var/run/docker/containerd/containerd.pid")
SERVICE_PID_FILE = Path("/var/run/docker-ssd.pid")
LOG = Path("/var/log/docker.log")
TOOLS = ROOT / "build" / "tools"
STOP_COMMAND = "service docker stop"


def engine_info(host: str | None = None) -> dict[str, Any] | None:
    """Ask an engine about itself (`docker info`); None when there is no command or no answer.

    Args:
        host: for example `unix:///run/user/1000/docker.sock`; None: what DOCKER_HOST or the current context say.
    """
    env = {**os.environ, **({"DOCKER_HOST": host} if host else {})}
    try:
        done = subprocess.run(
            ["docker", "info", "--format", "{{json .}}"],
            env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False,
        )  # fmt: skip
        info = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    return info if isinstance(info, dict) and info.get("ServerVersion") else None


def engine_host() -> str:
    """The address of the current engine, for programs that know DOCKER_HOST and nothing of Docker's contexts."""
    if os.environ.get("DOCKER_HOST"):
        return os.environ["DOCKER_HOST"]
    try:
        return run(["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"], timeout=30).strip()
    except CommandError:
        return f"unix://{SOCKET}"


def find_engine() -> tuple[dict[str, Any], str] | None:
    """The engine that answers and its address: the configured one, else a rootless one or Docker Desktop's."""
    info = engine_info()
    if info is not None:
        return info, engine_host()
    if os.environ.get("DOCKER_HOST") or shutil.which("docker") is None:
        return None
    runtime = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
    for socket in (Path(runtime) / "docker.sock", Path.home() / ".docker" / "run" / "docker.sock"):
        if socket.exists() and (info := engine_info(f"unix://{socket}")) is not None:
            return info, f"unix://{socket}"
    return None


def ensure_engine() -> tuple[dict[str, Any], str]:
    """Return a working engine and its address; start or install one where that is possible.

    Raises:
        SetupError: there is none, and the way to one.
    """
    found = find_engine()
    if found is None:
        _refuse_unless_installable()
        with _only_one_of_us():
            found = find_engine() or _start_engine()
    return found


def ensure_platforms(info: dict[str, Any], host: str) -> list[str]:
    """Make the engine run the binaries of all the project's platforms, each proved by a run; return their names."""
    missing = [each for each in emulation.PLATFORMS if not _runs(each, info, host)]
    if missing:
        names = ", ".join(each.name for each in missing)
        cure = (
            "run `docker run --privileged --rm tonistiigi/binfmt --install arm,arm64,amd64` once (needs Docker Hub), "
            "or as root on Debian or Ubuntu `python3 -m ops.engine ensure`"
        )
        if not (is_root() and is_debian() and _shares_kernel(info, host)):
            raise SetupError(f"the Docker Engine cannot run programs for {names}", cure)
        with step("engine", f"foreign binaries ({names})"):
            if any(shutil.which(f"qemu-{each.qemu}-static") is None for each in missing):
                apt_install("qemu-user-static", "binfmt-support")
            for each in missing:
                if not _runs(each, info, host):
                    try:
                        emulation.register(each)
                    except (CommandError, OSError) as error:
                        raise SetupError(f"cannot register QEMU for {each.name}: {error}", cure) from error
                if not _runs(each, info, host):
                    raise SetupError(f"QEMU is registered, yet a program for {each.name} does not run", cure)
    return [each.name for each in emulation.PLATFORMS]


def find_registry() -> Path | None:
    """Debian's `docker-registry` program: on PATH, or unpacked below build/tools."""
    on_path = shutil.which("docker-registry")
    unpacked = TOOLS / "docker-registry"
    return Path(on_path) if on_path else unpacked if unpacked.exists() else None


def ensure_registry() -> str:
    """Where the registry's program is; `container` where it can only be had as Docker Hub's `registry:2`.

    The Debian package is unpacked, not installed: installed, it would start a service open to the network on port 5000.
    """
    if find_registry() is None and is_debian() and shutil.which("apt-get"):
        try:
            with step("engine", "registry program"):
                _unpack_registry()
        except SetupError:
            say("engine", "Debian's docker-registry cannot be had; the image registry:2 is used instead")
    found = find_registry()
    return str(found) if found else "container"


def _unpack_registry() -> None:
    TOOLS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=TOOLS) as folder:
        unpack(Path(folder), "docker-registry")
        (Path(folder) / "usr" / "bin" / "docker-registry").rename(TOOLS / "docker-registry")


def unpack(folder: Path, *packages: str) -> None:
    """Download Debian packages and unpack their files below `folder`; nothing is installed, nothing started.

    Raises:
        SetupError: they cannot be had.
    """
    try:
        run(["apt-get", "download", "-q", *packages], cwd=folder)
    except CommandError:
        if not is_root():
            raise
        _apt_update()
        run(["apt-get", "download", "-q", *packages], cwd=folder)
    for package in folder.glob("*.deb"):
        run(["dpkg-deb", "-x", package, folder])
        package.unlink()


def ensure() -> dict[str, Any]:
    """Prepare all that containers need; return what there is now (see `status`)."""
    info, host = ensure_engine()
    ensure_platforms(info, host)
    ensure_registry()
    from ops.sandbox import ensure_bubblewrap  # it installs as this module does

    try:
        ensure_bubblewrap()
    except SetupError as error:  # the engine is enough, but for the tests of the second runtime
        say("engine", f"{error.message}; {error.hint}")
    return status()


def status() -> dict[str, Any]:
    """What there is, changing nothing.

    Returns:
        `engine` (version or None), `host`, `arch`, `driver`, `platforms` (those proved by a run), `registry` (path or
        `container`).
    """
    found = find_engine()
    if found is None:
        return {"engine": None, "host": None, "platforms": [], "registry": None}
    info, host = found
    registry = find_registry()
    return {
        "engine": info["ServerVersion"],
        "host": host,
        "arch": info.get("Architecture"),
        "driver": info.get("Driver"),
        "platforms": [each.name for each in emulation.PLATFORMS if _runs(each, info, host)],
        "registry": str(registry) if registry else "container",
    }


def apt_install(*packages: str) -> None:
    """Install Debian packages without a question (root); the lists are fetched once per process."""
    _apt_update()
    argv = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300", *packages]
    try:
        run(argv, env={"DEBIAN_FRONTEND": "noninteractive"}, timeout=1200)
    except CommandError as error:
        raise SetupError(f"cannot install {' '.join(packages)}: {error.message}", _network_hint()) from error


@functools.cache
def _apt_update() -> None:
    try:
        run(["apt-get", "update", "-q", "-o", "DPkg::Lock::Timeout=300"], timeout=600)
    except CommandError as error:
        raise SetupError(f"cannot fetch the list of Debian packages: {error.message}", _network_hint()) from error


def _network_hint() -> str:
    return "check the network and /etc/apt/sources.list, then run it again"


def _refuse_unless_installable() -> None:
    """Raise with the right way out where this program must not install or start an engine."""
    host = os.environ.get("DOCKER_HOST")
    if host:
        raise SetupError(f"no Docker Engine answers at DOCKER_HOST={host}", "start it, or unset DOCKER_HOST")
    if platform.system() == "Darwin":
        raise SetupError(
            "no Docker Engine answers", "start Docker Desktop (or Colima: `colima start`), then run it again"
        )
    if not is_root() and SOCKET.exists() and not os.access(SOCKET, os.W_OK):
        raise SetupError(
            f"the Docker Engine's socket {SOCKET} is not open to this user",
            "`sudo usermod -aG docker $USER` and log in again, or run `sudo python3 -m ops.engine ensure` once",
        )
    if not is_root():
        raise SetupError(
            "no Docker Engine answers, and only root can install or start one",
            "run `sudo python3 -m ops.engine ensure` once, or install Docker (https://docs.docker.com/engine/install/)",
        )
    if shutil.which("dockerd") is None and not is_debian():
        raise SetupError(
            "no Docker Engine is installed, and this is not Debian or Ubuntu",
            "install Docker (https://docs.docker.com/engine/install/), start it, then run it again",
        )


def _start_engine() -> tuple[dict[str, Any], str]:
    if shutil.which("dockerd") is None or shutil.which("docker") is None:
        with step("engine", "installing Docker and QEMU"):
            apt_install("docker.io", "qemu-user-static", "binfmt-support")
    with step("engine", "starting the Docker service"):
        trouble = "" if _running_dockerd() else _start_service()
        found = _wait(60)
    if found is None:
        log = _engine_log()
        raise SetupError(
            "the Docker service does not answer" + (f": {trouble}" if trouble else "") + (f"\n{log}" if log else ""),
            "look at `journalctl -u docker` or /var/log/docker.log; inside a container the engine needs --privileged",
        )
    say("engine", f"Docker runs as a system service and stays running; stop it with `{STOP_COMMAND}`")
    return found


def _start_service() -> str:
    """Start the service that the package brought; return what went wrong, empty when nothing did."""
    _forget_dead_pids()
    systemd = Path("/run/systemd/system").is_dir()
    try:
        run(["systemctl", "start", "docker"] if systemd else ["service", "docker", "start"], timeout=120)
    except CommandError as error:
        if systemd or _running_dockerd() is not None:
            return error.message
        return _start_as_the_service_would()
    return ""


def _forget_dead_pids() -> None:
    """Remove pid files of before a reboot: dockerd would take any process that has such a pid now for itself."""
    for path, name in ((PID_FILE, "dockerd"), (CONTAINERD_PID_FILE, "containerd")):
        try:
            if Path(f"/proc/{path.read_text().strip()}/comm").read_text().strip() == name:
                continue
        except OSError:
            pass
        path.unlink(missing_ok=True)


def _start_as_the_service_would() -> str:
    """Start dockerd as Debian's init script does, with its pid files, so that `service docker stop` ends it.

    The script itself gives up where root may not raise its limits (no CAP_SYS_RESOURCE, as in many virtual machines
    and containers), although dockerd runs well without.
    """
    argv = ["start-stop-daemon", "--start", "--background", "--no-close", "--exec", str(shutil.which("dockerd"))]
    argv += ["--pidfile", str(SERVICE_PID_FILE), "--make-pidfile", "--", "-p", str(PID_FILE)]
    with LOG.open("ab") as log:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", check=False)
    return f"start-stop-daemon ended with code {done.returncode}" if done.returncode else ""


def _wait(seconds: float) -> tuple[dict[str, Any], str] | None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = find_engine()
        if found is not None:
            return found
        time.sleep(0.3)
    return None


def _running_dockerd() -> int | None:
    """The pid of a dockerd of this machine, by its pid file or by its name; None when there is none."""
    try:
        candidates = [PID_FILE.read_text().strip()]
    except OSError:
        candidates = []
    candidates += [entry.name for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    for pid in candidates:
        try:
            if Path(f"/proc/{pid}/comm").read_text().strip() == "dockerd":
                return int(pid)
        except OSError:
            continue
    return None


def _engine_log() -> str:
    try:
        return "\n".join("    " + line for line in LOG.read_text().splitlines()[-8:])
    except OSError:
        return ""


@contextmanager
def _only_one_of_us() -> Iterator[None]:
    """Hold the lock of this machine, so that two runs never install or start an engine at the same time."""
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with LOCK.open("w") as handle:
        os.set_inheritable(handle.fileno(), False)
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _runs(target: emulation.Platform, info: dict[str, Any], host: str) -> bool:
    if _shares_kernel(info, host):
        return emulation.runs_on_this_kernel(target)
    return emulation.runs_in_container(target, {"DOCKER_HOST": host})


def _shares_kernel(info: dict[str, Any], host: str) -> bool:
    """Whether the engine's containers run on this very kernel (not in Docker Desktop's machine or elsewhere)."""
    return host.startswith("unix://") and info.get("KernelVersion") == platform.release() and _is_linux()


def _is_linux() -> bool:
    return platform.system() == "Linux"


def is_root() -> bool:
    return os.geteuid() == 0


def is_debian() -> bool:
    try:
        words = Path("/etc/os-release").read_text().replace('"', "").lower().splitlines()
    except OSError:
        return False
    ids = {word for line in words if line.startswith(("id=", "id_like=")) for word in line.partition("=")[2].split()}
    return bool(ids & {"debian", "ubuntu"})


def main() -> int:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python3 -m ops.engine", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("command", choices=["ensure", "status", "host"])
    parser.add_argument("--json", action="store_true", help="print the facts as JSON")
    arguments = parser.parse_args()
    if arguments.command == "host":
        print(ensure_engine()[1])
        return 0
    facts = ensure() if arguments.command == "ensure" else status()
    if arguments.json:
        print(json.dumps(facts, indent=2))
    elif facts["engine"] is None:
        say("engine", "no Docker Engine answers; `python3 -m ops.engine ensure` prepares one or says how")
    else:
        say("engine", f"Docker {facts['engine']} ({facts['driver']}), runs {', '.join(facts['platforms'])}")
    return 0 if facts["engine"] else 2


if __name__ == "__main__":
    sys.exit(guarded(main))
