"""What of a changed configuration is taken over while the scheduler runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poco.wire import PoolConfig
from scheduler.config import Config
from scheduler.settings import CHANGEABLE, Settings

A = "0x" + "11" * 20
BASE: dict[str, Any] = {
    "rpc_url": "http://127.0.0.1:1", "deployment": Path("d"), "workerpool": A, "keystore": Path("k"),
    "password_file": Path("p"), "data_dir": Path("x"),
}  # fmt: skip


def settings(**more: Any) -> Settings:
    pool = PoolConfig(protocol=1, chain_id=1, hub=A, workerpool=A, scheduler=A, poll_seconds=20, max_result_bytes=1024)
    return Settings(Config(**{**BASE, "max_result_bytes": 1024, **more}), pool)


def changed(**more: Any) -> Config:
    return Config(**{**BASE, "max_result_bytes": 1024, **more})


def test_what_may_change_is_in_force_and_workers_learn_of_it() -> None:
    made = settings()
    version = made.version
    assert made.take(changed(poll_seconds=9, lost_after=200)) == (["lost_after", "poll_seconds"], [])
    assert (made.config.poll_seconds, made.pool.poll_seconds, made.config.lost_after) == (9, 9, 200)
    assert made.version == made.pool.version() != version


def test_what_workers_are_not_told_leaves_the_version() -> None:
    made = settings()
    version = made.version
    assert made.take(changed(lost_after=300)) == (["lost_after"], [])
    assert made.version == version


def test_the_rest_is_named_and_stays() -> None:
    made = settings()
    assert made.take(changed(port=9, poll_seconds=9)) == (["poll_seconds"], ["port"])
    assert made.config.port == Config(**BASE).port
    assert made.take(changed(port=9, poll_seconds=9)) == ([], ["port"]), "it goes on being said"


def test_every_changeable_setting_exists() -> None:
    assert set(Config.model_fields) >= CHANGEABLE


@pytest.mark.parametrize("name", ["poll_seconds", "max_result_bytes", "hub"])
def test_the_version_differs_with_every_field(name: str) -> None:
    pool = settings().pool
    other = "0x" + "22" * 20 if name == "hub" else 77
    assert pool.model_copy(update={name: other}).version() != pool.version()


@given(st.integers(1, 120), st.integers(1, 120))
def test_the_same_settings_have_the_same_version(one: int, other: int) -> None:
    pool = settings().pool
    versions = [pool.model_copy(update={"poll_seconds": seconds}).version() for seconds in (one, other)]
    assert (versions[0] == versions[1]) == (one == other)
    assert all(len(version) == 16 and int(version, 16) >= 0 for version in versions)
