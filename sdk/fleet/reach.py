"""Which devices can be reached by ssh now, and what is wrong with the others in words."""

from __future__ import annotations

import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from poco.errors import BadInputError, PewError
from sdk.fleet.inventory import Fleet
from sdk.fleet.state import State
from sdk.fleet.variables import ssh_options
from sdk.service import service_of

ASLEEP, FAILED, READY, NO_ADDRESS = "asleep", "failed", "ready", "by card"
_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Reached:
    """How one device was found: a state of the above, why, and what to do."""

    state: str
    why: str = ""
    cure: str = ""


def reach(fleet: Fleet, state: State, names: list[str]) -> dict[str, Reached]:
    """Knock at every device at once; who does not answer but has said that it sleeps is no failure.

    Raises:
        BadInputError: this machine has no ssh.
    """
    if shutil.which("ssh") is None:
        raise BadInputError("this machine has no ssh", hint="install it: sudo apt-get install openssh-client")
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = dict(zip(names, pool.map(lambda name: _knock(fleet, state, name), names), strict=True))
    if any(one.state == FAILED for one in found.values()):
        workers = workers_by_name(fleet)
        for name, one in found.items():
            if one.state == FAILED and one.cure == _SILENT_CURE:
                found[name] = asleep(workers.get(name)) or one
    return found


def workers_by_name(fleet: Fleet) -> dict[str, dict[str, Any]]:
    """What the scheduler says of each worker; nothing where it does not answer."""
    try:
        status = service_of(fleet.scheduler).get("/status")
        return {str(worker.get("name")): worker for worker in status["workers"]}
    except (PewError, TypeError, KeyError):
        return {}


_SILENT_CURE = "see that it is on and in the network; pew fleet status says when it was heard last"


def _knock(fleet: Fleet, state: State, name: str) -> Reached:
    host = fleet.hosts[name]
    if host.address is None:
        return Reached(NO_ADDRESS, "it has no address: it catches up by itself")
    words = ["ssh", *ssh_options(state), "-p", str(host.port)]
    if host.key is not None:
        words += ["-i", str(fleet.path(host.key)), "-o", "IdentitiesOnly=yes"]
    asks = "python3 --version" if host.user == "root" else "sudo -n true && python3 --version"
    try:
        done = subprocess.run(
            [*words, f"{host.user}@{host.address}", asks],
            capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, timeout=30, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Reached(FAILED, f"no answer from {host.address} in 30 s", _SILENT_CURE)
    return Reached(READY) if done.returncode == 0 else explain(done.returncode, done.stderr, host.user, host.address)


def explain(code: int, said: str, user: str, address: str) -> Reached:
    """What ssh's exit code and words mean."""
    said = said.strip()
    last = said.splitlines()[-1] if said else f"exit code {code}"
    if code == 255 and "Permission denied" in said:
        cure = f"put your public key there: ssh-copy-id {user}@{address}; or name the private key with `key`"
        return Reached(FAILED, f"{address} does not take the key of {user}", cure)
    if code == 255 and re.search("IDENTIFICATION HAS CHANGED|Host key verification failed", said):
        cure = "where the device was set up anew, remove its lines from known_hosts beside the fleet's state"
        return Reached(FAILED, f"{address} shows another host key than before", cure)
    if code == 255 and re.search("no such identity|Load key|not accessible", said):
        return Reached(FAILED, last, "check `key` in the fleet's file")
    if code == 255:
        return Reached(FAILED, last, _SILENT_CURE)
    if "sudo" in said:
        return Reached(FAILED, f"{user} may not become root without a password", f"allow {user} NOPASSWD in sudoers")
    return Reached(FAILED, last, "install Python on it: sudo apt-get install python3")


def asleep(worker: dict[str, Any] | None) -> Reached | None:
    """What the scheduler knows of a device that does not answer: asleep until then; None where it should answer."""
    if not worker or worker.get("presence") != "ASLEEP":
        return None
    until = worker.get("resume_at")
    when = f"until {datetime.fromtimestamp(until).astimezone():%Y-%m-%d %H:%M}" if isinstance(until, int) else ""
    return Reached(ASLEEP, f"asleep {when}".strip() + ", will catch up by itself")
