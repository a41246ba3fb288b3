"""A private PostgreSQL for tests and trials: `start_postgres`, or `python -m ops.postgres ensure` to have its programs.

The server listens on a Unix socket that only its user (and root) may open and, where a port is asked for, on loopback
with a password. PostgreSQL refuses to run as root: there it runs as the user of its Debian package.
"""

from __future__ import annotations

import argparse
import atexit
import os
import pwd
import secrets
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from ops.console import ROOT, CommandError, SetupError, guarded, run, say, step
from ops.engine import apt_install
from ops.ports import HOST
from ops.stack import Stack

#: Debian's wrapper would start a server of its own after the installation.
_NO_CLUSTER = Path("/etc/postgresql-common/createcluster.d/pew.conf")
#: Part of the socket's name.
_PORT = 5432
_USERS = ("postgres", "nobody")
#: A Unix socket's path is bounded; PostgreSQL adds `/.s.PGSQL.5432.lock`.
_LONGEST_PATH = 80
#: SIGTERM, with which a stack ends its processes, would wait for the clients: it becomes an immediate one.
_FAST_STOP = "trap 'kill -QUIT $server' TERM INT; \"$@\" & server=$!; wait $server; wait $server"


@dataclass(frozen=True)
class Postgres:
    """A running server.

    Args:
        folder: of its Unix socket.
        port: on loopback, or None.
        password: of the user `pew` on loopback; the Unix socket asks for none.
    """

    programs: Path
    folder: Path
    port: int | None
    password: str = field(repr=False)

    def create(self, name: str) -> str:
        """Make an empty database; its address by the Unix socket."""
        port = str(self.port or _PORT)
        run([self.programs / "createdb", "-h", self.folder, "-p", port, "-U", "pew", name])
        return f"postgresql://pew@/{name}?host={quote(str(self.folder), safe='')}&port={port}"

    def loopback(self, name: str) -> str:
        """The address of a database by loopback (without the password)."""
        return f"postgresql://pew@{HOST}:{self.port}/{name}"


def find_postgres() -> Path | None:
    """The folder of the newest server's programs; None where there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
    on_path = shutil.which("postgres")
    return found[-1].parent if found else Path(on_path).resolve().parent if on_path else None


def ensure_postgres() -> Path:
    """As `find_postgres`; root on Debian or Ubuntu has the package installed (no server of its own is started).

    Raises:
        SetupError: there is none, and the way to one.
    """
    found = find_postgres()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        with step("postgres", "installing PostgreSQL"):
            _NO_CLUSTER.parent.mkdir(parents=True, exist_ok=True)
            _NO_CLUSTER.write_text("create_main_cluster = false\n")
            apt_install("postgresql")
        found = find_postgres()
    if found is None:
        raise SetupError(
            "PostgreSQL's server is not installed",
            "as root on Debian or Ubuntu `python3 -m ops.postgres ensure`; elsewhere install PostgreSQL 13 or newer "
            "and put its `postgres` on PATH",
        )
    return found


def start_postgres(stack: Stack, *, port: int | None = None, name: str = "postgres") -> Postgres:
    """Start an empty server that ends with the run and leaves nothing behind.

    Args:
        stack: the run it belongs to.
        port: also listen there on loopback.
        name: of the process.
    """
    programs = ensure_postgres()
    user = _user()
    home = _home(stack.run_dir / name, user)
    server = Postgres(programs, home, port, secrets.token_hex(16))
    given = home / "password"
    given.touch(0o600)
    given.write_text(server.password)
    if user:
        shutil.chown(home, user)
        shutil.chown(given, user)
    as_user = ["setpriv", f"--reuid={user}", f"--regid={_group(user)}", "--clear-groups", "--"] if user else []
    init: list[str | Path] = [
        programs / "initdb",
        "-D",
        home / "data",
        "-U",
        "pew",
        "-E",
        "UTF8",
        "--no-locale",
        "--auth-local=trust",
    ]
    init += ["--auth-host=scram-sha-256", "--pwfile", given, "--no-instructions"]
    try:
        run([*as_user, *init], cwd=home, timeout=120)
    except CommandError as error:
        raise SetupError(f"initdb failed: {error.message}", "see whether the disk is full") from error
    given.unlink()
    settings = {
        "unix_socket_directories": str(home),
        "unix_socket_permissions": "0700",
        "listen_addresses": HOST if port else "",
        "port": str(port or _PORT),
        "max_connections": "200",
    }
    command = [*as_user, str(programs / "postgres"), "-D", str(home / "data")]
    for key, value in settings.items():
        command += ["-c", f"{key}={value}"]
    ready: list[str | Path] = [programs / "pg_isready", "-q", "-h", home, "-p", settings["port"]]

    def answers() -> bool:
        return subprocess.run(ready, check=False).returncode == 0

    stack.start(name, ["sh", "-c", _FAST_STOP, "sh", *command], cwd=home, ready=answers)
    return server


def _user() -> str | None:
    """Whom root becomes; None for everybody else, who stays who they are."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in _USERS if name in known)


def _group(user: str) -> int:
    return pwd.getpwnam(user).pw_gid


def _home(wanted: Path, user: str | None) -> Path:
    """An empty folder that the user can reach, the wanted one where possible; it goes when this program ends."""
    for base in (wanted, ROOT / "build" / f"postgres-{os.getpid()}-{secrets.token_hex(4)}"):
        if len(str(base)) <= _LONGEST_PATH and (user is None or _open_to_all(base.parent)):
            shutil.rmtree(base, ignore_errors=True)
            base.mkdir(mode=0o700, parents=True)
            break
    else:
        base = Path(tempfile.mkdtemp(prefix="pew-postgres-"))
    atexit.register(shutil.rmtree, base, ignore_errors=True)
    return base


def _open_to_all(folder: Path) -> bool:
    folder = folder.resolve()
    return all(not one.exists() or one.stat().st_mode & 0o001 for one in (folder, *folder.parents))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m ops.postgres", description="PostgreSQL's programs for the tests.")
    parser.add_argument("command", choices=["ensure"], help="install them where they are missing (root)")
    parser.parse_args()
    say("postgres", f"programs in {ensure_postgres()}")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
