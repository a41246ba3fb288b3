"""What a user does with iExec's own command line once there is work: runs, deals, tasks, claims, secrets."""

from __future__ import annotations

import json
import time
import zipfile
from dataclasses import replace

from poco import ids
from poco.errors import Cause
from poco.hexes import address
from poco.states import ChainTaskStatus
from sdk.client import Wish
from sdk.watch import Watcher, watch
from tests.interop.journey import Journey, Step, expect
from tests.interop.official import OfficialClient, Outcome

#: The tag of a standard task.
STANDARD = "0x" + "00" * 32
#: What lets the client read tasks of several contributors; see docs/how-to/use-iexecs-own-client.md.
REMEDY = "names.mjs"
SECRET = "open sesame 27182"

# --- work


def app_run(journey: Journey) -> Outcome:
    words = ["app", "run", journey.known["app"], "--args", "--top 3", "--input-files", journey.input_url]
    words += ["--workerpool", journey.pool, "--category", "0", "--tag", STANDARD, "--watch", "--force"]
    outcome = journey.run(*words, seconds=300)
    expect(outcome.ok, outcome.error)
    deal = outcome.said["deals"][0]
    journey.known["deal"] = str(deal["dealid"])
    return outcome


def app_run_dataset(journey: Journey) -> Outcome:
    words = ["app", "run", journey.known["app"], "--dataset", journey.known["dataset"], "--workerpool", journey.pool]
    return journey.run(*words, "--category", "0", "--tag", STANDARD, "--watch", "--force", seconds=300)


def app_run_trust(journey: Journey) -> Outcome:
    """Three workers for one task: the client's reading of it needs `names.mjs` (`several_unaided` says why)."""
    words = ["app", "run", journey.known["app"], "--args", "--top 3", "--input-files", journey.input_url]
    words += ["--workerpool", journey.pool, "--category", "0", "--tag", STANDARD, "--trust", "5", "--watch", "--force"]
    outcome = journey.run(*words, seconds=300, preload=REMEDY)
    expect(outcome.ok, outcome.error)
    deal = journey.need("deal", "show", str(outcome.said["deals"][0]["dealid"])).said["deal"]
    journey.known["several"] = str(deal["tasks"][0])
    found = journey.local.chain.task(journey.known["several"])
    expect(found.status is ChainTaskStatus.COMPLETED and len(found.contributors) == 3, f"the task is {found}")
    return outcome


def task_show_several(journey: Journey) -> Outcome:
    """Three contributors, by the client as it is and with the remedy."""
    journey.known["fault"] = several_unaided(journey.client, journey.known["several"])
    outcome = journey.run("task", "show", journey.known["several"], "--download", "several", preload=REMEDY)
    expect(outcome.ok, outcome.error)
    expect(len(outcome.said["task"]["contributors"]) == 3, "other contributors")
    return outcome


def several_unaided(client: OfficialClient, task: str) -> str:
    """What the client says of a task with several contributors: the same on every hub, iExec's own too.

    It asks each array of ethers for an object, and ethers refuses that for two or more elements without a name.
    """
    outcome = client.run("task", "show", task)
    expect(not outcome.ok and "unnamed" in outcome.error, f"the fault is gone: {outcome.error or outcome.said}")
    return outcome.error


def deal_show(journey: Journey) -> Outcome:
    outcome = journey.run("deal", "show", journey.known["deal"])
    journey.known["task"] = str(outcome.said["deal"]["tasks"][0])
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
    words += ["--app-price", "100000000", "--workerpool-price", "1000000000", "--tag", STANDARD, "--force"]
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
    return _claimed(journey, "deal", journey.abandoned(False))


def task_claim(journey: Journey) -> Outcome:
    """The same for one task, which was initialized."""
    return _claimed(journey, "task", ids.task_id(journey.abandoned(True), 0))


def _claimed(journey: Journey, kind: str, which: str) -> Outcome:
    before = journey.local.chain.account(journey.me)
    outcome = journey.run(kind, "claim", which, seconds=300)
    expect(outcome.ok, outcome.error)
    after = journey.local.chain.account(journey.me)
    expect(after.locked < before.locked and after.stake > before.stake, "nothing came back")
    return outcome


# --- secrets


def storage_init(journey: Journey) -> Outcome:
    journey.need("storage", "init", "ipfs", "--token", "a token")
    outcome = journey.run("storage", "check", "ipfs")
    expect(outcome.said["isInitialized"] is True, "it is not initialized")
    return outcome


def requester_secret(journey: Journey) -> Outcome:
    name = f"login-{journey.name.replace(' ', '-')}"
    journey.need("requester", "push-secret", name, "--secret-value", "open sesame")
    outcome = journey.run("requester", "check-secret", name)
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
    refused = journey.run(*words, "--tag", STANDARD)
    expect(not refused.ok and "non TEE" in refused.error, f"a standard task got a secret: {refused.error}")
    return Outcome(True, refused.seconds, {"refused": refused.error})


def secret_never_given(journey: Journey) -> Outcome:
    """A deal that asks for a secret all the same, made without the client: an error result, and not a word of it."""
    started = time.monotonic()
    journey.need("requester", "push-secret", "kept", "--secret-value", SECRET)
    me = journey.local.client("me")
    wish = Wish(app=address(journey.known["app"]), workerpool=journey.pool)
    orders = me.best_orders(wish)
    asking = {"iexec_args": "--top 3", "iexec_input_files": [journey.input_url], "iexec_secrets": {"1": "kept"}}
    made = me.match(replace(orders, request=replace(orders.request, params=json.dumps(asking))))
    watcher = Watcher(me.chain, me.chain.deal(made.deal_id), made.task_ids[0], made.block, me.service)
    _, task = watch(watcher, timeout=120)
    expect(task.status is ChainTaskStatus.COMPLETED, f"the task is {task.status.name}")
    result = me.download(task.id, journey.local.run_dir / "secret")
    expect(result.error is Cause.TASK_DESCRIPTION_INVALID, f"the result is {result.error or result.files}")
    logs = [path for path in journey.local.stack.logs.rglob("*") if path.is_file()]
    told = [path.name for path in logs if SECRET in path.read_text("utf-8", "replace")]
    expect(not told and SECRET.encode() not in result.zip_path.read_bytes(), f"the secret is in {told or 'the result'}")
    return Outcome(True, time.monotonic() - started, {"refused": str(result.error)})


STEPS: dict[str, Step] = {
    "app run --watch": app_run,
    "deal show": deal_show,
    "task show --watch --download": task_show,
    "task debug --logs": task_debug,
    "app run --dataset --watch": app_run_dataset,
    "app run --trust 5 --watch (preloaded names.mjs)": app_run_trust,
    "task show of three contributors (preloaded names.mjs)": task_show_several,
    "app request-execution": request_execution,
    "order fill": order_fill,
    "deal claim": deal_claim,
    "task claim": task_claim,
    "storage init, check": storage_init,
    "requester push-secret, check-secret": requester_secret,
    "app push-secret, check-secret": app_secret,
    "app run --secret (refused)": secret_refused,
    "a deal that asks for a secret (refused)": secret_never_given,
}
