"""What the owner may do, and that it ends with its ownership."""

from tests.contracts.market import RLC, ZERO, refused, revert_of


def test_only_the_owner(market):
    stranger = {"from": market.requester}
    expected = ("NotTheOwner", str(market.requester).lower())
    hub = market.hub
    assert revert_of(hub.createCategory, "XXL", "", 1, options=stranger) == expected
    assert revert_of(hub.setTeeBroker, market.requester, options=stranger) == expected
    assert revert_of(hub.setCallbackGas, 1, options=stranger) == expected
    assert revert_of(hub.recover, options=stranger) == expected
    assert revert_of(hub.transferOwnership, market.requester, options=stranger) == expected
    assert revert_of(hub.renounceOwnership, options=stranger) == expected


def test_create_category(market):
    tx = market.hub.createCategory("XXL", "days", 86_400, {"from": market.admin})
    event = tx.events["CreateCategory"]
    assert (event["catid"], event["name"], event["description"], event["workClockTimeRef"]) == (
        5,
        "XXL",
        "days",
        86_400,
    )
    assert tuple(market.hub.viewCategory(5)) == ("XXL", "days", 86_400)
    assert market.hub.countCategory() == 6


def test_unknown_category(market):
    assert revert_of(market.hub.viewCategory, 5) == ("UnknownCategory", 5)


def test_reference_time_has_a_limit(market):
    options = {"from": market.admin}
    assert revert_of(market.hub.createCategory, "X", "", 2**32, options=options) == ("ValueTooHigh", 2**32, 2**32 - 1)


def test_settings(market):
    market.hub.setTeeBroker(market.scheduler, {"from": market.admin})
    market.hub.setCallbackGas(5_000_000, {"from": market.admin})
    assert market.hub.teebroker() == market.scheduler
    assert market.hub.callbackgas() == 5_000_000
    with refused():
        market.hub.setCallbackGas(5_000_001, {"from": market.admin})


def test_ownership_moves(market):
    tx = market.hub.transferOwnership(market.scheduler, {"from": market.admin})
    event = tx.events["OwnershipTransferred"]
    assert (event["previousOwner"], event["newOwner"]) == (market.admin, market.scheduler)
    assert market.hub.owner() == market.scheduler
    with refused():
        market.hub.setCallbackGas(1, {"from": market.admin})
    assert revert_of(market.hub.transferOwnership, ZERO, options={"from": market.scheduler}) == ("InvalidOwner", ZERO)


def test_ownership_can_be_renounced(market):
    market.hub.renounceOwnership({"from": market.admin})
    assert market.hub.owner() == ZERO
    with refused():
        market.hub.createCategory("XXL", "", 1, {"from": market.admin})


def test_owner_has_no_hold_on_money(market):
    """With every power used, no account changes but by the RLC that was sent astray."""
    before = market.money()
    market.rlc.transfer(market.hub, 5 * RLC, {"from": market.admin})
    market.hub.setTeeBroker(market.admin, {"from": market.admin})
    market.hub.setCallbackGas(0, {"from": market.admin})
    market.hub.createCategory("0", "", 0, {"from": market.admin})
    market.hub.recover({"from": market.admin})
    after = market.money()
    admin = str(market.admin)
    assert after.pop(admin)[0] - before.pop(admin)[0] == 5 * RLC
    assert after == before
