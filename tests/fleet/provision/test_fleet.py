"""Three devices from nothing to paid work, again, upgraded, gone wrong, and one that slept."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import yaml

from ops.console import ROOT
from ops.ports import free_port
from poco import ids
from sdk.fleet.reach import asleep as explain_asleep
from tests.fleet.provision.conftest import NAMES, SECRET, Roofs
from tests.integration.scheduler_pool import until

NOTHING: dict[str, list[str]] = {name: [] for name in NAMES}


def test_a_fresh_device_becomes_an_earning_worker(roofs: Roofs) -> None:
    plan = roofs.pew("plan")
    assert [plan["devices"][name]["changed"][-1]["task"] for name in NAMES] == [
        "Nothing is installed yet, everything will be"
    ] * 3
    report = roofs.pew("apply", "--yes")
    assert report["ok"] and {one["state"] for one in report["devices"].values()} == {"changed"}
    until(lambda: all(roofs.worker(name)["presence"] == "WAITING" for name in NAMES), 60)
    for name in NAMES:
        address = roofs.state["devices"][name]["wallet"]
        assert roofs.worker(name)["wallet"] == address
        assert roofs.net.chain.account(address).stake == 10**9, "the stake is in the escrow"
    task_id = ids.task_id(roofs.net.deal("echo hello", initialize=False).id, 0)
    until(lambda: roofs.scheduler.status_of(task_id) == "COMPLETED", 120)


def test_the_key_never_leaves_and_only_the_worker_reads_it(roofs: Roofs) -> None:
    device = roofs.devices["roof-1"]
    said = device.run("stat", "-c", "%U %a", "/var/lib/pew/wallet/wallet.json", "/var/lib/pew/wallet/password")
    assert said.split() == ["pew", "600", "pew", "600"]
    password = device.run("cat", "/var/lib/pew/wallet/password").strip()
    keystore = json.loads(device.run("cat", "/var/lib/pew/wallet/wallet.json"))
    everything = "".join(roofs.said) + "".join(
        path.read_text(errors="replace") for path in roofs.folder.rglob("*") if path.is_file()
    )
    assert password not in everything
    assert keystore["crypto"]["ciphertext"] not in everything


def test_what_is_in_the_vault_is_told_to_nobody(roofs: Roofs, tmp_path: Path) -> None:
    device = roofs.devices["roof-1"]
    assert SECRET in device.run("cat", "/etc/pew/worker.yaml")
    said = device.run("stat", "-c", "%U %G %a", "/etc/pew/worker.yaml", "/etc/pew/secrets.yaml")
    assert said.split() == ["root", "pew", "640", "root", "root", "600"]
    files = "".join(path.read_text(errors="replace") for path in roofs.folder.rglob("*") if path.is_file())
    assert SECRET not in "".join(roofs.said) + files
    other = tmp_path / "other.password"
    other.write_text("not this one\n")
    for words, trouble in (
        (["--vault-password-file", str(other)], "does not open with this password"),
        (["--vault-password-file", str(tmp_path / "none")], "there is no"),
    ):
        roofs.pew("plan", "roof-1", *words, code=2)
        assert trouble in roofs.said[-1]


def test_a_wrong_key_is_said(roofs: Roofs, tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    data = yaml.safe_load(roofs.file.read_text())
    roofs.change(hosts={**data["hosts"], "roof-2": {**data["hosts"]["roof-2"], "key": str(tmp_path / "key")}})
    try:
        report = roofs.pew("plan", "roof-2", code=1)
        assert "does not take the key of pi" in report["devices"]["roof-2"]["why"]
        assert "ssh-copy-id" in report["devices"]["roof-2"]["cure"]
    finally:
        roofs.change(hosts=data["hosts"])


def test_a_second_run_changes_nothing(roofs: Roofs) -> None:
    report = roofs.pew("apply")
    assert {name: one["changed"] for name, one in report["devices"].items()} == NOTHING
    assert report["transactions"] == []
    report = roofs.pew("plan")
    assert {name: one["changed"] for name, one in report["devices"].items()} == NOTHING


def changed_source(folder: Path, old: str, new: str) -> Path:
    """A checkout whose worker begins otherwise."""
    for name in ("ops", "worker", "poco", "chain", "oci"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in ROOT.glob("requirements-*.txt"):
        shutil.copyfile(path, folder / path.name)
    (folder / "build").symlink_to(ROOT / "build")
    (folder / ".venv").symlink_to(ROOT / ".venv")
    main = folder / "worker" / "__main__.py"
    text = main.read_text()
    assert old in text
    main.write_text(text.replace(old, new, 1))
    return folder


def test_an_upgrade_that_fails_half_way_goes_back_and_stops(roofs: Roofs, tmp_path: Path) -> None:
    roofs.change(upgrade={"share": 1, "seconds": 30})
    before = {name: roofs.release(name) for name in NAMES}
    # it is well on the first, and does not start on the second
    daemon = '    """The daemon."""\n'
    broken = f'{daemon}    if __import__("socket").gethostname() == "roof-2":\n        raise SystemExit("broken")\n'
    source = changed_source(tmp_path / "source", daemon, broken)
    report = roofs.pew("upgrade", source=source, code=1)
    states = {name: one["state"] for name, one in report["devices"].items()}
    assert states == {"roof-1": "changed", "roof-2": "failed", "roof-3": "failed"}
    assert f"back to release {before['roof-2']}" in report["devices"]["roof-2"]["why"]
    assert "the roll has stopped" in report["devices"]["roof-3"]["why"]
    assert not report["published"] and report["release"] != before["roof-1"]
    now = {name: roofs.release(name) for name in NAMES}
    assert now == {**before, "roof-1": report["release"]}
    until(lambda: all(roofs.worker(name)["presence"] == "WAITING" for name in NAMES), 60)
    roofs.pew("apply")
    assert {name: roofs.release(name) for name in NAMES} == before, "what is in force is the release of before"


def test_a_device_asleep_during_the_push_catches_up(roofs: Roofs, tmp_path: Path) -> None:
    port = free_port()
    served = roofs.folder / "fleet.state" / "pull.git"
    roofs.change(pull={"url": f"http://127.0.0.1:{port}/"}, upgrade={"share": "50%", "seconds": 60})
    report = roofs.pew("apply")
    assert report["published"]
    server = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(served)]
    with subprocess.Popen(server, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as serving:
        try:
            sleeper = roofs.devices["roof-3"]
            assert "OnCalendar=*:0/30" in sleeper.run("systemctl", "cat", "pew-pull.timer")
            sleeper.run("systemctl", "stop", "pew-pull.timer")  # it looks when the test says so
            before = roofs.release("roof-3")
            sleeper.sleep()
            source = changed_source(tmp_path / "source", "if __name__", "# the next version\nif __name__")
            report = roofs.pew("upgrade", source=source, code=1)
            assert "see that it is on" in report["devices"]["roof-3"]["cure"], "silent, and has not said that it sleeps"
            asleep = {**roofs.worker("roof-3"), "presence": "ASLEEP", "resume_at": 1_900_000_000}
            assert explain_asleep(asleep) is not None
            roofs.pew("upgrade", "roof-1", "roof-2", source=source)
            sleeper.wake()
            sleeper.run("systemctl", "start", "pew-pull.service", timeout=400)
            assert roofs.release("roof-3") == roofs.release("roof-1") != before, sleeper.run(
                "journalctl", "-u", "pew-pull", "-n", "30", "--no-pager"
            )
            until(lambda: roofs.worker("roof-3")["presence"] == "WAITING", 60)
            sleeper.run("systemctl", "start", "pew-pull.service")
            said = sleeper.run("journalctl", "-u", "pew-pull", "-n", "3", "--no-pager")
            assert "nothing new" in said
        finally:
            serving.terminate()


def test_nothing_is_taken_that_the_operator_has_not_signed(roofs: Roofs, tmp_path: Path) -> None:
    device = roofs.devices["roof-3"]
    forged = tmp_path / "forged"
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@x", "-c", "safe.directory=*"]
    subprocess.run([*git, "clone", "-q", str(roofs.folder / "fleet.state" / "pull.git"), str(forged)], check=True)
    (forged / "local.yml").write_text("- hosts: localhost\n")
    subprocess.run([*git, "-C", str(forged), "commit", "-q", "-am", "evil"], check=True)
    subprocess.run([*git, "-C", str(forged), "update-server-info"], check=True)
    port, before = free_port(), device.run("cat", "/etc/pew/pull/pull.json")
    server = [
        sys.executable,
        "-m",
        "http.server",
        str(port),
        "--bind",
        "127.0.0.1",
        "--directory",
        str(forged / ".git"),
    ]
    with subprocess.Popen(server, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as serving:
        try:
            changed = json.dumps({**json.loads(before), "url": f"http://127.0.0.1:{port}/"})
            device.run("sh", "-c", f"cat > /etc/pew/pull/pull.json <<'E'\n{changed}\nE")
            time.sleep(0.5)
            release = roofs.release("roof-3")
            said = device.run("sh", "-c", "python3 /usr/local/lib/pew/pull.py 2>&1 || true")
            assert "is not signed by the operator" in said
            assert roofs.release("roof-3") == release
        finally:
            serving.terminate()
            device.run("sh", "-c", f"cat > /etc/pew/pull/pull.json <<'E'\n{before}\nE")
