"""What this machine offers for running programs without an engine."""

from __future__ import annotations

import functools
import os
import platform
import secrets
import shutil
import subprocess
from pathlib import Path
from typing import Any

from oci.platform import Platform, normalise
from poco.errors import PewError
from worker.config import DockerLimits
from worker.runner.folders import container_user

_PROBE_SECONDS = 20
_MB = 1_048_576
_CONTROLLERS = Path("/sys/fs/cgroup/cgroup.controllers")
_BINFMT = Path("/proc/sys/fs/binfmt_misc")
#: `e_machine` of an ELF file (elf(5)): what a machine runs by itself, and the name of QEMU's emulator.
_NATIVE = {"x86_64": (0x3E, 0x03), "aarch64": (0xB7, 0x28), "armv7l": (0x28,), "armv6l": (0x28,)}
_QEMU = {0x3E: "x86_64", 0x03: "i386", 0xB7: "aarch64", 0x28: "arm"}
#: Settings that switch user namespaces off: file, the value that does, and the setting that cures it.
_SWITCHES = (
    ("/proc/sys/kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    ("/proc/sys/user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=15000"),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or an AppArmor profile for bwrap",
    ),
)


def own_platform() -> Platform:
    """The platform of this machine."""
    return normalise("linux", platform.machine())


def runs_here(program: Path) -> bool:
    """Whether the kernel runs a program: its own kind, one it has an emulator for, or a script."""
    try:
        with program.open("rb") as file:
            head = file.read(20)
    except OSError:
        return True  # it says itself what is wrong with it
    if not head.startswith(b"\x7fELF"):
        return True
    machine = int.from_bytes(head[18:20], "little")
    return machine in _NATIVE.get(platform.machine(), ()) or has_emulator(_QEMU.get(machine, ""))


def has_emulator(qemu: str) -> bool:
    """Whether binfmt_misc hands programs to that QEMU also inside containers (flag F)."""
    for name in (f"qemu-{qemu}", qemu, f"qemu-{qemu}-static") if qemu else ():
        try:
            lines = (_BINFMT / name).read_text().splitlines()
        except OSError:
            continue
        flags = next((line.partition(":")[2] for line in lines if line.startswith("flags:")), "")
        if lines[0] == "enabled" and "F" in flags:
            return True
    return False


def require_bubblewrap() -> str:
    """Prove by a run that bubblewrap makes sandboxes here; returns its version.

    Raises:
        PewError: it does not, and the way out.
    """
    if shutil.which("bwrap") is None:
        raise PewError("bubblewrap is not installed", hint="apt-get install bubblewrap")
    try:
        done = _as_container(["bwrap", "--unshare-user", "--unshare-pid", "--unshare-net", "--ro-bind", "/", "/",
                              "--proc", "/proc", "--dev", "/dev", "--", "/bin/true"])  # fmt: skip
        version = _as_container(["bwrap", "--version"])
    except (OSError, subprocess.SubprocessError) as error:
        raise PewError(f"bubblewrap does not run: {error}", hint="reinstall it: apt-get install bubblewrap") from None
    if done.returncode != 0:
        said = done.stderr.strip()[-200:]
        raise PewError(f"bubblewrap makes no sandbox: {said}", hint=_cure())
    return version.stdout.strip()


def control_group(name: str, limits: DockerLimits, user: tuple[int, int]) -> list[str]:
    """What to put before a command so that the kernel counts all its processes together; empty where systemd delegates
    no control groups (version 2) to us.

    Args:
        name: of the sandbox.
        limits: the operator's bounds.
        user: who runs the command.
    """
    if not has_control_groups():
        return []
    # a name that is taken would be refused: each attempt has its own
    unit = f"--unit={name}-{secrets.token_hex(4)}"
    properties = (
        f"MemoryMax={limits.memory_mb * _MB}",
        "MemorySwapMax=0",
        f"TasksMax={limits.pids + 8}",  # bubblewrap's own beside the program's
        f"CPUQuota={max(1, round(limits.cpus * 100))}%",
    )
    return [*_systemd_run(user), "--collect", unit, *(f"--property={each}" for each in properties), "--"]


@functools.cache
def has_control_groups() -> bool:
    """Whether systemd gives us scopes with their own bounds of memory and processes."""
    try:
        ours = _CONTROLLERS.read_text().split()
        if shutil.which("systemd-run") is None or not {"memory", "pids"} <= set(ours):
            return False
        argv = [*_systemd_run(container_user()), "--property=MemoryMax=67108864", "--", "/bin/true"]
        done = subprocess.run(argv, capture_output=True, timeout=_PROBE_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError):
        return False
    return done.returncode == 0


def _systemd_run(user: tuple[int, int]) -> list[str]:
    whose = [f"--uid={user[0]}", f"--gid={user[1]}"] if os.geteuid() == 0 else ["--user"]
    return ["systemd-run", *whose, "--scope", "--quiet"]


def _as_container(argv: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command as the user that programs run as."""
    become: dict[str, Any] = {}
    if os.geteuid() == 0:
        become = {"user": container_user()[0], "group": container_user()[1], "extra_groups": []}
    return subprocess.run(argv, capture_output=True, text=True, timeout=_PROBE_SECONDS, check=False, cwd="/", **become)


def _cure() -> str:
    for file, value, cure in _SWITCHES:
        try:
            if Path(file).read_text().strip() == value:
                return f"user namespaces are switched off ({file}); as root: {cure}"
        except OSError:
            continue
    return "inside a container it needs --security-opt seccomp=unconfined --security-opt systempaths=unconfined"
