"""What a deal remembers, and who pays for it."""

from dataclasses import replace

from brownie import chain

from tests.contracts.market import RLC, ZERO, M, refused, same

TAG = "0x" + "00" * 30 + "0100"


def test_view_without_options(market):
    deal = market.deal(trust=0, category=M)
    view = market.hub.viewDeal(deal.id)
    assert tuple(view["app"]) == (market.app, market.app_owner, 1 * RLC)
    assert tuple(view["dataset"]) == (ZERO, ZERO, 0)
    assert tuple(view["workerpool"]) == (market.pool, market.scheduler, 10 * RLC)
    assert (view["trust"], view["category"], same(view["tag"])) == (1, M, "0x" + "00" * 32)
    assert [view[name] for name in ("requester", "beneficiary", "sponsor")] == [market.requester] * 3
    assert (view["callback"], view["params"]) == (ZERO, '{"iexec_args":"--fast"}')
    assert view["startTime"] == deal.tx.timestamp
    assert (view["botFirst"], view["botSize"]) == (0, 1)
    assert (view["workerStake"], view["schedulerRewardRatio"]) == (3 * RLC, 1)


def test_view_with_every_option(market):
    beneficiary, callback = market.workers[0], market.workers[1]
    orders = market.orders(
        volume=3, dataset=True, trust=5, beneficiary=str(beneficiary), callback=str(callback), tag=TAG, params="ü" * 99
    )
    orders[2] = market.pool_order(volume=3, tag=TAG)
    market.fund(market.admin, 100 * RLC)
    deal = market.match(orders, sponsored=True)
    view = market.hub.viewDeal(deal.id)
    assert tuple(view["dataset"]) == (market.dataset, market.dataset_owner, 2 * RLC)
    assert (view["requester"], view["beneficiary"], view["sponsor"]) == (market.requester, beneficiary, market.admin)
    assert (view["callback"], view["params"], same(view["tag"])) == (callback, "ü" * 99, TAG)
    assert (view["trust"], view["botSize"]) == (5, 3)


def test_unknown_deal(market):
    view = market.hub.viewDeal("0x" + "77" * 32)
    assert (view["requester"], view["botSize"], view["params"]) == (ZERO, 0, "")


def test_empty_params_and_beneficiary(market):
    deal = market.deal(params="", beneficiary=ZERO)
    view = market.hub.viewDeal(deal.id)
    assert (view["params"], view["beneficiary"]) == ("", ZERO)


def test_events(market):
    deal = market.deal(dataset=True)
    events = deal.tx.events
    assert events["SchedulerNotice"] == {"workerpool": market.pool, "dealid": deal.id}
    hashes = [order.hash(market.domain) for order in deal.orders]
    assert [same(value) for value in list(events["OrdersMatched"].values())[1:5]] == hashes
    assert events["OrdersMatched"]["volume"] == 1
    locks = [(event["owner"], event["amount"]) for event in events["Lock"]]
    assert locks == [(market.requester, 13 * RLC), (market.scheduler, 3 * RLC)]


def test_sponsor_pays_and_is_refunded(market):
    market.fund(market.admin, 50 * RLC)
    before = market.money()
    deal = market.match(market.orders(), sponsored=True)
    assert deal.tx.events["DealSponsored"] == {"dealId": deal.id, "sponsor": market.admin}
    assert market.locked(market.admin) == 11 * RLC
    assert market.locked(market.requester) == 0
    market.hub.initialize(deal.id, 0, {"from": market.admin})
    market.after_final_deadline(deal.tasks[0])
    market.hub.claim(deal.tasks[0], {"from": market.workers[0]})
    assert market.money()[str(market.admin)] == before[str(market.admin)]


def test_replayed_orders(market):
    deal = market.deal()
    before = market.money()
    with refused():
        market.hub.matchOrders(*(order.as_tuple() for order in deal.orders), {"from": market.admin})
    assert market.money() == before


def test_start_is_the_blocks_time(market):
    chain.sleep(5_000)
    deal = market.deal()
    assert market.hub.viewDeal(deal.id)["startTime"] == chain[-1].timestamp


def test_order_of_another_requester(market):
    """Nobody can make another account pay."""
    orders = market.orders()
    victim = str(market.workers[0])
    orders[3] = market.sign(replace(orders[3], requester=victim), market.requester)
    with refused():
        market.hub.matchOrders(*(order.as_tuple() for order in orders), {"from": market.requester})
