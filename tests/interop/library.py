"""The client as a library, the way a dapp's front end uses it."""

from __future__ import annotations

from tests.interop.commands import Journey, Step, expect
from tests.interop.official import Outcome


def _call(journey: Journey, step: str) -> Outcome:
    local = journey.local
    given = {
        "step": step,
        "host": local.rpc_url,
        "hub": local.chain.deployment.hub,
        "url": local.scheduler_url,
        "key": journey.client.key("me"),
        "pool": journey.pool,
        "app": journey.known.get("app", ""),
        "input": journey.input_url,
    }
    return journey.client.library("library.mjs", given)


def account(journey: Journey) -> Outcome:
    outcome = _call(journey, "account")
    expect(outcome.ok, outcome.error)
    expect(int(outcome.said["stake"]) == journey.local.chain.account(journey.me).stake, "another stake")
    return outcome


def bag(journey: Journey) -> Outcome:
    outcome = _call(journey, "bag")
    expect(outcome.ok, outcome.error)
    expect(outcome.said["volume"] == "2" and len(outcome.said["sizes"]) == 2, f"not two results: {outcome.said}")
    expect(outcome.said["used"] == 1, "the book does not know the deal")
    return outcome


STEPS: dict[str, Step] = {"(library) account": account, "(library) sign, publish, match, watch, results": bag}
