"""Mosquitto, an MQTT broker, for trials and tests: Debian's program, unpacked and not installed, on loopback only.

On a device or at home take the package itself (`apt-get install mosquitto`) with `mosquitto.conf` of this folder.
"""

from __future__ import annotations

import fcntl
import getpass
import os
import shutil
import tempfile
from pathlib import Path

from ops.console import SetupError
from ops.engine import TOOLS, unpack
from ops.ports import HOST, require_ports
from ops.process import Process
from ops.stack import RUN_LABEL, Stack

_FOLDER = TOOLS / "mosquitto"
#: The broker and those of its libraries that a small system lacks.
_PACKAGES = ("mosquitto", "libmosquitto1", "libcjson1", "libdlt2", "libwrap0")
_IMAGE = "eclipse-mosquitto:2"


def find_mosquitto() -> Path | None:
    """The broker's program: on PATH or where Debian puts it, or unpacked below build/tools."""
    installed = shutil.which("mosquitto", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
    unpacked = _FOLDER / "usr" / "sbin" / "mosquitto"
    return Path(installed) if installed else unpacked if unpacked.exists() else None


def ensure_mosquitto() -> str:
    """Where the program is; `container` where it can only be had as Docker Hub's image."""
    TOOLS.mkdir(parents=True, exist_ok=True)
    with (TOOLS / "mosquitto.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if find_mosquitto() is None and shutil.which("apt-get"):
            with tempfile.TemporaryDirectory(dir=TOOLS) as folder:
                try:
                    unpack(Path(folder), *_PACKAGES)
                except SetupError:
                    return "container"
                (Path(folder) / "usr").rename(_made(_FOLDER) / "usr")
    found = find_mosquitto()
    return str(found) if found else "container"


def start_mosquitto(stack: Stack, port: int, *, name: str = "mosquitto") -> Process:
    """Start a broker on loopback that anybody on this machine may use; what it retains ends with the run's folder.

    Args:
        stack: the run it belongs to.
        port: for MQTT.
        name: of the process.
    """
    require_ports({name: (port, "port")})
    data = stack.run_dir / name
    data.mkdir(exist_ok=True)
    where = ensure_mosquitto()
    if where == "container":
        argv: list[str | Path] = ["docker", "run", "--rm", "--label", f"{RUN_LABEL}={stack.run_id}"]
        argv += ["-p", f"{HOST}:{port}:1883", _IMAGE, "mosquitto", "-c", "/mosquitto-no-auth.conf"]
        return stack.start(name, argv, ready=port, timeout=120)
    config = stack.run_dir / f"{name}.conf"
    config.write_text(
        f"listener {port} {HOST}\nallow_anonymous true\nuser {getpass.getuser()}\n"
        f"persistence true\npersistence_location {data}/\n"
    )
    libraries = [str(path.parent) for path in _FOLDER.glob("usr/lib/*/libcjson.so.1")]
    path = os.pathsep.join([*libraries, *filter(None, [os.environ.get("LD_LIBRARY_PATH")])])
    return stack.start(name, [where, "-c", config], env={"LD_LIBRARY_PATH": path} if path else {}, ready=port)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
