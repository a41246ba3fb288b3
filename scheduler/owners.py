"""Whose a worker is: no owner gets two members of one vote.

A declaration, signed by an operator's wallet, joins workers: whoever signs for two says that they are one. It never
keeps apart, as a wallet costs nothing: workers from one network are taken for one owner's all the same, unless the
operators that have signed for them are known to the pool's owner (`owners: known`). What this does not stop: somebody
with addresses in several networks. He needs a stake for each of them, and loses each where the others outvote him.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from chain.wallet import recover_typed
from poco.errors import BadInputError
from poco.wire import Address, Declaration, operator_typed_data


class OwnerRule(BaseModel):
    """`owners` in scheduler.yaml. `undeclared: wallet` takes each wallet for an owner of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    undeclared: Literal["network", "wallet"] = "network"
    ipv4_prefix: Annotated[int, Field(ge=8, le=32)] = 24
    ipv6_prefix: Annotated[int, Field(ge=16, le=128)] = 64
    #: operators whom the pool's owner knows to be different people
    known: tuple[Address, ...] = ()

    def network(self, host: str | None) -> str | None:
        """The network that a connection comes from; None where that says nothing (this machine, no address)."""
        if self.undeclared == "wallet" or not host:
            return None
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return None
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if address.is_loopback:
            return None
        prefix = self.ipv4_prefix if address.version == 4 else self.ipv6_prefix
        return str(ipaddress.ip_network((address, prefix), strict=False))


def verified(declaration: Declaration | None, chain_id: int, workerpool: str, worker: str) -> str | None:
    """The operator that has signed for this worker; None where nobody says to have.

    Raises:
        BadInputError: signed by somebody else, or for another worker, pool or chain.
    """
    if declaration is None:
        return None
    typed = operator_typed_data(chain_id, workerpool, worker, declaration.operator)
    if recover_typed(typed, declaration.signature) != declaration.operator:
        raise BadInputError(
            f"{declaration.operator} has not signed that worker {worker} of pool {workerpool} is its own",
            hint="sign the declaration anew with the operator's wallet",
            code="WRONG_DECLARATION",
        )
    return declaration.operator


class Owners:
    """Which workers belong together, by the keys they share."""

    def __init__(self, rule: OwnerRule) -> None:
        self._rule = rule
        self._keys: dict[str, tuple[str, ...]] = {}
        self._members: dict[str, set[str]] = {}

    def put(self, wallet: str, operator: str | None, network: str | None) -> None:
        """What is known of a worker now."""
        keys = [operator] if operator else []
        if network and self._rule.undeclared == "network" and operator not in self._rule.known:
            keys.append(network)
        if self._keys.get(wallet, ()) == tuple(keys):
            return
        for key in self._keys.pop(wallet, ()):
            self._members[key].discard(wallet)
        self._keys[wallet] = tuple(keys)
        for key in keys:
            self._members.setdefault(key, set()).add(wallet)

    def same(self, one: str, other: str) -> bool:
        """Whether two workers are taken for one owner's."""
        return one == other or not set(self._keys.get(one, ())).isdisjoint(self._keys.get(other, ()))

    def kin(self, wallet: str) -> frozenset[str]:
        """The other workers of its owner."""
        groups: Iterable[set[str]] = (self._members[key] for key in self._keys.get(wallet, ()))
        return frozenset().union(*groups) - {wallet}
