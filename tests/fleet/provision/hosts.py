"""Devices on this machine: Debian with systemd as the first process, in containers, reached by ssh on loopback.

Their file system is made by debootstrap once, below build/tools/. They share this machine's network, so that they find
its chain, scheduler and registry on loopback, and PyPI as it does.
"""

from __future__ import annotations

import configparser
import fcntl
import hashlib
import io
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ops.console import run
from ops.engine import TOOLS, apt_install
from ops.ports import free_port
from poco.errors import PewError

SUITE = "bookworm"
PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "openssh-server", "python3", "python3-apt", "sudo", "ca-certificates",
)  # fmt: skip
#: Units that would reach through to the machine's kernel, or wait for what a container has not.
MASKED = (
    "systemd-udevd.service", "systemd-udev-trigger.service", "systemd-sysctl.service", "systemd-modules-load.service",
    "systemd-remount-fs.service", "systemd-logind.service", "getty.target", "console-getty.service",
    "systemd-networkd.service", "systemd-resolved.service", "systemd-timesyncd.service", "apt-daily.timer",
    "apt-daily-upgrade.timer",
)  # fmt: skip
IMAGE = "pew-test/device"
#: of the devices' pip: the packages of one are there for the next
_PIP_CACHE = "/var/cache/pip"


def ensure_system() -> Path:
    """A tar of a fresh Debian; made by debootstrap where it is missing (root, Debian)."""
    TOOLS.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(repr((SUITE, PACKAGES, MASKED)).encode()).hexdigest()[:12]
    path = TOOLS / f"device-{digest}.tar"
    with (TOOLS / "device.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            if shutil.which("debootstrap") is None:
                apt_install("debootstrap")
            _make(path)
    return path


def _make(path: Path) -> None:
    root = path.with_suffix(".root")
    shutil.rmtree(root, ignore_errors=True)
    run(["debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, root], timeout=900)
    for unit in MASKED:
        (root / "etc" / "systemd" / "system" / unit).symlink_to("/dev/null")
    (root / "etc" / "ssh" / "sshd_config.d" / "test.conf").write_text("PasswordAuthentication no\n")
    # a real engine would be a second one on this machine: it is installed, but must not start
    policy = root / "usr" / "sbin" / "policy-rc.d"
    policy.write_text('#!/bin/sh\ncase "$1" in docker*|containerd*) exit 101;; esac\nexit 0\n')
    policy.chmod(0o755)
    for old in (*(root / "etc" / "ssh").glob("ssh_host_*"), *(root / "var/cache/apt/archives").glob("*.deb")):
        old.unlink()
    new = path.with_suffix(".new")
    run(["tar", "-C", root, "-cf", new, "."], timeout=300)
    new.rename(path)
    shutil.rmtree(root)


@dataclass
class Device:
    """One running container."""

    name: str
    container: str
    port: int

    def run(self, *words: str, check: bool = True, timeout: float = 120) -> str:
        """What a command prints on the device, as root."""
        argv = ["docker", "exec", self.container, *words]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, check=False)
        if check and done.returncode:
            raise PewError(f"{self.name}: {' '.join(words)}: {done.stdout}{done.stderr}")
        return done.stdout

    def sleep(self) -> None:
        """Its power is cut."""
        run(["docker", "kill", self.container], timeout=60)

    def wake(self) -> None:
        run(["docker", "start", self.container], timeout=60)
        self.wait()

    def wait(self, seconds: float = 60) -> None:
        """Until systemd is up."""
        end = time.monotonic() + seconds
        while self.run("systemctl", "is-system-running", check=False).strip() not in ("running", "degraded"):
            if time.monotonic() > end:
                raise PewError(f"{self.name} does not come up: {self.run('systemctl', '--failed', check=False)}")
            time.sleep(0.3)


@contextmanager
def devices(folder: Path, sun: Path, *names: str) -> Iterator[dict[str, Device]]:
    """Fresh devices with the user `pi`, who may become root and takes the key `<folder>/key`; gone at the end.

    Args:
        sun: a record of sunshine, /usr/local/share/sun.csv on each.
    """
    image = f"{IMAGE}:{os.getpid()}"
    run(["docker", "import", "--change", 'CMD ["/lib/systemd/systemd"]', ensure_system(), image], timeout=300)
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / "key"])
    made: dict[str, Device] = {}
    try:
        for name in names:
            made[name] = _start(image, name, folder, sun)
        for device in made.values():
            device.wait()
            _prepare(device, (folder / "key.pub").read_text())
        yield made
    finally:
        for device in made.values():
            subprocess.run(["docker", "rm", "-fv", device.container], capture_output=True, check=False, timeout=120)
        subprocess.run(["docker", "rmi", image], capture_output=True, check=False, timeout=120)


def _start(image: str, name: str, folder: Path, sun: Path) -> Device:
    pip, paths = _pip_settings()
    (folder / "pip.conf").write_text(f"{pip.rstrip()}\ncache-dir = {_PIP_CACHE}\n")
    cache = folder / "pip-cache"
    cache.mkdir(exist_ok=True)
    mounts = [
        f"{folder / 'pip.conf'}:/etc/pip.conf:ro",
        f"{cache}:{_PIP_CACHE}",
        f"{sun}:/usr/local/share/sun.csv:ro",
    ]
    mounts += [f"{path}:{path}:ro" for path in paths]
    words = [
        "docker",
        "run",
        "-d",
        "--network",
        "host",
        "--cgroupns",
        "host",
        "--hostname",
        name,
        "-e",
        "container=docker",
    ]
    words += ["--add-host", f"{name}:127.0.0.1", "--cap-add", "SYS_PTRACE"]
    words += ["--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN", "--stop-signal", "SIGRTMIN+3"]
    for option in ("seccomp=unconfined", "apparmor=unconfined", "systempaths=unconfined"):
        words += ["--security-opt", option]
    words += [
        "--tmpfs",
        "/run",
        "--tmpfs",
        "/run/lock",
        "--tmpfs",
        "/tmp:exec",
        "-v",
        "/sys/fs/cgroup:/sys/fs/cgroup:ro",
    ]
    for mount in mounts:
        words += ["-v", mount]
    container = run([*words, image], timeout=120).strip()
    return Device(name, container, free_port())


def _prepare(device: Device, key: str) -> None:
    script = f"""
useradd -m -s /bin/bash pi && mkdir -p /home/pi/.ssh && echo '{key.strip()}' > /home/pi/.ssh/authorized_keys
chown -R pi: /home/pi/.ssh && chmod 700 /home/pi/.ssh
echo 'pi ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/pi
printf 'Port {device.port}\\nListenAddress 127.0.0.1\\n' > /etc/ssh/sshd_config.d/port.conf
ssh-keygen -A && systemctl reset-failed ssh && systemctl restart ssh
"""
    device.run("sh", "-ec", script)


def _pip_settings() -> tuple[str, list[str]]:
    """What pip is told on this machine, as a pip.conf, and the local paths in it."""
    listed = run(["python3", "-m", "pip", "config", "list"])
    found = configparser.RawConfigParser()
    found.add_section("global")
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        key = name.rpartition(".")[2]
        if name.startswith(("global.", ":env:.")) and key not in ("user", "require-virtualenv"):
            found.set("global", key, value.strip("'\"").replace("\\n", "\n"))
    text = io.StringIO()
    found.write(text)
    words = [word for _, value in found.items("global") for word in value.split()]
    # the pages of an index in a folder name files beside it
    words = [str(Path(word.removeprefix("file://")).parent) if word.startswith("file://") else word for word in words]
    paths = [path for path in words if path.startswith("/") and Path(path).exists()]
    above = [path for path in paths if not any(path != other and path.startswith(f"{other}/") for other in paths)]
    return text.getvalue(), sorted(set(above))
