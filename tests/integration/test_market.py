"""The market as iExec's client sees it, over HTTP: order book, deals, secrets and where the pool's service is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import requests

from chain.client import Chain
from chain.transactions import Sender
from chain.wallet import Wallet, typed_hash
from poco.hexes import keccak, to_bytes, to_hex
from poco.orders import AppOrder, DatasetOrder, RequestOrder
from scheduler.gateway import BURST
from tests.integration.scheduler_pool import RLC, Market, Pool, until


@pytest.fixture(scope="module")
def pool(hub: Chain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    made = Pool(Market(hub, tmp_path_factory.mktemp("market")), tmp_path_factory.mktemp("pool"))
    made.start()
    yield made
    assert made.stop() == 0


def authorization(pool: Pool, wallet: Wallet) -> str:
    """The answer to a new challenge, as iExec's client gives it."""
    query = {"chainId": pool.chain.deployment.chain_id, "address": wallet.address}
    typed = requests.get(f"{pool.url}/challenge", params=query, timeout=5).json()["data"]
    return f"{to_hex(typed_hash(typed))}_{wallet.sign_typed(typed)}_{wallet.address}"


def signed(pool: Pool, wallet: Wallet | None = None) -> dict[str, str]:
    return {"authorization": authorization(pool, wallet or pool.requester)}


def publish(pool: Pool, kind: str, order: object, chain_id: int | None = None) -> requests.Response:
    query = {"chainId": chain_id or pool.chain.deployment.chain_id}
    body = {"order": order.as_json()}
    return requests.post(f"{pool.url}/{kind}orders", params=query, json=body, headers=signed(pool), timeout=10)


def listed(pool: Pool, kind: str, **query: object) -> list[str]:
    answer = requests.get(
        f"{pool.url}/{kind}orders", params={"chainId": pool.chain.deployment.chain_id, **query}, timeout=10
    )
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["ok"]
    assert body["count"] >= len(body["orders"])
    return [entry["orderHash"] for entry in body["orders"]]


def test_orders_are_published_listed_cheapest_first_and_found(pool: Pool) -> None:
    domain = pool.chain.deployment.domain
    hashes = {}
    for price in (3, 1, 2):
        order = pool.app_owner.sign_order(AppOrder(pool.app, price, volume=5, salt=pool.market.salt()), domain)
        answer = publish(pool, "app", order)
        assert answer.status_code == 200, answer.text
        hashes[price] = answer.json()["published"]["orderHash"]
        assert hashes[price] == order.hash(domain)
    assert listed(pool, "app", app=pool.app) == [hashes[1], hashes[2], hashes[3]]
    assert listed(pool, "app", app=pool.app, pageSize=2, pageIndex=1) == [hashes[3]]
    assert listed(pool, "app", app=pool.app, minVolume=6) == []
    one = requests.get(f"{pool.url}/apporders/{hashes[1]}", timeout=5).json()
    assert one["order"]["appprice"] == 1
    assert (one["remaining"], one["status"], one["signer"]) == (5, "open", pool.app_owner.address)
    assert requests.get(f"{pool.url}/apporders/{'0x' + '12' * 32}", timeout=5).status_code == 404


def test_restricted_orders_are_shown_to_whom_they_concern(pool: Pool) -> None:
    domain = pool.chain.deployment.domain
    app = pool.market.app(pool.app_owner)
    order = AppOrder(app, 1, requesterrestrict=pool.requester.address, salt=pool.market.salt())
    order = pool.app_owner.sign_order(order, domain)
    assert publish(pool, "app", order).status_code == 200
    assert listed(pool, "app", app=app) == []
    assert listed(pool, "app", app=app, requester="any") == [order.hash(domain)]
    assert listed(pool, "app", app=app, requester=pool.requester.address) == [order.hash(domain)]
    assert listed(pool, "app", app=app, requester=pool.owner.address) == []


def test_an_order_signed_by_somebody_else_is_refused(pool: Pool) -> None:
    domain = pool.chain.deployment.domain
    order = pool.requester.sign_order(AppOrder(pool.app, 1), domain)
    answer = publish(pool, "app", order)
    assert answer.status_code == 403
    assert answer.json()["ok"] is False
    assert pool.app_owner.address in answer.json()["error"]
    other = pool.app_owner.sign_order(AppOrder(pool.app, 1), replace(domain, chain_id=5))
    assert publish(pool, "app", other).status_code == 403
    assert publish(pool, "app", AppOrder(pool.app, 1)).status_code == 403
    unknown = pool.app_owner.sign_order(AppOrder("0x" + "12" * 20, 1), domain)
    assert publish(pool, "app", unknown).status_code == 400
    assert publish(pool, "app", order, chain_id=5).status_code == 400
    missing = pool.owner.sign_order(DatasetOrder("0x" + "12" * 20, 1), domain)
    assert publish(pool, "dataset", missing).status_code == 400


def test_a_pool_order_without_deposit_is_refused_with_the_sum(pool: Pool) -> None:
    order = pool.offer(workerpoolprice=10 * RLC, volume=40)
    answer = publish(pool, "workerpool", order)
    assert answer.status_code == 400
    free = pool.chain.account(pool.owner.address).stake
    assert f"deposit {120 * RLC - free} nRLC more" in answer.json()["error"]
    small = pool.offer(workerpoolprice=RLC, volume=10, trust=4)
    assert publish(pool, "workerpool", small).status_code == 200
    assert listed(pool, "workerpool", category=0, minTrust=4) == [small.hash(pool.chain.deployment.domain)]
    assert listed(pool, "workerpool", category=0, minTrust=5) == []
    assert listed(pool, "workerpool", category=1) == []


def test_a_request_needs_the_money_for_it(pool: Pool) -> None:
    poor = pool.market.wallet("poor-requester", escrow=RLC)
    domain = pool.chain.deployment.domain
    for price, status in ((2 * RLC, 400), (RLC, 200)):
        order = RequestOrder(pool.app, poor.address, workerpoolmaxprice=price, beneficiary=poor.address)
        answer = publish(pool, "request", poor.sign_order(order, domain))
        assert answer.status_code == status, answer.text
    assert (
        "deposit 1000000000 nRLC more"
        in publish(
            pool, "request", poor.sign_order(RequestOrder(pool.app, poor.address, workerpoolmaxprice=2 * RLC), domain)
        ).text
    )


def test_a_consumed_order_is_not_listed_or_published(pool: Pool) -> None:
    domain = pool.chain.deployment.domain
    app = pool.market.app(pool.app_owner)
    order = pool.app_owner.sign_order(AppOrder(app, 1), domain)
    assert publish(pool, "app", order).status_code == 200
    operation = (order.as_tuple(), 1, b"")
    Sender(pool.chain, pool.app_owner).transact(pool.chain.hub.functions.manageAppOrder(operation))
    until(lambda: listed(pool, "app", app=app) == [])
    answer = publish(pool, "app", order)
    assert answer.status_code == 400
    assert "nothing is left" in answer.json()["error"]


def test_an_order_presigned_on_chain_needs_no_signature(pool: Pool) -> None:
    app = pool.market.app(pool.app_owner)
    order = AppOrder(app, 1)
    assert publish(pool, "app", order).status_code == 403
    Sender(pool.chain, pool.app_owner).transact(pool.chain.hub.functions.manageAppOrder((order.as_tuple(), 0, b"")))
    assert publish(pool, "app", order).status_code == 200
    assert to_bytes(order.sign) == b""


@pytest.mark.parametrize(
    "body", [{}, [], {"order": 1}, {"order": {"app": "0x12"}}, {"order": {}}, "text", None, {"order": {"app": None}}]
)
def test_what_is_no_order_is_refused_by_name(pool: Pool, body: object) -> None:
    answer = requests.post(f"{pool.url}/apporders", json=body, headers=signed(pool), timeout=5)
    assert answer.status_code == 400, answer.text
    assert answer.json()["ok"] is False


@pytest.mark.parametrize(
    "query", [{"pageIndex": "-1"}, {"pageSize": "x"}, {"app": "0x1"}, {"minTag": "1"}, {"category": "²"}]
)
def test_filters_that_make_no_sense(pool: Pool, query: dict[str, str]) -> None:
    answer = requests.get(f"{pool.url}/apporders", params=query, timeout=5)
    assert answer.status_code == 400, answer.text


def test_the_status_page_names_money_and_standing_orders(pool: Pool) -> None:
    order = pool.offer(volume=20)
    assert publish(pool, "workerpool", order).status_code == 200
    time.sleep(2.1)
    money = pool.status()["money"]
    assert money["standing_orders_need_nrlc"] >= 20 * 3 * RLC // 10
    assert money["missing_nrlc"] == 0


# --- who may


def test_nothing_is_published_or_withdrawn_without_an_answer_to_a_challenge(pool: Pool) -> None:
    order = pool.app_owner.sign_order(AppOrder(pool.app, 3, salt=pool.market.salt()), pool.chain.deployment.domain)
    url, body = f"{pool.url}/apporders", {"order": order.as_json()}
    once = {"authorization": authorization(pool, pool.requester)}
    assert requests.post(url, json=body, timeout=5).status_code == 401
    assert requests.post(url, json=body, headers=once, timeout=5).status_code == 200
    again = requests.post(url, json=body, headers=once, timeout=5)
    assert again.status_code == 401
    assert again.json()["ok"] is False
    digest, signature, _ = authorization(pool, pool.requester).split("_")
    posing = {"authorization": f"{digest}_{signature}_{pool.owner.address}"}
    assert requests.post(url, json=body, headers=posing, timeout=5).status_code == 401
    invented = {"authorization": f"{'0x' + '11' * 32}_{signature}_{pool.requester.address}"}
    assert requests.post(url, json=body, headers=invented, timeout=5).status_code == 401
    assert requests.get(f"{pool.url}/challenge", params={"address": "nobody"}, timeout=5).status_code == 400


def test_a_wallet_that_changes_the_book_all_the_time_waits_its_turn(pool: Pool) -> None:
    wallet = pool.market.wallet("busy")
    body = {"target": "unpublish_last", "app": pool.app}
    url, answers = f"{pool.url}/apporders", []
    for _ in range(BURST + 10):
        answers.append(requests.put(url, json=body, headers=signed(pool, wallet), timeout=5))
        if answers[-1].status_code == 429:
            break
    assert len(answers) > BURST
    assert answers[0].status_code == 400
    assert "too often" in answers[-1].json()["error"]
    assert requests.put(url, json=body, headers=signed(pool), timeout=5).status_code == 400


def test_owners_withdraw_their_orders(pool: Pool) -> None:
    domain = pool.chain.deployment.domain
    app = pool.market.app(pool.app_owner)
    orders = [pool.app_owner.sign_order(AppOrder(app, n, salt=pool.market.salt()), domain) for n in range(4)]
    for order in orders:
        assert publish(pool, "app", order).status_code == 200

    def withdraw(wallet: Wallet, **body: Any) -> requests.Response:
        return requests.put(f"{pool.url}/apporders", json=body, headers=signed(pool, wallet), timeout=5)

    first = orders[0].hash(domain)
    assert withdraw(pool.requester, target="unpublish_orderHash", orderHash=first).status_code == 403
    gone = withdraw(pool.app_owner, target="unpublish_orderHash", orderHash=first).json()
    assert gone == {"ok": True, "unpublished": [first]}
    assert withdraw(pool.app_owner, target="unpublish_orderHash", orderHash=first).status_code == 400
    assert len(withdraw(pool.app_owner, target="unpublish_last", app=app).json()["unpublished"]) == 1
    assert withdraw(pool.requester, target="unpublish_all", app=app).status_code == 400
    assert len(withdraw(pool.app_owner, target="unpublish_all", app=app).json()["unpublished"]) == 2
    assert listed(pool, "app", app=app) == []
    assert withdraw(pool.app_owner, target="everything").status_code == 400


# --- true to the chain


def test_deals_use_orders_up_and_are_listed(pool: Pool) -> None:
    domain = pool.chain.deployment.domain
    offer = pool.offer(volume=2)
    assert publish(pool, "workerpool", offer).status_code == 200
    deal_id = pool.deals[pool.deal(offer=offer)[0]]
    pool_hash = offer.hash(domain)
    url = f"{pool.url}/workerpoolorders/{pool_hash}"
    until(lambda: requests.get(url, timeout=5).json()["remaining"] == 1)
    found = requests.get(f"{pool.url}/deals", params={"workerpoolorderHash": pool_hash}, timeout=5).json()
    assert (found["ok"], found["count"]) == (True, 1)
    deal = found["deals"][0]
    assert deal["dealid"] == deal_id
    assert deal["requester"] == pool.requester.address
    assert deal["workerpool"]["pointer"] == pool.address
    mine = requests.get(f"{pool.url}/deals", params={"requester": pool.requester.address}, timeout=5).json()
    assert deal_id in [one["dealid"] for one in mine["deals"]]
    assert requests.get(f"{pool.url}/deals", timeout=5).status_code == 400
    pool.deal(offer=offer)
    until(lambda: requests.get(url, timeout=5).json()["status"] == "filled")
    assert pool_hash not in listed(pool, "workerpool", workerpool=pool.address, category=offer.category)


def test_an_order_closed_on_chain_is_canceled_in_the_book(pool: Pool) -> None:
    domain = pool.chain.deployment.domain
    order = pool.app_owner.sign_order(AppOrder(pool.app, 9, volume=3, salt=pool.market.salt()), domain)
    assert publish(pool, "app", order).status_code == 200
    closing = pool.chain.hub.functions.manageAppOrder((order.as_tuple(), 1, b""))
    Sender(pool.chain, pool.app_owner).transact(closing)
    url = f"{pool.url}/apporders/{order.hash(domain)}"
    until(lambda: requests.get(url, timeout=5).json()["status"] == "canceled")
    assert requests.get(url, timeout=5).json()["remaining"] == 0


def test_a_request_whose_money_is_gone_is_not_listed(pool: Pool) -> None:
    domain = pool.chain.deployment.domain
    buyer = pool.market.wallet("fickle", escrow=2 * RLC)
    order = RequestOrder(pool.app, buyer.address, workerpoolmaxprice=RLC, beneficiary=buyer.address)
    order = buyer.sign_order(order, domain)
    assert publish(pool, "request", order).status_code == 200
    assert order.hash(domain) in listed(pool, "request", requester=buyer.address, category=0)
    Sender(pool.chain, buyer).transact(pool.chain.hub.functions.withdraw(2 * RLC))
    until(lambda: order.hash(domain) not in listed(pool, "request", requester=buyer.address, category=0), seconds=40)
    one = requests.get(f"{pool.url}/requestorders/{order.hash(domain)}", timeout=5).json()
    assert one["status"] == "unfunded"


# --- secrets, and where the pool is


def pushed(url: str, wallet: Wallet, owner: str, name: str | None, value: str, **more: Any) -> int:
    """The status of pushing a secret as iExec's client does."""
    parts = [keccak(b"IEXEC_SMS_DOMAIN"), to_bytes(owner, 20)]
    if name is not None:
        parts.append(keccak(name.encode()))
    proof = wallet.sign_message(to_hex(keccak(*parts, keccak(value.encode()))))
    method = more.pop("method", "POST")
    headers = {"authorization": proof}
    return requests.request(method, url, data=value.encode(), headers=headers, timeout=5, **more).status_code


def test_secrets_are_kept_and_never_shown(pool: Pool) -> None:
    me, other = pool.requester, pool.app_owner
    path, value = f"/requesters/{me.address}/secrets/login", "open sesame 31415"
    assert requests.head(f"{pool.url}{path}", timeout=5).status_code == 404
    assert pushed(f"{pool.url}{path}", other, me.address, "login", value) == 401
    assert pushed(f"{pool.url}{path}", me, me.address, "login", value) == 204
    assert requests.head(f"{pool.url}{path}", timeout=5).status_code == 204
    assert pushed(f"{pool.url}{path}", me, me.address, "login", value) == 409
    assert requests.get(f"{pool.url}{path}", timeout=5).status_code == 405
    assert pushed(f"{pool.url}{path}", me, me.address, "login", "x" * 5000) == 400
    query = {"ownerAddress": me.address, "secretName": "key"}
    assert pushed(f"{pool.url}/secrets/web2", me, me.address, "key", value, params=query) == 204
    assert pushed(f"{pool.url}/secrets/web2", me, me.address, "key", "another", params=query, method="PUT") == 204
    app = f"/apps/{pool.app}/secrets"
    assert pushed(f"{pool.url}{app}", me, pool.app, "1", value) == 401
    assert pushed(f"{pool.url}{app}", other, pool.app, "1", value) == 204
    kept = b"".join(path.read_bytes() for path in pool.folder.rglob("scheduler.db*"))
    assert b"login" in kept
    assert value.encode() not in kept


def test_the_pool_says_where_it_is(pool: Pool) -> None:
    chain_id = pool.chain.deployment.chain_id
    found = requests.get(f"{pool.url}/{chain_id}/workerpools/{pool.address}", timeout=5).json()
    assert found["apiUrl"].rstrip("/") == pool.url
    assert requests.get(f"{pool.url}/{chain_id}/workerpools/{pool.app}", timeout=5).status_code == 404
    assert requests.get(f"{pool.url}/5/workerpools/{pool.address}", timeout=5).status_code == 404


def test_strict_listings_show_only_what_is_restricted_to_whom_is_asked_for(pool: Pool) -> None:
    domain = pool.chain.deployment.domain
    app = pool.market.app(pool.app_owner)
    free = pool.app_owner.sign_order(AppOrder(app, 1, salt=pool.market.salt()), domain)
    bound = AppOrder(app, 2, requesterrestrict=pool.requester.address, salt=pool.market.salt())
    bound = pool.app_owner.sign_order(bound, domain)
    for order in (free, bound):
        assert publish(pool, "app", order).status_code == 200
    asked = {"app": app, "requester": pool.requester.address}
    assert listed(pool, "app", **asked, isRequesterStrict="false") == [free.hash(domain), bound.hash(domain)]
    assert listed(pool, "app", **asked, isRequesterStrict="true") == [bound.hash(domain)]
    wrong = requests.get(f"{pool.url}/apporders", params={**asked, "isRequesterStrict": "perhaps"}, timeout=5)
    assert wrong.status_code == 400
