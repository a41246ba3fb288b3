"""Row 3, capability registration.

Parity: a worker says what its machine is when it registers. Beat: tasks say what they need (architecture, memory, disk,
processors, GPU), and only a worker that has it is asked; who is not asked is told why.
"""

from __future__ import annotations

import json

import pytest

from poco.errors import Cause
from poco.tags import GPU
from tests.acceptance.pools import initialized, pool, row, running
from tests.integration.scheduler_pool import Pool

__all__ = ["pool", "running"]

UNKNOWN_BIT = "0x" + "00" * 31 + "40"


def needs(**resources: int) -> str:
    return json.dumps({"iexec_args": "x", "iexec_resources": resources})


@pytest.mark.parametrize(
    ("asked", "tag", "has", "why"),
    [
        ({"memory_mb": 2048}, None, {"memory_mb": 4096}, "it offers 512 MB of memory, 2048 are needed"),
        ({"disk_mb": 5000}, None, {"disk_mb": 9000}, "it has 1024 MB of disk free, 5000 are needed"),
        ({"cpus": 4}, None, {"cpus": 4}, "it has 1 processors, 4 are needed"),
        ({}, GPU, {"features": ["gpu"]}, "the tag asks for gpu"),
    ],
)
def test_a_task_goes_to_who_has_what_it_needs(
    pool: Pool, asked: dict[str, int], tag: str | None, has: dict[str, object], why: str
) -> None:
    kind = next(iter(has))
    small, fit = pool.worker(f"no-{kind}").join(), pool.worker(f"has-{kind}", **has).join()
    (task,) = pool.deal(params=needs(**asked), **({"tag": tag} if tag else {}))
    initialized(pool, task)
    assert small.poll(wait=1) == []
    assert why in row(pool, small.name)["no_work_because"]
    fit.do(task)


def test_an_architecture_without_image_is_learnt_and_not_asked_again(pool: Pool) -> None:
    arm, amd = pool.worker("arm", platforms=("linux/arm/v7",)).join(), pool.worker("amd")
    (task,) = pool.deal()
    arm.expect("START", task)
    amd.join()
    arm.fail(task, Cause.APP_IMAGE_PLATFORM_UNSUPPORTED)
    amd.do(task)
    (other,) = pool.deal()
    initialized(pool, other)
    assert all(one["type"] != "START" for one in arm.poll() + arm.poll(wait=1))
    assert "has no image for linux/arm/v7" in row(pool, "arm")["no_work_because"]
    amd.do(other)


def test_unknown_bits_and_unknown_features_match_nothing(pool: Pool) -> None:
    odd = pool.worker("odd", features=["gpu", "warp-drive"]).join()
    (task,) = pool.deal(tag=UNKNOWN_BIT)
    initialized(pool, task)
    assert odd.poll(wait=1) == []
    assert "the tag asks for bit 6" in row(pool, "odd")["no_work_because"]


def test_what_is_free_now_counts_and_old_messages_are_understood(pool: Pool) -> None:
    filling = pool.worker("filling", disk_mb=9000).join()  # a registration without the newer fields
    (task,) = pool.deal(params=needs(disk_mb=5000))
    initialized(pool, task)
    assert filling.poll(wait=1, disk_mb=100) == []
    assert "it has 100 MB of disk free" in row(pool, "filling")["no_work_because"]
    body = {"presence": "WAITING", "free_slots": 1, "acked": filling.acked, "disk_mb": 100, "wait_seconds": 1}
    answer = filling.call("POST", "/poll", json=body).json()
    assert "it has 100 MB of disk free" in answer["no_work"], "the worker is told too"
    filling.expect("START", task, disk_mb=9000)
