"""`scheduler.yaml`: what is wrong is said by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from poco.errors import BadInputError
from scheduler import config, lock

SETTINGS = {
    "rpc_url": "http://127.0.0.1:8545",
    "deployment": "deployments/x.json",
    "workerpool": "0x5FC8d32690cc91D4c39d9d3abcBD16989F875707",
    "keystore": "/keys/owner.json",
    "password_file": "password",
    "data_dir": "data",
}


def write(folder: Path, **changes: object) -> Path:
    path = folder / "scheduler.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in {**SETTINGS, **changes}.items() if v is not None}))
    return path


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    found = config.load(write(tmp_path, tls={"certificate": "c.pem", "key": "/k.pem"}))
    assert found.deployment == tmp_path / "deployments/x.json"
    assert found.keystore == Path("/keys/owner.json")
    assert found.data_dir == tmp_path / "data"
    assert found.tls is not None
    assert (found.tls.certificate, found.tls.key) == (tmp_path / "c.pem", Path("/k.pem"))
    assert (found.host, found.chain_poll_seconds) == ("127.0.0.1", 0.5)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"rpc_url": None}, "rpc_url"),
        ({"rpc_url": "127.0.0.1:8545"}, "rpc_url"),
        ({"workerpool": "0x12"}, "workerpool"),
        ({"workerpool": "0x5FC8d32690cc91D4c39d9d3abcBD16989F87570A"}, "workerpool"),
        ({"port": 0}, "port"),
        ({"port": "many"}, "port"),
        ({"unknown_after": 50, "lost_after": 50}, "lost_after"),
        ({"max_result_bytes": 1}, "max_result_bytes"),
        ({"allowed_workers": ["0x1"]}, "allowed_workers"),
        ({"tls": {"certificate": "c"}}, "tls.key"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, changes: dict[str, object], named: str) -> None:
    with pytest.raises(BadInputError) as caught:
        config.load(write(tmp_path, **changes))
    assert named in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("text", ["", "[]", "just text", "a: [", "\0"])
def test_what_is_no_settings_file(tmp_path: Path, text: str) -> None:
    path = tmp_path / "scheduler.yaml"
    path.write_text(text)
    with pytest.raises(BadInputError):
        config.load(path)
    with pytest.raises(BadInputError):
        config.load(tmp_path / "none.yaml")


def test_one_process_on_one_folder(tmp_path: Path) -> None:
    held = lock.acquire(tmp_path / "data")
    with pytest.raises(BadInputError, match="another scheduler"):
        lock.acquire(tmp_path / "data")
    held.close()
    lock.acquire(tmp_path / "data").close()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInputError, match="cannot write"):
        lock.acquire(tmp_path / "file" / "data")
