"""Our contracts answer every step as the original does: same outcome, events, balances, scores and views."""

import os
import sys
from random import Random

from benchmarks.gas_market import wallets
from tests.contracts.differential.trader import Trader
from tests.contracts.differential.twin import Twin, anvil

STEPS = int(os.environ.get("PEW_DIFFERENTIAL_STEPS", "150"))
STEPS_OF_A_MARKET = 500


def test_same_answers(capsys):
    with anvil() as url:
        left, taken, seed = STEPS, 0, int(os.environ.get("PEW_DIFFERENTIAL_SEED", "1"))
        while left > 0:
            steps = min(left, STEPS_OF_A_MARKET)
            twin = Twin(url, wallets(12))
            trader = Trader(twin, Random(seed))  # noqa: S311
            try:
                trader.run(steps)
            except AssertionError as error:
                raise AssertionError(f"seed {seed}, step {twin.steps}: {error}") from error
            finally:
                twin.rpc("anvil_setAutomine", True)
            left, taken, seed = left - steps, taken + twin.taken, seed + 1
    with capsys.disabled():
        sys.stdout.write(f"\n{STEPS} steps on both, {taken} of them taken: 0 differences\n")
