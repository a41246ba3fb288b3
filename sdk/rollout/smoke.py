"""The last step of a rollout: one paid task through the pool's scheduler and a worker of it, ordered only once."""

from __future__ import annotations

from typing import Any

from chain import deployment
from chain.client import Chain
from chain.transactions import Receipt, Sender
from chain.wallet import Wallet
from oci.reference import digest_of_checksum
from poco import ids
from poco.amounts import show
from poco.errors import BadInputError, PewError
from poco.hexes import address
from poco.orders import NO_DATASET, AppOrder
from poco.params import DealParams
from sdk.client import Client, Wish
from sdk.rollout import costs
from sdk.rollout.engine import Rollout, StepSender
from sdk.rollout.network import Smoke
from sdk.rollout.steps import pool_of
from sdk.watch import Ending, Watcher, watch

_MATCH = "smoke match"


def run(rollout: Rollout, wallet: Wallet, scheduler_url: str | None) -> dict[str, Any]:
    """Order the task of the network's section `smoke` from its pool, and follow it to its end.

    The order is in the journal like every step: a run that was killed follows the task that was paid already.

    Args:
        rollout: applied, its journal held by this process.
        wallet: of the deployer, who pays.
        scheduler_url: of the pool's scheduler.

    Returns:
        Deal, task, status, digest and what was paid, nRLC.

    Raises:
        BadInputError: there is no pool or scheduler, or an offer above the limit.
        PewError: the task did not complete.
    """
    network, wanted = rollout.network, rollout.network.smoke
    pool = pool_of(network, rollout.chain, rollout.deployer, rollout.addresses())
    if wanted is None or pool is None:
        raise BadInputError(f"{network.network} needs the sections pool and smoke", hint="see go-to-a-testnet.md")
    if scheduler_url is None:
        raise BadInputError("the smoke test needs the pool's scheduler", hint="pew --scheduler http://host:port")
    chain = Chain(network.rpc_urls, deployment.load(rollout.file), network.chain)
    client = Client(chain, wallet, scheduler_url)
    sender = StepSender(chain, wallet, costs.policy(network), book=rollout.journal)
    made = _ordered(rollout, sender) or _order(rollout, client, sender, wanted, pool)
    event = made.event("OrdersMatched").args
    deal = chain.deal(str(event["dealid"]))
    task_id = ids.task_id(deal.id, deal.bot_first)
    rollout.say(f"smoke test: deal {deal.id}, following its task")
    watcher = Watcher(chain, deal, task_id, made.block, client.service)
    ending, task = watch(watcher, lambda news: rollout.say(f"  {news.what} {news.worker}"), timeout=wanted.seconds)
    if ending is not Ending.COMPLETED:
        raise PewError(
            f"the smoke test's task {task_id} ended as {ending}", hint=f"pew --scheduler {scheduler_url} task show"
        )
    paid = deal.app.price + deal.workerpool.price
    return {"deal": deal.id, "task": task_id, "status": str(ending), "digest": task.digest, "paid_nrlc": paid}


def _ordered(rollout: Rollout, sender: Sender) -> Receipt | None:
    """The receipt of the order that an earlier run sent; None where none did."""
    entry = rollout.journal.entries.get(_MATCH)
    if entry is None or (entry.ended is not None and not entry.mined):
        return None
    if entry.mined:
        known = sender.receipt(entry.sent.tx_hash)
        if known is not None:
            return known
        rollout.journal.reopen(_MATCH)
    return sender.wait(rollout.journal.entries[_MATCH].lease, rollout.network.wait_seconds)


def _order(rollout: Rollout, client: Client, sender: Sender, wanted: Smoke, pool: str) -> Receipt:
    def send(step: str, call: Any) -> Receipt:
        rollout.say(f"{step}: sending")
        return sender.transact(call, step=step, timeout=rollout.network.wait_seconds)

    chain, me = client.chain, client.wallet.address
    app = _app(client, wanted, send)
    client.publish(AppOrder(app, 0))
    wish = Wish(
        app,
        DealParams(wanted.args),
        workerpool=pool,
        category=wanted.category,
        trust=wanted.trust,
        pool_max=wanted.max_price_nrlc,
    )
    orders = client.best_orders(wish)
    price = orders.pool.workerpoolprice
    if price > wanted.max_price_nrlc:
        raise BadInputError(
            f"the pool asks {show(price)}, the smoke test pays {show(wanted.max_price_nrlc)}",
            hint="publish a cheaper offer, or raise smoke.max_price_nrlc",
        )
    short = price - chain.account(me).stake
    if short > 0:
        send("smoke deposit", chain.rlc.functions.approveAndCall(chain.deployment.hub, short, b""))
    client.preflight(orders).require()
    request = client.sign(orders.request)
    parts = (orders.app, orders.dataset or NO_DATASET, orders.pool, request)
    return send(_MATCH, chain.hub.functions.matchOrders(*[part.as_tuple() for part in parts]))


def _app(client: Client, wanted: Smoke, send: Any) -> str:
    """The image's entry in the registry, which is made where it is not there."""
    digest = digest_of_checksum(wanted.checksum)
    if digest is None:
        raise BadInputError(f"smoke.checksum: '{wanted.checksum}' is no digest", hint="sha256:... as the push printed")
    chain = client.chain
    raw = bytes.fromhex(digest.removeprefix("sha256:"))
    registry = chain.contract("app_registry", chain.deployment.app_registry).functions
    arguments = (client.wallet.address, wanted.name, "DOCKER", wanted.multiaddr.encode(), raw, b"")
    where = address(chain.ask(registry.predictApp(*arguments).call))
    if not chain.ask(registry.isRegistered(where).call):
        send("smoke app", registry.createApp(*arguments))
    return where
