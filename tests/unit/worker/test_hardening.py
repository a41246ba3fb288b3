"""What the Docker Engine is told of a stranger's container; what it makes of it is tested with the engine."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from worker.config import DockerLimits
from worker.runner.folders import TaskFolder
from worker.runner.hardening import options
from worker.runner.protocol import RunSpec

TASK = "0x" + "11" * 32


def test_only_who_asks_and_is_let_has_a_network_and_has_no_more_than_that(tmp_path: Path) -> None:
    spec = RunSpec(TASK, "image@sha256:0", ["run"], {}, TaskFolder(tmp_path, TASK), 60, 2**40)
    asks = {"Labels": {"pew.network": "required"}, "Volumes": None}
    let = options(replace(spec, network=True), DockerLimits(), asks)
    alone = [
        options(spec, DockerLimits(), asks),
        *(
            options(replace(spec, network=True), DockerLimits(), {"Labels": labels})
            for labels in (None, {}, {"pew.network": "maybe"})
        ),
    ]
    assert let.pop("network_mode") == "bridge"
    assert {one.pop("network_mode") for one in alone} == {"none"}
    assert all(one == let for one in alone)
    assert let["read_only"] and let["cap_drop"] == ["ALL"] and let["security_opt"] == ["no-new-privileges"]
    assert not let["user"].startswith("0:") and let["memswap_limit"] == let["mem_limit"]
