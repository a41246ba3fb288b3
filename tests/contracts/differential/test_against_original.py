"""Our contracts answer every step as the original does: same outcome, events, balances, scores and views."""

import os
import sys

from tests.contracts.differential.campaign import write

STEPS = int(os.environ.get("PEW_DIFFERENTIAL_STEPS", "150"))
SEED = int(os.environ.get("PEW_DIFFERENTIAL_SEED", "1"))
MOVES = os.environ.get("PEW_DIFFERENTIAL_MOVES", "")


def test_same_answers(campaign, capsys):
    twin = campaign.twin
    if MOVES:  # a difference seen before
        found = campaign.market(SEED, [int(each) for each in MOVES.split(",")])
        with capsys.disabled():
            sys.stdout.write("\n" + "\n".join(twin.trace) + "\n")
        assert found is None, str(found)
        return
    found = campaign.run(STEPS, SEED)
    write(twin.steps, twin.taken, SEED, found)
    assert found is None, str(found)
    with capsys.disabled():
        sys.stdout.write(f"\n{twin.steps} steps on both, {twin.taken} of them taken: 0 differences\n")
