"""Three devices from nothing to paid work, again, upgraded, gone wrong, and one that slept."""

from __future__ import annotations

import json

from poco import ids
from tests.fleet.provision.conftest import NAMES, Roofs
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


def test_a_second_run_changes_nothing(roofs: Roofs) -> None:
    report = roofs.pew("apply")
    assert {name: one["changed"] for name, one in report["devices"].items()} == NOTHING
    assert report["transactions"] == []
    report = roofs.pew("plan")
    assert {name: one["changed"] for name, one in report["devices"].items()} == NOTHING
