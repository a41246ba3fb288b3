"""A rollout on a chain like a testnet whose node fails, killed on its way; all of it: `make rollout-rehearsal`."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest

from chain import deployment
from ops.stack import Stack
from tests.rollout.rig import CREATIONS, OWNER, STEPS, Rig


@pytest.fixture
def rig(stack: Stack) -> Iterator[Rig]:
    made = Rig(stack, "rollout", chain={"confirmations": 1, "stuck_seconds": 8, "request_seconds": 5})
    yield made
    made.close()
    stack.stop_process("rollout")


def test_a_rollout_is_gone_on_with_and_nothing_is_sent_twice(rig: Rig) -> None:
    rig.fund(10**15)
    poor = rig.run("apply")
    assert poor.code == 2 and "more" in poor.err and rig.sent() == (0, 0)
    rig.fund(10**18)
    rig.node.change(drop_answer=0.02, too_many_code=0.01)
    rig.kill_at_each(passed_on=True, only={5})
    assert [rig.run("apply").code for _ in range(2)] == [-signal.SIGKILL, 0]
    rig.node.mend()
    rig.run("status").require()
    assert rig.sent() == (CREATIONS, STEPS)
    there = json.loads((rig.folder / "rehearsal.json").read_text())
    assert deployment.load(rig.folder / "rehearsal.json").hub == there["contracts"]["hub"]
    assert there["categories"] == [{"id": 0, "name": "XS", "seconds": 300}]
    rig.ask("anvil_setCode", there["contracts"]["EnergyLedger"], "0x00")
    wrong = rig.run("verify", "--no-source")
    assert wrong.code == 1
    bad = [each["what"] for each in json.loads(wrong.out)["checks"] if not each["good"]]
    assert bad == ["byte code of EnergyLedger"]
    owner = next(each for each in json.loads(wrong.out)["checks"] if each["what"] == "hub's owner")
    assert owner["found"].lower() == OWNER
