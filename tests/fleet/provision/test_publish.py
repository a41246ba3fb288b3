"""What is published is signed, and a device takes nothing else: git and ssh-keygen for real, Ansible stands still."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from pathlib import Path
from types import ModuleType

import pytest

from ops.console import ROOT
from sdk.fleet import inventory, publish
from sdk.fleet.release import build
from sdk.fleet.signing import allowed_signers, git
from sdk.fleet.state import State

FLEET = """
pool: "0x4e39aB2E570d38DCe002B1473f7646f776F1027b"
scheduler: https://pool.example
deployment: deployment.json
rpc_urls: [http://127.0.0.1:8545]
pull: {{url: "https://fleet.example/pull.git"}}
hosts:
  roof-1: {{address: 10.0.0.1, panel_wp: {panel}}}
"""
CONTRACTS = ("RLC", "hub", "AppRegistry", "DatasetRegistry", "WorkerpoolRegistry")


class Operator:
    """Publishes a fleet, again with every panel that it is told."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        contracts = {name: f"0x{number:040x}" for number, name in enumerate(CONTRACTS, 1)}
        body = {"network": "x", "chain_id": 1, "block": 0, "contracts": contracts}
        (folder / "deployment.json").write_text(json.dumps(body))
        self.file = folder / "fleet.yaml"
        self.state = State(self.file)
        self.release = build(ROOT, self.state.releases)

    @property
    def served(self) -> Path:
        return self.state.folder / "pull.git"

    def publish(self, panel: int) -> bool:
        fleet = inventory.parse(FLEET.format(panel=panel), self.file)
        return publish.publish(fleet, self.state, self.release, ROOT)


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The device's program, in folders of the test; `ansible-pull` notes that it was called."""
    path = ROOT / "ops" / "ansible" / "roles" / "pull" / "files" / "pull.py"
    spec = importlib.util.spec_from_file_location("pull", path)
    assert spec is not None and spec.loader is not None
    pull = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(pull)
    home, programs = tmp_path / "home", tmp_path / "ansible" / "bin"
    programs.mkdir(parents=True)
    (programs / "ansible-pull").write_text(f"#!/bin/sh\necho called >> {tmp_path}/called\n")
    (programs / "ansible-pull").chmod(0o755)
    places = {"HOME": home, "MIRROR": home / "mirror.git", "TREE": home / "tree", "DONE": home / "done"}
    places |= {"SETTINGS": tmp_path / "pull.json", "SIGNERS": tmp_path / "signers", "CURRENT": tmp_path / "current"}
    for name, place in places.items():
        monkeypatch.setattr(pull, name, place)
    for name in ("HOME", "GIT_TERMINAL_PROMPT", "LC_ALL", "GIT_CONFIG_COUNT"):  # what it sets ends with the test
        monkeypatch.setenv(name, pull.os.environ.get(name, "0"))
    return pull


def look(device: ModuleType, tmp_path: Path, url: Path, operator: Operator) -> tuple[int, int]:
    """The program's exit code, and how often Ansible has been called by now."""
    (tmp_path / "signers").write_text(allowed_signers(operator.state))
    settings = {"url": f"file://{url}", "name": "roof-1", "lowest_soc": 0.4, "ansible": str(tmp_path / "ansible")}
    (tmp_path / "pull.json").write_text(json.dumps(settings))
    code = device.main()
    called = tmp_path / "called"
    return code, len(called.read_text().splitlines()) if called.exists() else 0


def test_a_device_follows_its_operator_alone(
    device: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    operator, stranger = Operator(tmp_path / "operator"), Operator(tmp_path / "stranger")
    assert operator.publish(60) and not operator.publish(60), "nothing new is not published again"
    assert look(device, tmp_path, operator.served, operator) == (0, 1)
    assert look(device, tmp_path, operator.served, operator) == (0, 1)
    assert "nothing new" in capsys.readouterr().out
    old = tmp_path / "old.git"
    subprocess.run(["git", "clone", "-q", "--bare", operator.served, old], check=True)
    assert operator.publish(100)
    assert look(device, tmp_path, operator.served, operator) == (0, 2)

    assert look(device, tmp_path, old, operator) == (1, 2)
    assert "an old version is not taken" in capsys.readouterr().err
    stranger.publish(60)
    assert look(device, tmp_path, stranger.served, operator) == (1, 2)
    assert "is not signed by the operator" in capsys.readouterr().err
    git(operator.state.folder / "pull", operator.state, ["commit", "-q", "--allow-empty", "--no-gpg-sign", "-m", "x"])
    git(operator.state.folder / "pull", operator.state, ["push", "-q", str(operator.served), "main"])
    assert look(device, tmp_path, operator.served, operator) == (1, 2), "what follows must be signed too"


def test_nothing_secret_is_published(tmp_path: Path) -> None:
    operator = Operator(tmp_path / "operator")
    operator.publish(60)
    tree = operator.state.folder / "pull"
    key = (operator.state.folder / "publish.key").read_text()
    settings = json.loads((tree / "hosts" / "roof-1.json").read_text())
    assert "ansible_host" not in settings and "10.0.0.1" not in json.dumps(settings)
    assert not any(key in path.read_text(errors="replace") for path in tree.rglob("*") if path.is_file())
