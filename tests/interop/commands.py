"""What a user does with iExec's own command line against our contracts and services, one command after the other.

Each step checks what the command said, not only that it ended well; a step that builds on one that failed fails too.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from typing import Any

from poco.hexes import address
from scripts.localstack import LocalStack
from tests.interop.official import OfficialClient, Outcome

RLC = 10**9
Step = Callable[["Journey"], Outcome]


class StepError(AssertionError):
    """A command ended well and said something wrong."""


class Journey:
    """One user's way through the client's commands.

    Args:
        local: the network: chain, contracts, scheduler with workers.
        client: the command line in a folder of its own; `wallets/me.json` and `wallets/other.json` are funded.
        image: multiaddr and checksum of an app's image in the local registry.
        pool: whose scheduler answers.
    """

    #: an input file, and the same as a dataset's multiaddr and checksum
    input_url: str
    data: dict[str, str]
    #: hash of the pool's order in the book
    offer: str
    #: makes a deal that nobody works for and that can be claimed
    abandoned: Callable[[], str]

    def __init__(self, local: LocalStack, client: OfficialClient, image: tuple[str, str], pool: str) -> None:
        self.local, self.client, self.image, self.pool = local, client, image, pool
        self.me = local.wallets["me"].address
        self.known: dict[str, str] = {}

    def run(self, *words: str, wallet: str | None = "me", seconds: float = 240) -> Outcome:
        return self.client.run(*words, wallet=wallet, seconds=seconds)

    def need(self, *words: str, **more: Any) -> Outcome:
        """Run a command that other things of the step need; StepError where it fails."""
        outcome = self.run(*words, **more)
        expect(outcome.ok, f"iexec {' '.join(words)}: {outcome.error}")
        return outcome

    def configure(self, **sections: Any) -> None:
        """Change sections of the folder's iexec.json, as a user does with an editor."""
        path = self.client.folder / "iexec.json"
        content = json.loads(path.read_text())
        for name, values in sections.items():
            content[name] = {**content.get(name, {}), **values}
        path.write_text(json.dumps(content, indent=2))


def expect(right: object, said: str) -> None:
    if not right:
        raise StepError(said)


def same(left: object, right: object) -> bool:
    return str(left).lower() == str(right).lower()


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
    expect(int(journey.need("category", "count", wallet=None).said["count"]) == 5, "another number of categories")
    outcome = journey.run("category", "show", "0", wallet=None)
    expect(outcome.said["category"]["name"] == "XS", "another category")
    return outcome


# --- what is registered


def app_deploy(journey: Journey) -> Outcome:
    journey.need("init", "--skip-wallet", "--force", wallet=None)
    journey.client.write_chain()
    journey.need("app", "init")
    multiaddr, checksum = journey.image
    journey.configure(app={"name": "template", "multiaddr": multiaddr, "checksum": checksum})
    outcome = journey.run("app", "deploy")
    journey.known["app"] = str(outcome.said["address"])
    shown = journey.need("app", "show", journey.known["app"]).said["app"]
    expect(same(shown["owner"], journey.me), "another owner")
    expect(journey.local.chain.app(address(journey.known["app"])).multiaddr == multiaddr, "another image")
    return outcome


def dataset_deploy(journey: Journey) -> Outcome:
    journey.need("dataset", "init")
    journey.configure(dataset={"name": "words", **journey.data})
    outcome = journey.run("dataset", "deploy")
    journey.known["dataset"] = str(outcome.said["address"])
    journey.need("dataset", "show", journey.known["dataset"])
    return outcome


def workerpool_deploy(journey: Journey) -> Outcome:
    journey.need("workerpool", "init")
    journey.configure(workerpool={"description": "a pool of the official client's making"})
    outcome = journey.run("workerpool", "deploy")
    journey.known["workerpool"] = str(outcome.said["address"])
    journey.need("workerpool", "show", journey.known["workerpool"])
    return outcome


def app_count(journey: Journey) -> Outcome:
    outcome = journey.run("app", "count")
    expect(int(outcome.said["count"]) == 1, "another number of apps")
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


# --- work


def app_run(journey: Journey) -> Outcome:
    words = ["app", "run", journey.known["app"], "--args", "--top 3", "--input-files", journey.input_url]
    words += ["--workerpool", journey.pool, "--category", "0", "--tag", "0x" + "00" * 32, "--watch", "--force"]
    outcome = journey.run(*words, seconds=300)
    expect(outcome.ok, outcome.error)
    deal = outcome.said["deals"][0]
    journey.known["deal"] = str(deal["dealid"])
    return outcome


def app_run_dataset(journey: Journey) -> Outcome:
    words = ["app", "run", journey.known["app"], "--dataset", journey.known["dataset"], "--workerpool", journey.pool]
    words += ["--category", "0", "--tag", "0x" + "00" * 32, "--trust", "5", "--watch", "--force"]
    return journey.run(*words, seconds=300)


def deal_show(journey: Journey) -> Outcome:
    outcome = journey.run("deal", "show", journey.known["deal"])
    tasks = outcome.said["deal"]["tasks"]
    journey.known["task"] = str(tasks["0"] if isinstance(tasks, dict) else tasks[0])
    return outcome


def task_show(journey: Journey) -> Outcome:
    outcome = journey.run("task", "show", journey.known["task"], "--watch", "--download", "result")
    expect(outcome.ok, outcome.error)
    expect(outcome.said["task"]["statusName"] == "COMPLETED", "it is not completed")
    with zipfile.ZipFile(journey.client.folder / "result.zip") as archive:
        expect("result.json" in archive.namelist(), f"the result holds {archive.namelist()}")
    return outcome


def task_debug(journey: Journey) -> Outcome:
    outcome = journey.run("task", "debug", journey.known["task"], "--logs")
    replicates = outcome.said["offchainData"]["replicates"]
    expect(replicates and replicates[0]["status"] == "COMPLETED", f"replicates: {replicates}")
    expect("stdout" in json.dumps(outcome.said), "no logs")
    return outcome


def request_execution(journey: Journey) -> Outcome:
    words = ["app", "request-execution", journey.known["app"], "--workerpool", journey.pool, "--category", "0"]
    words += ["--app-price", "100000000", "--workerpool-price", "1000000000", "--tag", "0x" + "00" * 32, "--force"]
    outcome = journey.run(*words)
    outcome_book = journey.need("orderbook", "requester", journey.me, "--category", "0", wallet=None)
    book = outcome_book.said["requestOrders"]
    expect(book, "the request is not in the book")
    journey.known["request"] = str(book[0]["orderHash"])
    return outcome


def order_fill(journey: Journey) -> Outcome:
    words = ["order", "fill", "--request", journey.known["request"], "--app", journey.known["apporder"]]
    words += ["--workerpool", journey.offer, "--force", "--skip-preflight-check"]
    outcome = journey.run(*words)
    journey.known["filled"] = str(outcome.said["dealid"])
    return outcome


def deal_claim(journey: Journey) -> Outcome:
    """A deal that nobody works for is claimed once its last deadline is over: the requester has his money back."""
    deal = journey.abandoned()
    before = journey.local.chain.account(journey.me)
    outcome = journey.run("deal", "claim", deal, seconds=300)
    after = journey.local.chain.account(journey.me)
    expect(after.locked < before.locked, "nothing came back")
    return outcome


# --- secrets


def storage_init(journey: Journey) -> Outcome:
    journey.need("storage", "init", "ipfs", "--token", "a token")
    outcome = journey.run("storage", "check", "ipfs")
    expect(outcome.said["isInitialized"] is True, "it is not initialized")
    return outcome


def requester_secret(journey: Journey) -> Outcome:
    journey.need("requester", "push-secret", "login", "--secret-value", "open sesame")
    outcome = journey.run("requester", "check-secret", "login")
    expect(outcome.said["isSet"] is True, "it is not set")
    return outcome


def app_secret(journey: Journey) -> Outcome:
    journey.need("app", "push-secret", journey.known["app"], "--secret-value", "open sesame")
    outcome = journey.run("app", "check-secret", journey.known["app"], wallet=None)
    expect(outcome.said["isSecretSet"] is True, "it is not set")
    return outcome


def secret_refused(journey: Journey) -> Outcome:
    """A standard task that asks for a secret is refused by the client or the book, and never started."""
    words = ["app", "run", journey.known["app"], "--secret", "1=login", "--category", "0", "--force"]
    refused = journey.run(*words, "--tag", "0x" + "00" * 32)
    expect(not refused.ok, "a standard task got a secret")
    return Outcome(True, refused.seconds, {"refused": refused.error})


STEPS: dict[str, Step] = {
    "info": info,
    "wallet create": wallet_create,
    "wallet show": wallet_show,
    "wallet send-RLC": wallet_send,
    "account deposit": account_deposit,
    "account show": account_show,
    "account withdraw": account_withdraw,
    "account approve, allowance, revoke": account_allowance,
    "category count, show": category_show,
    "app init, deploy, show": app_deploy,
    "dataset init, deploy, show": dataset_deploy,
    "workerpool init, deploy, show": workerpool_deploy,
    "app count": app_count,
    "workerpool transfer": app_transfer,
    "order sign": order_sign,
    "order publish": order_publish,
    "order show --deals": order_show,
    "app publish": app_publish,
    "dataset publish": dataset_publish,
    "orderbook app": orderbook_app,
    "orderbook workerpool": orderbook_workerpool,
    "app unpublish": order_unpublish,
    "order cancel": order_cancel,
    "app run --watch": app_run,
    "deal show": deal_show,
    "task show --watch --download": task_show,
    "task debug --logs": task_debug,
    "app run --dataset --trust 5": app_run_dataset,
    "app request-execution": request_execution,
    "order fill": order_fill,
    "deal claim": deal_claim,
    "storage init, check": storage_init,
    "requester push-secret, check-secret": requester_secret,
    "app push-secret, check-secret": app_secret,
    "app run --secret (refused)": secret_refused,
}
