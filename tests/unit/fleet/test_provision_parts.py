"""Releases, ssh's words, the callback's events, the worker's answer to an update, and files that must fit together."""

from __future__ import annotations

import json
import stat
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from chain import wallet
from ops.console import ROOT
from poco.errors import BadInputError
from sdk.fleet import inventory, reach, release, variables
from sdk.fleet.playbook import HostOutcome, read
from sdk.fleet.state import Device, State
from worker.identity import ensure_wallet
from worker.updating import judge

ANSIBLE = ROOT / "ops" / "ansible"


def checkout(folder: Path) -> Path:
    for package in release.PACKAGES:
        (folder / package / "__pycache__").mkdir(parents=True)
        (folder / package / "__init__.py").write_text(f"# {package}\n")
        (folder / package / "__pycache__" / "x.pyc").write_text("")
    for lock in (release.LOCK, release.SENSORS_LOCK, release.ANSIBLE_LOCK):
        (folder / lock).write_text(lock)
    return folder


def test_a_release_is_its_content(tmp_path: Path) -> None:
    root = checkout(tmp_path / "root")
    one = release.build(root, tmp_path / "a")
    (root / "worker" / "__init__.py").touch()
    again = release.build(root, tmp_path / "b")
    assert (one.digest, one.path.read_bytes()) == (again.digest, again.path.read_bytes())
    with tarfile.open(one.path) as tar:
        names = tar.getnames()
    assert "worker/__init__.py" in names and release.LOCK in names and not [n for n in names if "pycache" in n]
    assert release.venv_name(one, [release.LOCK]) != release.venv_name(one, [release.LOCK, release.SENSORS_LOCK])
    (root / "worker" / "__init__.py").write_text("# other\n")
    other = release.build(root, tmp_path / "b")
    assert other.digest != one.digest
    assert release.venv_name(other, [release.LOCK]) == release.venv_name(one, [release.LOCK]), "same packages"


def test_a_device_with_a_broker_has_what_speaks_to_it(tmp_path: Path) -> None:
    root = checkout(tmp_path / "root")
    made = release.build(root, tmp_path / "a")
    pool = "0x4e39aB2E570d38DCe002B1473f7646f776F1027b"
    addresses = dict.fromkeys(("hub", "RLC", "AppRegistry", "DatasetRegistry", "WorkerpoolRegistry"), pool)
    (tmp_path / "deployment.json").write_text(
        json.dumps({"network": "x", "chain_id": 1, "block": 0, "contracts": addresses})
    )
    text = f'pool: "{pool}"\nscheduler: https://pool.example\ndeployment: deployment.json\nrpc_urls: [http://127.0.0.1:1]\n'
    hosts = "hosts:\n  plain: {address: 10.0.0.1}\n  chatty: {address: 10.0.0.2, settings: {messaging: {}}}\n"
    fleet = inventory.parse(text + hosts, tmp_path / "fleet.yaml")
    state = State(tmp_path / "fleet.yaml")
    locks = {name: variables.of_device(fleet, state, made, name)["pew_locks"] for name in fleet.hosts}
    assert locks == {"plain": [release.LOCK], "chatty": [release.LOCK, release.SENSORS_LOCK]}


def test_no_checkout_no_release(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="no checkout"):
        release.build(tmp_path, tmp_path / "a")


@pytest.mark.parametrize(
    ("code", "said", "words"),
    [
        (255, "pi@h: Permission denied (publickey).", "does not take the key"),
        (255, "@@@\nHost key verification failed.", "another host key"),
        (255, "ssh: connect to host h port 22: Connection timed out", "timed out"),
        (1, "sudo: a password is required", "may not become root"),
        (127, "bash: python3: command not found", "python3"),
        (255, "", "exit code 255"),
    ],
)
def test_what_ssh_means(code: int, said: str, words: str) -> None:
    found = reach.explain(code, said, "pi", "h")
    assert found.state == reach.FAILED and words in found.why and found.cure


@pytest.mark.parametrize(
    ("tasks", "energy", "may"),
    [
        (0, {}, True),
        (0, {"soc": 0.4, "decision": "run: sun"}, True),
        (0, {"soc": 0.39, "decision": "run: sun"}, False),
        (1, {"soc": 1.0, "decision": "run: sun"}, False),
        (0, {"soc": 0.9, "decision": "pause: the battery is cold"}, False),
        (0, {"soc": 0.9, "decision": "a meter is silent; sleep: night; until 9"}, False),
        (0, {"soc": None, "decision": None}, True),
    ],
)
def test_an_update_waits_for_energy_and_tasks(tasks: int, energy: dict[str, Any], may: bool) -> None:
    answer = judge(tasks, energy, 0.4)
    assert answer.may is may and answer.why


def test_a_wallet_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = wallet.create
    monkeypatch.setattr(wallet, "create", lambda path, password: made(path, password, iterations=1024))
    config: Any = SimpleNamespace(keystore=tmp_path / "w" / "wallet.json", password_file=tmp_path / "w" / "password")
    (tmp_path / "w").mkdir()
    config.password_file.touch(0o600)  # as a power cut leaves it
    address, fresh = ensure_wallet(config)
    assert fresh and ensure_wallet(config) == (address, False)
    assert len(wallet.read_password(config.password_file)) >= 24
    assert {stat.S_IMODE(path.stat().st_mode) for path in (config.keystore, config.password_file)} == {0o600}
    config.password_file.write_text("another\n")
    with pytest.raises(BadInputError, match="wrong password"):
        ensure_wallet(config)


def test_events_are_sorted_by_device() -> None:
    events = [
        {"kind": "ok", "host": "a", "task": "worker : Address", "said": "", "diff": [], "facts": {"address": "0x1"}},
        {"kind": "changed", "host": "a", "task": "worker : Unit", "said": "", "diff": ["+x"]},
        {"kind": "failed", "host": "a", "task": "worker : Polls", "said": "silent", "diff": []},
        {"kind": "failed", "host": "a", "task": "worker : Not taken", "said": "back to 1", "diff": []},
        {"kind": "stats", "host": "a", "failures": 1, "rescued": 1},
        {"kind": "unreachable", "host": "b", "task": "x", "said": "", "diff": []},
    ]
    hosts = {name: HostOutcome() for name in "abc"}
    read("\n".join(map(json.dumps, events)), hosts)
    assert hosts["a"].facts == {"address": "0x1"} and hosts["a"].changed == [("Unit", ["+x"])]
    assert hosts["a"].failed == "Not taken: back to 1"
    assert hosts["b"].unreachable and not hosts["c"].seen


def test_what_is_remembered_is_only_its_owners(tmp_path: Path) -> None:
    state = State(tmp_path / "fleet.yaml")
    state.kept.devices["roof-1"] = Device(wallet="0x" + "11" * 20)
    state.save()
    assert State(tmp_path / "fleet.yaml").kept == state.kept
    assert stat.S_IMODE(state.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((state.folder / "state.json").stat().st_mode) == 0o600
    (state.folder / "state.json").write_text('{"release": 7}')
    with pytest.raises(BadInputError, match="cannot be read"):
        State(tmp_path / "fleet.yaml")


def tasks() -> list[tuple[Path, dict[str, Any]]]:
    found = []
    for path in [*ANSIBLE.glob("roles/*/tasks/*.yml"), *ANSIBLE.glob("*.yml")]:
        for item in yaml.safe_load(path.read_text()):
            inner = [*item.get("tasks", []), *item.get("block", []), *item.get("rescue", [])]
            found += [(path, one) for one in inner or [item]]
    return found


def test_what_the_roles_name_is_there() -> None:
    """Files that tasks copy exist, modules are Ansible's own, and everything has a name."""
    assert len(tasks()) > 50
    for path, task in tasks():
        assert task.get("name"), path
        text = yaml.safe_dump(task)
        modules = [key for key in task if "." in key]
        assert all(module.startswith("ansible.builtin.") for module in modules), (path, modules)
        if "ansible.builtin.import_role" in task:
            assert (ANSIBLE / "roles" / task["ansible.builtin.import_role"]["name"]).is_dir()
        if "../systemd/" in text:
            units = task.get("loop", ["pew-worker.service"])
            units = (
                [f"pew-worker.{one}.conf" for one in ("bubblewrap", "hardware")] if isinstance(units, str) else units
            )
            assert all((ROOT / "ops" / "systemd" / unit).is_file() for unit in units), path


def test_secrets_are_never_told() -> None:
    """Every task that touches what a vault holds has `no_log`."""
    touching = [
        (path, task)
        for path, task in tasks()
        if any(word in yaml.safe_dump(task) for word in ("pew_secrets", "pew_device_secrets", "pew_config_before.std"))
    ]
    assert len(touching) >= 4
    for path, task in touching:
        assert task.get("no_log") is True, (path, task["name"])
