"""nats-server with its MQTT listener, for trials and tests: Debian's program, unpacked and not installed, on loopback.

Its MQTT needs JetStream, which keeps sessions, retained messages and queued commands in the run's folder.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from ops.console import SetupError
from ops.engine import TOOLS, unpack
from ops.ports import HOST, require_ports
from ops.process import Process
from ops.stack import Stack

_FOLDER = TOOLS / "nats"
#: Started again whenever it ends, as a service manager does: the scheduler ends it where its users have changed.
_AGAIN = 'trap "kill \\$server; exit 0" TERM INT; while :; do "$@" & server=$!; wait $server; sleep 0.2; done'


def find_nats() -> Path | None:
    """The server's program: on PATH or where Debian puts it, or unpacked below build/tools."""
    installed = shutil.which("nats-server", path=os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"]))
    unpacked = _FOLDER / "usr" / "sbin" / "nats-server"
    return Path(installed) if installed else unpacked if unpacked.exists() else None


def ensure_nats() -> Path:
    """Where the program is.

    Raises:
        SetupError: there is none, and Debian's cannot be had.
    """
    TOOLS.mkdir(parents=True, exist_ok=True)
    with (TOOLS / "nats.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if find_nats() is None:
            with tempfile.TemporaryDirectory(dir=TOOLS) as folder:
                unpack(Path(folder), "nats-server")
                _FOLDER.mkdir(parents=True, exist_ok=True)
                (Path(folder) / "usr").rename(_FOLDER / "usr")
    found = find_nats()
    if found is None:
        raise SetupError("there is no nats-server", hint="apt-get install nats-server, or put it on PATH")
    return found


def start_nats(
    stack: Stack, port: int, users: Path, *, name: str = "nats", tls: tuple[Path, Path] | None = None
) -> Process:
    """Start a server whose MQTT listens on loopback; what it keeps ends with the run's folder.

    Args:
        stack: the run it belongs to.
        port: for MQTT; NATS's own protocol gets any free one.
        users: what the scheduler writes of who may do what (`broker.users_file`, in the form `nats`).
        name: of the process.
        tls: PEM files of a certificate and its key.
    """
    require_ports({name: (port, "port")})
    data = stack.run_dir / name
    data.mkdir(exist_ok=True)
    users.touch()
    secure = f"tls {{ cert_file: '{tls[0]}', key_file: '{tls[1]}' }}" if tls else ""
    config = data / "nats.conf"
    config.write_text(
        f"server_name: {name}\nlisten: '{HOST}:-1'\npid_file: '{data}/pid'\nmax_payload: 256KB\n"
        f"jetstream {{ store_dir: '{data}/jetstream', max_memory_store: 64MB, max_file_store: 1GB }}\n"
        f"mqtt {{ host: {HOST}, port: {port}\n {secure} }}\ninclude '{os.path.relpath(users, data)}'\n"
    )
    return stack.start(name, ["sh", "-c", _AGAIN, "nats", ensure_nats(), "-c", config], ready=port)
