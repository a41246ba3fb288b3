"""A card: a fresh device that nobody logs in to joins by its token, is admitted, and works."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml

from ops.ports import free_port
from tests.fleet.provision.conftest import Roofs, sunshine
from tests.fleet.provision.hosts import Device, devices
from tests.integration.scheduler_pool import until


def first_boot(device: Device, user_data: str) -> None:
    """What cloud-init does with the card: packages, files, commands."""
    card = yaml.safe_load(user_data)
    device.run("sh", "-ec", f"apt-get update -qq; apt-get install -qy {' '.join(card['packages'])}", timeout=400)
    for file in card["write_files"]:
        words = ["docker", "exec", "-i", device.container, "sh", "-ec"]
        path, mode = file["path"], file.get("permissions", "0644")
        words.append(f"mkdir -p $(dirname {path}); cat > {path}; chmod {mode} {path}")
        subprocess.run(words, input=file["content"], text=True, check=True, timeout=60)
    for command in card["runcmd"]:
        device.run(*command)


def test_a_card_joins_by_its_token(roofs: Roofs, tmp_path_factory: pytest.TempPathFactory) -> None:
    port = free_port()
    served = roofs.folder / "fleet.state" / "pull.git"
    before = roofs.file.read_text()
    roofs.change(pull={"url": f"http://127.0.0.1:{port}/"})
    card = tmp_path_factory.mktemp("card")
    roofs.pew("add", "shed-1", "--card", str(card / "bootfs"))
    token = yaml.safe_load((card / "bootfs" / "user-data").read_text())["write_files"][0]["content"].strip()
    assert not any(token in path.read_text(errors="replace") for path in roofs.folder.rglob("*") if path.is_file())
    assert roofs.pew("apply", "shed-1")["published"]
    server = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(served)]
    with (
        subprocess.Popen(server, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as serving,
        devices(tmp_path_factory.mktemp("more"), sunshine(), "shed-1") as made,
    ):
        try:
            device = made["shed-1"]
            first_boot(device, (card / "bootfs" / "user-data").read_text())
            until(lambda: device.run("sh", "-c", "cat /var/lib/pew-pull/done || true"), 400, 1)
            assert "No such file" in device.run("sh", "-c", "ls /etc/pew/token /var/lib/pew/token 2>&1 || true")
            report = roofs.pew("apply", "shed-1", "--yes")
            assert len(report["transactions"]) == 2 and report["published"], "gas, stake, and its declaration"
            assert roofs.state["devices"]["shed-1"]["wallet"] == device.run("cat", "/etc/pew/address").strip()
            assert roofs.state["tokens"] == {}
            device.run("systemctl", "start", "pew-pull.service", timeout=400)
            until(lambda: roofs.worker("shed-1")["presence"] == "WAITING", 90)
        finally:
            serving.terminate()
            roofs.file.write_text(before)
