"""Whose a worker is: what is joined, what is kept apart, what is refused."""

from __future__ import annotations

import pytest
from eth_account import Account

from chain.wallet import Wallet
from poco.errors import BadInputError
from poco.wire import Declaration, operator_typed_data
from scheduler.owners import OwnerRule, Owners, verified

OPERATOR, OTHER = (Wallet(Account.from_key("0x" + f"{n:02x}" * 32)) for n in (7, 8))
WORKER, POOL = "0x" + "11" * 20, "0x" + "22" * 20


@pytest.mark.parametrize(
    ("host", "network"),
    [
        ("203.0.113.7", "203.0.113.0/24"),
        ("::ffff:203.0.113.200", "203.0.113.0/24"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("127.0.0.1", None),
        ("::1", None),
        ("not an address", None),
        (None, None),
    ],
)
def test_where_a_connection_comes_from(host: str | None, network: str | None) -> None:
    assert OwnerRule().network(host) == network
    assert OwnerRule(undeclared="wallet").network(host) is None


def test_a_declaration_holds_for_its_worker_pool_and_chain_alone() -> None:
    signed = OPERATOR.sign_typed(operator_typed_data(1337, POOL, WORKER, OPERATOR.address))
    said = Declaration(operator=OPERATOR.address, signature=signed)
    assert verified(said, 1337, POOL, WORKER) == OPERATOR.address
    assert verified(None, 1337, POOL, WORKER) is None
    for chain_id, pool, worker in ((1, POOL, WORKER), (1337, WORKER, WORKER), (1337, POOL, POOL)):
        with pytest.raises(BadInputError, match="has not signed"):
            verified(said, chain_id, pool, worker)
    with pytest.raises(BadInputError, match="has not signed"):
        verified(Declaration(operator=OTHER.address, signature=signed), 1337, POOL, WORKER)


def test_a_declaration_joins_and_only_a_known_operator_leaves_its_network() -> None:
    owners = Owners(OwnerRule(known=(OTHER.address,)))
    owners.put("a", OPERATOR.address, "203.0.113.0/24")
    owners.put("b", OPERATOR.address, "198.51.100.0/24")
    owners.put("c", None, "203.0.113.0/24")
    owners.put("d", OTHER.address, "203.0.113.0/24")
    owners.put("e", None, None)
    assert owners.kin("a") == {"b", "c"}
    assert owners.kin("b") == {"a"}
    assert owners.kin("c") == {"a"}
    assert owners.kin("d") == owners.kin("e") == owners.kin("nobody") == frozenset()
    owners.put("b", None, None)
    assert owners.kin("a") == {"c"}
