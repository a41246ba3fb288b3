"""What the rest of a rollout costs in the chain's coin, and what speaks against sending it now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from web3.exceptions import ContractLogicError, Web3RPCError

from chain.client import Chain
from chain.fees import Fee, FeePolicy, FeesTooHighError, fee
from poco.errors import BadInputError
from sdk.rollout.network import Network
from sdk.rollout.steps import Addresses, Step

#: As `chain.transactions` does: the limit that is set above the node's estimate.
_ROOM, _MORE = 1.2, 20_000


@dataclass(frozen=True, slots=True)
class Line:
    """One step that is still to be paid: gas units; `asked` where the node was asked, else computed beforehand."""

    step: str
    gas: int
    asked: bool


@dataclass(frozen=True, slots=True)
class Quote:
    """The sum. All amounts in wei; `limit` is what may be needed, `expected` what will likely be paid."""

    chain_id: int
    coin: str
    deployer: str
    balance: int
    price: int
    price_limit: int
    price_cap: int
    lines: tuple[Line, ...]
    problems: tuple[str, ...]

    @property
    def gas(self) -> int:
        return sum(line.gas for line in self.lines)

    @property
    def expected(self) -> int:
        return self.gas * self.price

    @property
    def limit(self) -> int:
        return self.gas * self.price_limit

    def words(self) -> list[str]:
        """For people."""
        gwei = 10**9
        out = [
            f"chain     {self.chain_id}",
            f"deployer  {self.deployer} holds {coin(self.balance, self.coin)}",
            f"gas price {self.price / gwei:.4g} gwei now, up to {self.price_limit / gwei:.4g}; "
            f"cap {self.price_cap / gwei:.4g}",
        ]
        for line in self.lines:
            about = "" if line.asked else " (computed)"
            out.append(f"  {line.step:<28}{line.gas:>10,} gas  {coin(line.gas * self.price, self.coin)}{about}")
        cost = f"{coin(self.expected, self.coin)}, at most {coin(self.limit, self.coin)}"
        out.append(f"to pay    {self.gas:,} gas: {cost}" if self.lines else "to pay    nothing: all steps are done")
        return out

    def as_json(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "lines": [asdict(line) for line in self.lines],
            "problems": list(self.problems),
            "gas": self.gas,
            "expected": self.expected,
            "limit": self.limit,
        }

    def require(self) -> None:
        """BadInputError where something speaks against it."""
        if self.problems:
            raise BadInputError(
                "; ".join(self.problems), hint="nothing was sent; then go on with apply", code="CANNOT_APPLY"
            )


def policy(network: Network) -> FeePolicy:
    """Nothing of a rollout is urgent: the cap holds for all of it."""
    found = FeePolicy.of(network.fees)
    return FeePolicy(found.multiplier, found.cap_wei, found.cap_wei)


def quote(network: Network, chain: Chain, deployer: str, left: Sequence[Step], addresses: Addresses) -> Quote:
    """The cost of the steps that are left.

    Steps whose contracts are there are asked of the node. The others are computed; where the node asks more for the
    same kind of step (a rollup adds what it pays to its parent), they are raised by as much.
    """
    rules, problems = policy(network), []
    try:
        price = fee(chain, rules)
    except FeesTooHighError as error:
        problems.append(error.message)
        price = Fee(rules.cap_wei)
    balance = chain.native_balance(deployer)
    asked = {step.name: _asked(chain, deployer, step, addresses) for step in left}
    ratios = [gas / step.gas for step in left if (gas := asked[step.name]) is not None]
    ratio = max([1.0, *ratios])
    lines = []
    for step in left:
        gas = asked[step.name]
        lines.append(Line(step.name, gas if gas is not None else int(step.gas * ratio), gas is not None))
    need = sum(line.gas for line in lines) * price.limit
    if need > balance:
        problems.append(
            f"{deployer} holds {coin(balance, network.coin)}, up to {coin(need, network.coin)} are needed: "
            f"send it {coin(need - balance, network.coin)} more"
        )
    return Quote(
        network.chain_id,
        network.coin,
        deployer,
        balance,
        price.expected,
        price.limit,
        rules.cap_wei,
        tuple(lines),
        tuple(problems),
    )


def coin(wei: int, name: str) -> str:
    """An amount of the chain's coin, to six digits that count."""
    return f"{wei / 10**18:.6g} {name}"


def _asked(chain: Chain, deployer: str, step: Step, addresses: Addresses) -> int | None:
    if not set(step.needs) <= set(addresses):
        return None
    call = step.call(addresses)
    try:
        return int(int(chain.ask(lambda: call.estimate_gas({"from": deployer}))) * _ROOM) + _MORE
    except (ContractLogicError, Web3RPCError):
        return None
