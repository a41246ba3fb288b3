"""What a user does with iExec's own command line before there is work: money, registered things, orders.

Each step checks what the command said, not only that it ended well; a step that builds on one that failed fails too.
"""

from __future__ import annotations

import json
import secrets

from eth_account import Account

from poco.hexes import address
from tests.interop.journey import RLC, Journey, Step, expect, same
from tests.interop.official import Outcome

# --- the first things


def info(journey: Journey) -> Outcome:
    outcome = journey.run("info", wallet=None)
    expect(same(outcome.said["hubAddress"], journey.local.chain.deployment.hub), "another hub")
    return outcome


def wallet_show(journey: Journey) -> Outcome:
    outcome = journey.run("wallet", "show")
    expect(int(outcome.said["balance"]["nRLC"]) == journey.local.chain.rlc_balance(journey.me), "another balance")
    return outcome


def wallet_create(journey: Journey) -> Outcome:
    folder = journey.client.folder / "created"
    outcome = journey.run(
        "wallet", "create", "--keystoredir", str(folder), "--password", journey.client.password, wallet=None
    )
    expect(len(list(folder.iterdir())) == 1, "no keystore was written")
    return outcome


def wallet_send(journey: Journey) -> Outcome:
    other = journey.local.wallets["other"].address
    before = journey.local.chain.rlc_balance(other)
    outcome = journey.run("wallet", "send-RLC", "1", "RLC", "--to", other, "--force")
    expect(journey.local.chain.rlc_balance(other) == before + RLC, "the RLC did not arrive")
    return outcome


def wallet_send_ether(journey: Journey) -> Outcome:
    other, eth = journey.local.wallets["other"].address, journey.local.chain.web3.eth
    before = eth.get_balance(other)  # type: ignore[arg-type]
    outcome = journey.run("wallet", "send-ether", "7", "wei", "--to", other, "--force")
    expect(eth.get_balance(other) == before + 7, "it did not arrive")  # type: ignore[arg-type]
    return outcome


def wallet_import(journey: Journey) -> Outcome:
    folder = journey.client.folder / "imported"
    key = "0x" + secrets.token_hex(32)
    outcome = journey.run(
        "wallet", "import", key, "--keystoredir", str(folder), "--password", journey.client.password, wallet=None
    )
    expect(same(outcome.said["address"], Account.from_key(key).address), "another wallet")
    return outcome


def account_deposit(journey: Journey) -> Outcome:
    before = journey.local.chain.account(journey.me).stake
    outcome = journey.run("account", "deposit", "20", "RLC")
    expect(journey.local.chain.account(journey.me).stake == before + 20 * RLC, "not in the escrow")
    return outcome


def account_show(journey: Journey) -> Outcome:
    outcome = journey.run("account", "show")
    expect(int(outcome.said["balance"]["stake"]) == journey.local.chain.account(journey.me).stake, "another stake")
    return outcome


def account_withdraw(journey: Journey) -> Outcome:
    before = journey.local.chain.account(journey.me).stake
    outcome = journey.run("account", "withdraw", "1", "RLC")
    expect(journey.local.chain.account(journey.me).stake == before - RLC, "still in the escrow")
    return outcome


def account_allowance(journey: Journey) -> Outcome:
    other = journey.local.wallets["other"].address
    journey.need("account", "approve", "3", other, "RLC")
    outcome = journey.run("account", "allowance", other)
    expect(int(str(outcome.said["amount"]), 16) == 3 * RLC, "another allowance")
    journey.need("account", "revoke", other)
    return outcome


def category_show(journey: Journey) -> Outcome:
    expect(int(journey.need("category", "count", wallet=None).said["count"]) >= 5, "another number of categories")
    outcome = journey.run("category", "show", "0", wallet=None)
    expect(outcome.said["category"]["name"] == "XS", "another category")
    return outcome


# --- what is registered


def app_deploy(journey: Journey) -> Outcome:
    journey.need("init", "--skip-wallet", "--force", wallet=None)
    journey.client.write_chain()
    journey.need("app", "init")
    multiaddr, checksum = journey.image
    journey.configure(app={"name": journey.name, "multiaddr": multiaddr, "checksum": checksum})
    outcome = journey.run("app", "deploy")
    journey.known["app"] = str(outcome.said["address"])
    shown = journey.need("app", "show", journey.known["app"]).said["app"]
    expect(same(shown["owner"], journey.me), "another owner")
    expect(journey.local.chain.app(address(journey.known["app"])).multiaddr == multiaddr, "another image")
    return outcome


def dataset_deploy(journey: Journey) -> Outcome:
    journey.need("dataset", "init")
    journey.configure(dataset={"name": f"words of {journey.name}", **journey.data})
    outcome = journey.run("dataset", "deploy")
    journey.known["dataset"] = str(outcome.said["address"])
    journey.need("dataset", "show", journey.known["dataset"])
    return outcome


def workerpool_deploy(journey: Journey) -> Outcome:
    journey.need("workerpool", "init")
    journey.configure(workerpool={"description": f"{journey.name}: a pool of the official client's making"})
    outcome = journey.run("workerpool", "deploy")
    journey.known["workerpool"] = str(outcome.said["address"])
    journey.need("workerpool", "show", journey.known["workerpool"])
    return outcome


def app_count(journey: Journey) -> Outcome:
    outcome = journey.run("app", "count")
    expect(int(outcome.said["count"]) >= 1, "another number of apps")
    return outcome


def workerpool_publish(journey: Journey) -> Outcome:
    """A pool's order with the deposit behind it; withdrawn again, nobody works there."""
    pool = journey.known["workerpool"]
    words = ["workerpool", "publish", pool, "--price", "1000000000", "--category", "0", "--volume", "1", "--force"]
    outcome = journey.run(*words)
    book = journey.need("orderbook", "workerpool", pool, "--category", "0", wallet=None).said["workerpoolOrders"]
    expect([one["orderHash"] for one in book] == [outcome.said["orderHash"]], f"the book lists {book}")
    journey.need("workerpool", "unpublish", pool, "--force")
    return outcome


def app_transfer(journey: Journey) -> Outcome:
    other = journey.local.wallets["other"].address
    outcome = journey.run("workerpool", "transfer", journey.known["workerpool"], "--to", other, "--force")
    owner = journey.local.chain.workerpool(address(journey.known["workerpool"])).owner
    expect(owner == other, "it was not handed over")
    return outcome


# --- the market


def order_sign(journey: Journey) -> Outcome:
    journey.need("order", "init", "--app")
    journey.configure(
        order={"apporder": {"app": journey.known["app"], "appprice": "100000000", "volume": "1000", "tag": []}}
    )
    return journey.run("order", "sign", "--app", "--skip-preflight-check")


def order_publish(journey: Journey) -> Outcome:
    outcome = journey.run("order", "publish", "--app", "--force", "--skip-preflight-check")
    journey.known["apporder"] = str(outcome.said["apporder"]["orderHash"])
    return outcome


def order_show(journey: Journey) -> Outcome:
    outcome = journey.run("order", "show", "--app", journey.known["apporder"], "--deals", wallet=None)
    expect(journey.known["apporder"] in json.dumps(outcome.said), f"another order: {outcome.said}")
    return outcome


def app_publish(journey: Journey) -> Outcome:
    return journey.run("app", "publish", journey.known["app"], "--price", "100000000", "--volume", "10", "--force")


def dataset_publish(journey: Journey) -> Outcome:
    return journey.run("dataset", "publish", journey.known["dataset"], "--price", "0", "--force")


def orderbook_app(journey: Journey) -> Outcome:
    outcome = journey.run("orderbook", "app", journey.known["app"], wallet=None)
    hashes = [one["orderHash"] for one in outcome.said["appOrders"]]
    expect(journey.known["apporder"] in hashes, "our order is not in the book")
    return outcome


def orderbook_workerpool(journey: Journey) -> Outcome:
    outcome = journey.run("orderbook", "workerpool", "--category", "0", wallet=None)
    pools = [one["workerpool"] for one in outcome.said["workerpoolOrders"]]
    expect(any(same(pool, journey.pool) for pool in pools), "the pool's order is not in the book")
    return outcome


def orderbook_dataset(journey: Journey) -> Outcome:
    outcome = journey.run("orderbook", "dataset", journey.known["dataset"], wallet=None)
    expect(len(outcome.said["datasetOrders"]) == 1, f"the book lists {outcome.said}")
    return outcome


def order_unpublish(journey: Journey) -> Outcome:
    outcome = journey.run("app", "unpublish", journey.known["app"], "--force")
    book = journey.need("orderbook", "app", journey.known["app"], wallet=None).said["appOrders"]
    expect(len(book) == 1, f"{len(book)} orders are left")
    return outcome


def order_cancel(journey: Journey) -> Outcome:
    """Signs another one, cancels it on chain, and cannot publish it any more."""
    journey.need("order", "sign", "--app", "--skip-preflight-check")
    outcome = journey.run("order", "cancel", "--app", "--force")
    refused = journey.run("order", "publish", "--app", "--force", "--skip-preflight-check")
    expect(not refused.ok, "a canceled order was published")
    return outcome


STEPS: dict[str, Step] = {
    "info": info,
    "wallet create": wallet_create,
    "wallet show": wallet_show,
    "wallet send-RLC": wallet_send,
    "wallet send-ether": wallet_send_ether,
    "wallet import": wallet_import,
    "account deposit": account_deposit,
    "account show": account_show,
    "account withdraw": account_withdraw,
    "account approve, allowance, revoke": account_allowance,
    "category count, show": category_show,
    "app init, deploy, show": app_deploy,
    "dataset init, deploy, show": dataset_deploy,
    "workerpool init, deploy, show": workerpool_deploy,
    "app count": app_count,
    "workerpool publish, unpublish": workerpool_publish,
    "workerpool transfer": app_transfer,
    "order sign": order_sign,
    "order publish": order_publish,
    "order show --deals": order_show,
    "app publish": app_publish,
    "dataset publish": dataset_publish,
    "orderbook app": orderbook_app,
    "orderbook dataset": orderbook_dataset,
    "orderbook workerpool": orderbook_workerpool,
    "app unpublish": order_unpublish,
    "order cancel": order_cancel,
}
