"""The client as a library, the way a dapp's front end uses it."""

from __future__ import annotations

from typing import Any

from tests.interop.journey import Journey, Step, expect, same
from tests.interop.official import Outcome


def _call(journey: Journey, step: str, **more: Any) -> Outcome:
    local = journey.local
    given = {
        "step": step,
        "host": local.rpc_url,
        "hub": local.chain.deployment.hub,
        "url": local.scheduler_url,
        "key": journey.client.key("me"),
        "other": local.wallets["other"].address,
        "pool": journey.pool,
        "app": journey.known.get("app", ""),
        "image": journey.image[0],
        "checksum": journey.image[1],
        "data": journey.data,
        "input": journey.input_url,
        **more,
    }
    outcome = journey.client.library("library.mjs", given)
    expect(outcome.ok, outcome.error)
    return outcome


def account(journey: Journey) -> Outcome:
    before = journey.local.chain.account(journey.me).stake
    outcome = _call(journey, "account")
    stake = journey.local.chain.account(journey.me).stake
    expect(int(outcome.said["stake"]) == stake == before + 2, "another stake")
    expect(outcome.said["allowance"] == "5", "another allowance")
    return outcome


def wallet(journey: Journey) -> Outcome:
    chain, other = journey.local.chain, journey.local.wallets["other"].address
    before = (chain.rlc_balance(other), chain.native_balance(other))
    outcome = _call(journey, "wallet")
    expect((int(outcome.said["nRLC"]), int(outcome.said["wei"])) == (before[0] + 2, before[1] + 3), "it did not arrive")
    return outcome


def register(journey: Journey) -> Outcome:
    outcome = _call(journey, "register")
    owners = [journey.me, journey.me, journey.local.wallets["other"].address]
    expect(all(same(a, b) for a, b in zip(outcome.said["owners"], owners, strict=True)), "other owners")
    expect(outcome.said["category"] == "XS", "another category")
    return outcome


def orders(journey: Journey) -> Outcome:
    outcome = _call(journey, "orders")
    kept, last = outcome.said["hashes"]
    expect(kept in outcome.said["listed"] and last in outcome.said["listed"], "the book lists others")
    expect(outcome.said["last"] == last, "another order was taken out")
    expect("nothing is left" in outcome.said["again"], outcome.said["again"])
    return outcome


def bag(journey: Journey) -> Outcome:
    outcome = _call(journey, "bag")
    expect(outcome.said["volume"] == "2" and len(outcome.said["sizes"]) == 2, f"not two results: {outcome.said}")
    expect(outcome.said["statuses"] == ["COMPLETED"] * 2, f"they are {outcome.said['statuses']}")
    expect(outcome.said["logs"] == [1, 1], f"not one log for each: {outcome.said['logs']}")
    expect(outcome.said["used"] == 1, "the book does not know the deal")
    return outcome


def claim(journey: Journey) -> Outcome:
    deal = journey.abandoned(False)
    before = journey.local.chain.account(journey.me)
    outcome = _call(journey, "claim", abandoned=deal)
    after = journey.local.chain.account(journey.me)
    expect(outcome.said["claimed"] == 1 and after.locked < before.locked, "nothing came back")
    return outcome


def secrets(journey: Journey) -> Outcome:
    outcome = _call(journey, "secrets")
    found = [outcome.said[name] for name in ("known", "unknown", "token")]
    expect(found == [True, False, True], f"the service says {outcome.said}")
    return outcome


STEPS: dict[str, Step] = {
    "(library) wallet": wallet,
    "(library) account": account,
    "(library) app, dataset, workerpool, category": register,
    "(library) orders and orderbook": orders,
    "(library) sign, publish, match, watch, results, logs": bag,
    "(library) deal claim": claim,
    "(library) storage and requester secrets": secrets,
}
