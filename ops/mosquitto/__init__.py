"""Mosquitto, an MQTT broker, for trials and tests: Debian's program, unpacked and not installed, on loopback only.

Elsewhere take the package itself (`apt-get install mosquitto`): with `mosquitto.conf` on a device or at home, with
`pool.conf` for a pool.
"""

from __future__ import annotations

import base64
import fcntl
import getpass
import hashlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Mapping
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


def start_mosquitto(
    stack: Stack,
    port: int,
    *,
    name: str = "mosquitto",
    users: Mapping[str, str] | None = None,
    acl: Path | None = None,
) -> Process:
    """Start a broker on loopback; what it retains ends with the run's folder.

    Args:
        stack: the run it belongs to.
        port: for MQTT.
        name: of the process.
        users: who may use it, with their passwords; None: anybody on this machine.
        acl: what each of them may read and write; None: everything.
    """
    require_ports({name: (port, "port")})
    data = stack.run_dir / name
    data.mkdir(exist_ok=True)
    where = ensure_mosquitto()
    (data / "acl").write_text(acl.read_text() if acl else "topic readwrite #\npattern readwrite #\n")
    passwords = data / "passwords"
    passwords.write_text("".join(f"{user}:{_hashed(password)}\n" for user, password in (users or {}).items()))
    if where == "container":
        argv: list[str | Path] = ["docker", "run", "--rm", "--label", f"{RUN_LABEL}={stack.run_id}"]
        config = _settings(1883, "0.0.0.0", "mosquitto", Path("/data"), guarded=users is not None)  # noqa: S104
        (data / "mosquitto.conf").write_text(config)
        argv += ["-p", f"{HOST}:{port}:1883", "-v", f"{data}:/data", _IMAGE, "mosquitto", "-c", "/data/mosquitto.conf"]
        return stack.start(name, argv, ready=port, timeout=120)
    config = _settings(port, HOST, getpass.getuser(), data, guarded=users is not None)
    (data / "mosquitto.conf").write_text(config)
    return stack.start(name, [where, "-c", data / "mosquitto.conf"], env=_environment(), ready=port)


def start_pool_broker(
    stack: Stack, port: int, users: Path, *, name: str = "mosquitto", tls: tuple[Path, Path] | None = None
) -> Process:
    """Start a pool's broker on loopback, as `pool.conf` has it; what it keeps ends with the run's folder.

    Args:
        stack: the run it belongs to.
        port: for MQTT.
        users: what the scheduler writes of who may use it (`broker.users_file`); made where it is not there yet.
        name: of the process; its id is in the file `pid` of its folder.
        tls: PEM files of a certificate and its key.
    """
    require_ports({name: (port, "port")})
    data = stack.run_dir / name
    data.mkdir(exist_ok=True)
    users.touch()
    where = ensure_mosquitto()
    if where == "container":
        raise SetupError("a pool's broker needs the program mosquitto here", hint="apt-get install mosquitto")
    secure = f"certfile {tls[0]}\nkeyfile {tls[1]}\n" if tls else ""
    (data / "mosquitto.conf").write_text(
        f"per_listener_settings true\nlistener {port} {HOST}\n{secure}allow_anonymous false\npassword_file {users}\n"
        f"acl_file {Path(__file__).parent / 'pool.acl'}\nuse_username_as_clientid true\nuser {getpass.getuser()}\n"
        f"persistence true\npersistence_location {data}/\nautosave_interval 1\npid_file {data}/pid\n"
        "max_queued_messages 1000\nmax_packet_size 131072\n"
    )
    return stack.start(name, [where, "-c", data / "mosquitto.conf"], env=_environment(), ready=port)


def _environment() -> dict[str, str]:
    """Where the program finds the libraries that came with it."""
    libraries = [str(path.parent) for path in _FOLDER.glob("usr/lib/*/libcjson.so.1")]
    path = os.pathsep.join([*libraries, *filter(None, [os.environ.get("LD_LIBRARY_PATH")])])
    return {"LD_LIBRARY_PATH": path} if path else {}


def _settings(port: int, host: str, user: str, data: Path, *, guarded: bool) -> str:
    who = (
        f"allow_anonymous false\npassword_file {data}/passwords\nacl_file {data}/acl"
        if guarded
        else "allow_anonymous true"
    )
    return f"listener {port} {host}\n{who}\nuser {user}\npersistence true\npersistence_location {data}/\n"


def _hashed(password: str) -> str:
    """As mosquitto_passwd writes it: PBKDF2 with SHA-512, a salt of 12 bytes."""
    salt, rounds = secrets.token_bytes(12), 101
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, rounds)
    return f"$7${rounds}${base64.b64encode(salt).decode()}${base64.b64encode(key).decode()}"


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
