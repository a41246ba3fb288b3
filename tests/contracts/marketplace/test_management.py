"""Orders are signed and closed on chain, by their owner or with its signature."""

from dataclasses import replace

import pytest
from eth_abi.abi import encode

from poco.hexes import keccak, to_hex
from tests.contracts.market import ZERO, revert_of, same, sign_hash

KINDS = ("App", "Dataset", "Workerpool", "Request")
SIGN, CLOSE = 0, 1


def manage(market, index):
    return getattr(market.hub, f"manage{KINDS[index]}Order")


def owner(market, index):
    return (market.app_owner, market.dataset_owner, market.scheduler, market.requester)[index]


def operation_signature(market, order, operation, signer):
    fields = ",".join(f"{kind} {name}" for name, kind in order.TYPES.items())
    kind = f"{order.NAME}Operation({order.NAME} order,uint256 operation){order.NAME}({fields})"
    words = [keccak(kind.encode()), order.struct_hash(), operation]
    struct = keccak(encode(["bytes32", "bytes32", "uint256"], words))
    return sign_hash(signer, to_hex(keccak(b"\x19\x01", market.domain.separator(), struct)))


@pytest.mark.parametrize("index", range(4))
def test_presigned_order_matches(market, index):
    orders = market.orders(dataset=True)
    orders[index] = orders[index].signed("0x")
    digest = orders[index].hash(market.domain)
    assert not market.hub.verifyPresignature(owner(market, index), digest)
    tx = manage(market, index)((orders[index].as_tuple(), SIGN, b""), {"from": owner(market, index)})
    assert same(next(iter(tx.events[f"Signed{KINDS[index]}Order"].values()))) == digest
    assert market.hub.viewPresigned(digest) == owner(market, index)
    assert market.hub.verifyPresignature(owner(market, index), digest)
    assert market.hub.verifyPresignatureOrSignature(owner(market, index), digest, b"")
    market.match(orders)


@pytest.mark.parametrize("index", range(4))
def test_closed_order_does_not_match(market, index):
    orders = market.orders(dataset=True, volume=3)
    digest = orders[index].hash(market.domain)
    tx = manage(market, index)((orders[index].as_tuple(), CLOSE, b""), {"from": owner(market, index)})
    assert same(next(iter(tx.events[f"Closed{KINDS[index]}Order"].values()))) == digest
    assert market.hub.viewConsumed(digest) == 3
    error = revert_of(market.hub.matchOrders, *(order.as_tuple() for order in orders))
    assert error == ("OrderConsumed", index, bytes.fromhex(digest[2:]))


@pytest.mark.parametrize("index", range(4))
@pytest.mark.parametrize("operation", [SIGN, CLOSE])
def test_by_signature(market, index, operation):
    order = market.orders(dataset=True)[index]
    sign = operation_signature(market, order, operation, owner(market, index))
    manage(market, index)((order.as_tuple(), operation, sign), {"from": market.admin})
    digest = order.hash(market.domain)
    assert (market.hub.viewConsumed(digest) > 0) == (operation == CLOSE)
    assert (market.hub.viewPresigned(digest) != ZERO) == (operation == SIGN)


@pytest.mark.parametrize("index", range(4))
def test_not_by_others(market, index):
    order = market.orders(dataset=True)[index]
    sign = operation_signature(market, order, CLOSE, owner(market, index))
    error = revert_of(manage(market, index), (order.as_tuple(), SIGN, sign), options={"from": market.admin})
    assert error == ("NotTheOrderOwner", str(market.admin).lower(), str(owner(market, index)).lower())


@pytest.mark.parametrize("elsewhere", [{"chain_id": 1}, {"hub": "0x" + "12" * 20}])
def test_signed_for_another_market(market, elsewhere):
    order = market.app_order()
    there = replace(market, domain=replace(market.domain, **elsewhere))
    sign = operation_signature(there, order, CLOSE, market.app_owner)
    error = revert_of(market.hub.manageAppOrder, (order.as_tuple(), CLOSE, sign), options={"from": market.admin})
    assert error[0] == "NotTheOrderOwner"


@pytest.mark.parametrize("volume", [2**96 - 2, 2**96 - 1, 2**96, 2**256 - 1])
def test_closing_a_huge_order(market, volume):
    """Consumed volumes are kept in 96 bits; closing an order beyond that closes it all the same."""
    orders = market.orders()
    orders[0] = market.app_order(volume=volume)
    market.hub.manageAppOrder((orders[0].as_tuple(), CLOSE, b""), {"from": market.app_owner})
    assert market.hub.viewConsumed(orders[0].hash(market.domain)) == min(volume, 2**96 - 1)
    error = revert_of(market.hub.matchOrders, *(order.as_tuple() for order in orders))
    assert error[:2] == ("OrderConsumed", 0)


def test_unregistered_resource(market):
    order = market.app_order(app=market.pool)
    error = revert_of(market.hub.manageAppOrder, (order.as_tuple(), SIGN, b""), options={"from": market.app_owner})
    assert error == ("ResourceNotRegistered", 0, market.pool.lower())


@pytest.mark.parametrize("index", range(4))
def test_broadcast(market, index):
    order = market.orders(dataset=True)[index]
    tx = getattr(market.hub, f"broadcast{KINDS[index]}Order")(order.as_tuple(), {"from": market.admin})
    assert f"Broadcast{KINDS[index]}Order" in tx.events
