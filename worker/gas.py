"""What a task will cost in gas, before it is taken."""

from __future__ import annotations

from chain.client import Chain
from chain.transactions import GAS_LIMITS, Sender
from poco.hexes import ZERO_ADDRESS, to_bytes
from worker.core import Replicate

#: What a reveal takes on the original's contracts.
REVEAL_GAS = 94_000
_WEI = 10**18
#: Stands for a result that is not known yet.
_ANY_HASH = b"\x01" * 32


def expected_nrlc(chain: Chain, sender: Sender, replicate: Replicate, nrlc_per_native: int) -> int:
    """What contribute and reveal will cost at the present gas price, in nRLC (0 where gas is free).

    The node estimates the contribution; where it cannot, the limit counts. `contributeAndFinalize` takes about what
    both take together.

    Raises:
        chain.fees.FeesTooHighError: more than the wallet's cap.
    """
    if nrlc_per_native == 0:
        return 0
    task_id = to_bytes(replicate.task_id)
    call = chain.hub.functions.contribute(
        task_id, _ANY_HASH, _ANY_HASH, ZERO_ADDRESS, b"", to_bytes(replicate.authorization)
    )
    gas = sender.estimate(call) or GAS_LIMITS["contribute"]
    return (gas + REVEAL_GAS) * sender.expected_price() * nrlc_per_native // _WEI
