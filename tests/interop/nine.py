"""The client's line 9: it puts the tag of a trusted enclave (TEE and TDX, `0x..09`) on every order that it makes.

What needs no order, and what reads, works as in 8; orders can be signed, published and read. No task can be run: a pool
of standard workers offers none of that tag, and no worker of ours has the hardware.
"""

from __future__ import annotations

from tests.interop import commands, work
from tests.interop.journey import Journey, Step, expect
from tests.interop.official import Outcome

#: Steps of 8 that mean the same in 9.
SAME = (
    *("info", "wallet create", "wallet show", "wallet send-RLC", "wallet send-ether", "wallet import"),
    *("account deposit", "account show", "account withdraw", "account approve, allowance, revoke"),
    *("category count, show", "app init, deploy, show", "dataset init, deploy, show"),
    *("workerpool init, deploy, show", "app count", "workerpool transfer"),
)
AFTER = (
    *("deal show", "task show --watch --download", "task debug --logs", "deal claim", "task claim"),
    *("requester push-secret, check-secret", "app push-secret, check-secret"),
)


def app_run(journey: Journey) -> Outcome:
    """Refused before any money moves."""
    before = journey.local.chain.account(journey.me)
    refused = journey.run("app", "run", journey.known["app"], "--workerpool", journey.pool, "--watch", "--force")
    expect(not refused.ok and "No workerpoolorder" in refused.error, f"it was not refused: {refused.error}")
    expect(journey.local.chain.account(journey.me) == before, "money was locked")
    return Outcome(True, refused.seconds, {"refused": refused.error})


def storage(journey: Journey) -> Outcome:
    """Only Dropbox has tokens in 9; ipfs, the storage of results here, needs none."""
    refused = journey.run("storage", "init", "ipfs", "--token", "a token")
    expect("does not support authentication tokens" in refused.error, f"ipfs took a token: {refused.error}")
    journey.need("storage", "init", "dropbox", "--token", "a token")
    outcome = journey.run("storage", "check", "dropbox")
    expect(outcome.said["isInitialized"] is True, "it is not initialized")
    return outcome


_ALL = {**commands.STEPS, **work.STEPS}
STEPS: dict[str, Step] = {
    **{name: _ALL[name] for name in SAME},
    "order sign": commands.order_sign,
    "order publish": commands.order_publish,
    "order show --deals": commands.order_show,
    "orderbook app": commands.orderbook_app,
    "orderbook workerpool": commands.orderbook_workerpool,
    "order cancel": commands.order_cancel,
    "app run (refused)": app_run,
    "storage init, check (dropbox)": storage,
    **{name: _ALL[name] for name in AFTER},
}
