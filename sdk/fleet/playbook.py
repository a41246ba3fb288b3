"""Runs Ansible's programs, and reads what they did."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from poco.errors import BadInputError, PewError
from sdk.fleet.state import State


@dataclass(slots=True)
class HostOutcome:
    """What a run did on one device: names of tasks with their changed lines, failures, what the device told."""

    changed: list[tuple[str, list[str]]] = field(default_factory=list)
    failed: str = ""
    unreachable: bool = False
    facts: dict[str, Any] = field(default_factory=dict)
    seen: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """`code`: of the program; a device that the roll did not come to has `seen` False."""

    code: int
    hosts: dict[str, HostOutcome]

    @property
    def ok(self) -> bool:
        return self.code == 0 and not any(host.failed or host.unreachable for host in self.hosts.values())


@dataclass(frozen=True, slots=True)
class Vault:
    """An encrypted file and the file that holds its password; None: Ansible asks on the terminal."""

    path: Path
    password: Path | None

    def words(self) -> list[str]:
        asked = ["--ask-vault-pass"] if self.password is None else ["--vault-password-file", str(self.password)]
        return [*asked, "-e", f"@{self.path}"]


class Ansible:
    """Ansible's programs for one fleet.

    Args:
        programs: their folder.
        root: the checkout with the playbooks.
    """

    def __init__(self, programs: Path, root: Path, state: State, vault: Vault | None, *, quiet: bool = False) -> None:
        self._programs, self._root, self._state, self._vault, self._quiet = programs, root, state, vault, quiet

    def open_vault(self) -> None:
        """See that the password opens the vault.

        Raises:
            BadInputError: it does not, or there is none.
        """
        if self._vault is None or self._vault.password is None:
            return
        if not self._vault.path.is_file():
            raise BadInputError(f"there is no vault {self._vault.path}", hint="make it: ansible-vault create FILE")
        words = [str(self._programs / "ansible-vault"), "view", "--vault-password-file", str(self._vault.password)]
        done = subprocess.run(
            [*words, str(self._vault.path)], env=self._environment(None), capture_output=True, text=True, check=False
        )
        if done.returncode:
            why = "is not encrypted" if "not vault encrypted" in done.stderr else "does not open with this password"
            cure = "ansible-vault encrypt" if "not encrypted" in why else "check --vault-password-file"
            raise BadInputError(f"{self._vault.path} {why}", hint=cure)

    def play(
        self,
        playbook: str,
        inventory: dict[str, Any],
        *,
        extra: dict[str, Any] | None = None,
        check: bool = False,
    ) -> Outcome:
        """Run a playbook of ops/ansible.

        Raises:
            PewError: Ansible could not run it at all.
        """
        hosts = {name: HostOutcome() for name in inventory["workers"]["hosts"]}
        where = self._state.write_json("inventory.json", inventory)
        with tempfile.TemporaryDirectory(prefix="pew-") as folder:
            events = Path(folder) / "events"
            events.touch(0o600)
            words: list[str | Path] = [self._programs / "ansible-playbook", "-i", where]
            words += ["-e", json.dumps(extra)] if extra else []
            words += ["--check", "--diff"] if check else []
            words += self._vault.words() if self._vault is not None else []
            folder_of_plays = self._root / "ops" / "ansible"
            done = subprocess.run(
                [*words, folder_of_plays / playbook],
                env=self._environment(events), cwd=folder_of_plays, check=False,
                stdin=None if self._vault and self._vault.password is None else subprocess.DEVNULL,
                stdout=sys.stderr if self._quiet else None,
            )  # fmt: skip
            read(events.read_text(), hosts)
        if not any(host.seen for host in hosts.values()):
            raise PewError("Ansible did not begin", hint="what it said stands above")
        return Outcome(done.returncode, hosts)

    def _environment(self, events: Path | None) -> dict[str, str]:
        env = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        # sockets of ssh have a bounded path: not below the fleet's folder
        sockets = Path(tempfile.gettempdir()) / f"pew-ssh-{os.getuid()}"
        sockets.mkdir(mode=0o700, exist_ok=True)
        env |= {
            "ANSIBLE_CONFIG": str(self._root / "ops" / "ansible" / "ansible.cfg"),
            "ANSIBLE_HOME": str(self._state.folder / "ansible"),
            "ANSIBLE_SSH_CONTROL_PATH_DIR": str(sockets),
            "ANSIBLE_FORKS": "20",
        }
        return env | ({"PEW_EVENTS": str(events)} if events else {})


def read(text: str, hosts: dict[str, HostOutcome]) -> None:
    """Sort the callback's events by device."""
    for line in text.splitlines():
        event = json.loads(line)
        host = hosts.get(event["host"])
        if host is None:
            continue
        kind, task = event["kind"], str(event.get("task", "")).rpartition(" : ")[2]
        host.seen = host.seen or kind != "stats"
        host.facts |= event.get("facts", {})
        if kind == "changed":
            host.changed.append((task, list(event["diff"])))
        elif kind == "failed":  # the last one counts: it says what was done about the first
            host.failed = f"{task}: {event['said']}".strip(": ")
        elif kind == "unreachable":
            host.unreachable = True
        elif kind == "stats" and not event.get("failures") and not event.get("rescued"):
            host.failed = ""


def programs(root: Path) -> Path:
    """The folder of Ansible's programs, installed where they are missing.

    Raises:
        PewError: they cannot be had.
    """
    python = shutil.which("python3") if not (root / ".venv").exists() else str(root / ".venv" / "bin" / "python")
    done = subprocess.run(
        [python or sys.executable, "-m", "ops.ansible"], cwd=root, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise PewError(f"Ansible cannot be had: {said[-500:]}", hint="it comes from PyPI; check the network")
    return Path(done.stdout.splitlines()[-1])
