"""The YAML file, and what is said about a wrong one."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from oci.platform import normalise
from poco.errors import BadInputError
from worker.config import load

POOL = "0x" + "11" * 20
GOOD = f"""
scheduler_url: http://127.0.0.1:8080/
rpc_url: http://127.0.0.1:8545
deployment: ../there.json
keystore: keys/k.json
password_file: keys/p
data_dir: data
name: roof-1
workerpool: "{POOL}"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "worker.yaml"
    path.write_text(text)
    return path


def test_paths_are_relative_to_the_file_and_defaults_work(tmp_path: Path) -> None:
    config = load(write(tmp_path, GOOD))
    assert config.scheduler_url == "http://127.0.0.1:8080"
    assert config.keystore == tmp_path / "keys" / "k.json"
    assert config.deployment == tmp_path.parent / "there.json"
    assert config.platform == str(normalise("linux", platform.machine()))
    assert config.docker.network_apps == ()
    assert not config.fetch.allow_private_addresses


def test_a_platform_is_normalised(tmp_path: Path) -> None:
    assert load(write(tmp_path, GOOD + "platform: linux/aarch64\n")).platform == "linux/arm64"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (GOOD + "slots: 0\n", "slots"),
        (GOOD + "color: red\n", "color"),
        (GOOD + "platform: windows\n", "platform"),
        (GOOD + "docker: {memory_mb: lots}\n", "docker.memory_mb"),
        (GOOD + "energy: {panel_wp: -1}\n", "energy.panel_wp"),
        (GOOD.replace("http://127.0.0.1:8080/", "127.0.0.1"), "scheduler_url"),
        (GOOD.replace(POOL, "0x12"), "workerpool"),
        (GOOD.replace("roof-1", "a roof"), "name"),
        (GOOD.replace("keystore", "key_store"), "keystore"),
        ("- a list", "no settings"),
        ("a: [", "not YAML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(BadInputError) as caught:
        load(write(tmp_path, text))
    assert said in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("command", ["run", "status", "doctor"])
def test_commands_say_error_and_hint_without_a_trace(tmp_path: Path, command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "worker", command, "--config", str(tmp_path / "nothing.yaml")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert lines[0].startswith("error: cannot read") and lines[1].startswith("hint: ")
    assert len(lines) == 2 and not done.stdout


def test_a_missing_keystore_is_said_before_anything_starts(tmp_path: Path) -> None:
    contracts = dict.fromkeys(("RLC", "hub", "AppRegistry", "DatasetRegistry", "WorkerpoolRegistry"), POOL)
    import json

    (tmp_path.parent / "there.json").write_text(
        json.dumps({"network": "n", "chain_id": 1337, "block": 1, "contracts": contracts})
    )
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "p").write_text("x")
    path = write(tmp_path, GOOD)
    argv = [sys.executable, "-m", "worker", "--config", str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "there is no keystore" in done.stderr
    doctor = subprocess.run([*argv[:3], "doctor", *argv[3:]], capture_output=True, text=True, check=False)
    assert doctor.returncode == 1
    assert "FAIL keystore: there is no keystore" in doctor.stdout
    assert "cure: make one" in doctor.stdout
    assert "FAIL chain: not examined" in doctor.stdout
