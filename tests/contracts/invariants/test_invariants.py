"""Whatever happens in whatever order, money is neither made nor lost nor stuck, and nothing counts twice."""

import json
import os
import sys

from hypothesis import HealthCheck

from ops.console import ROOT
from tests.contracts.invariants.economy import Economy

# 0: the same short run each time; else about that many steps, from the seed of --hypothesis-seed
STEPS = int(os.environ.get("PEW_INVARIANT_STEPS", "0"))
OUTPUT = ROOT / "build" / "bench" / "invariants.json"
STEPS_OF_A_RUN = 50 if STEPS else 20
SPARE = 1.3  # some runs end before their last step
# Hypothesis keeps the first eleven runs of a test short, most of them to one step
FIRST_RUNS = 11
RARE = ("sponsorMatchOrders", "contributeAndFinalize", "reopen", "claim")


def test_invariants(market, state_machine, capsys):
    settings = {
        "max_examples": FIRST_RUNS + (int(SPARE * STEPS / STEPS_OF_A_RUN) + 1 if STEPS else 5),
        "stateful_step_count": STEPS_OF_A_RUN,
        "derandomize": not STEPS,
        "suppress_health_check": [HealthCheck.too_slow],
    }
    state_machine(Economy, market, settings=settings)
    OUTPUT.parent.mkdir(parents=True, exist_ok=True)
    record = {"steps": Economy.steps, "sent": Economy.sent, "taken": Economy.taken}
    OUTPUT.write_text(json.dumps(record, indent=2) + "\n")
    with capsys.disabled():
        sys.stdout.write(f"\n{Economy.steps} steps, {Economy.taken.total()} transactions taken: every invariant held\n")
    assert Economy.steps >= STEPS
    assert set(Economy.taken) >= {"matchOrders", "contribute", "reveal", "finalize", *(RARE if STEPS else ())}
