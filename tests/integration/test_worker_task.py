"""The worker as a process: real chain and contracts, real engine and registry; the scheduler is played by the test."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import docker
import pytest

from chain.client import Chain
from chain.transactions import Sender
from chain.wallet import Wallet
from ops.console import ROOT
from poco import ids
from poco.hexes import ZERO_ADDRESS, to_bytes
from poco.states import ChainTaskStatus, ContributionStatus
from tests.integration.worker_net import PRICE, RLC, STAKE, Net, Process, finish, network, processes, push_image

pytestmark = [pytest.mark.docker, pytest.mark.chain]


@pytest.fixture(scope="module")
def net(hub: Chain, registry: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    with network(hub, registry, tmp_path_factory.mktemp("net")) as made:
        yield made


@pytest.fixture
def workers(net: Net, docker_client: docker.DockerClient) -> Iterator[Callable[..., Process]]:
    with processes(net, docker_client) as make:
        yield make


def test_from_offer_to_pay(net: Net, workers: Callable[..., Process]) -> None:
    worker = workers().start()
    me = worker.wallet.address
    net.scheduler.free(me)
    assert net.chain.account(me).stake == RLC, "it has deposited its stake by itself"
    deal = net.deal("ok")
    task_id = net.scheduler.start(me, deal)
    update = net.scheduler.reported(me, task_id, "CONTRIBUTED")
    assert update.tx_hash is not None
    assert net.chain.account(me).locked == STAKE
    files = finish(net, worker, task_id)
    assert files["result.txt"] == b"hello"
    assert net.scheduler.statuses(me, task_id) == [
        "STARTED", "APP_DOWNLOADED", "DATA_DOWNLOADED", "COMPUTING", "COMPUTED", "CONTRIBUTING", "CONTRIBUTED",
        "REVEALING", "REVEALED", "RESULT_UPLOADING", "RESULT_UPLOADED", "COMPLETED",
    ]  # fmt: skip
    computed = net.scheduler.reported(me, task_id, "COMPUTED")
    assert computed.exit_code == 0 and computed.logs is not None and computed.logs.stdout == "done\n"
    reward = PRICE * 99 // 100
    assert net.chain.account(me).stake == RLC + reward
    assert net.chain.task(task_id).status is ChainTaskStatus.COMPLETED
    assert worker.resident_mb() < 100
    told = worker.tell("status")
    assert told["earnings"]["reward_nrlc"] == reward and told["earnings"]["seized_nrlc"] == 0
    assert told["tasks"][0]["stage"] == "ENDED" and told["tasks"][0]["reward_nrlc"] == reward
    assert told["energy"]["consumed_wh"] > 0
    assert not list((worker.data / "tasks").iterdir()), "nothing is left behind"
    assert worker.kill(signal.SIGTERM) == 0
    assert net.scheduler.members[me].polls[-1].presence == "DRAINING"


def test_a_reveal_needs_no_notification_and_an_abort_cannot_forget_it(
    net: Net, workers: Callable[..., Process]
) -> None:
    """The chain is watched: consensus is revealed though the scheduler says nothing, or even that all is over."""
    worker = workers().start()
    me, scheduler = worker.wallet.address, net.scheduler
    scheduler.free(me)
    task_id = scheduler.start(me, net.deal("ok", trust=4))
    scheduler.reported(me, task_id, "CONTRIBUTED")
    assert net.chain.task(task_id).status is ChainTaskStatus.ACTIVE, "another worker is needed"
    scheduler.tell(me, "ABORT", task_id, cause="CONTRIBUTION_TIMEOUT")
    scheduler.reported(me, task_id, "ABORTED")
    scheduler.tell(me, "COMPLETE", task_id)
    other = net.actor("second")
    _contribute_as(net, other, task_id, net.chain.contribution(task_id, me).result_hash)
    assert net.chain.task(task_id).status is ChainTaskStatus.REVEALING
    scheduler.until(lambda: net.chain.contribution(task_id, me).status is ContributionStatus.PROVED, "the reveal")
    scheduler.reported(me, task_id, "REVEALED")


def test_killed_before_the_reveal_it_reveals_when_it_is_back(net: Net, workers: Callable[..., Process]) -> None:
    worker = workers().start()
    me, scheduler = worker.wallet.address, net.scheduler
    scheduler.free(me)
    task_id = scheduler.start(me, net.deal("ok", trust=4))
    scheduler.reported(me, task_id, "CONTRIBUTED")
    worker.kill()
    _contribute_as(net, net.actor("second"), task_id, net.chain.contribution(task_id, me).result_hash)
    worker.start()
    scheduler.until(lambda: net.chain.contribution(task_id, me).status is ContributionStatus.PROVED, "the reveal")


def test_an_abort_stops_a_running_program_at_once(
    net: Net, workers: Callable[..., Process], docker_client: docker.DockerClient
) -> None:
    worker = workers().start()
    me, scheduler = worker.wallet.address, net.scheduler
    scheduler.free(me)
    task_id = scheduler.start(me, net.deal("sleep 60"))
    label = {"label": f"pew.task={task_id}"}
    scheduler.until(lambda: docker_client.containers.list(filters=label), "the container")
    began = time.monotonic()
    scheduler.tell(me, "ABORT", task_id, cause="CONSENSUS_REACHED")
    assert scheduler.reported(me, task_id, "ABORTED").cause == "CONSENSUS_REACHED"
    scheduler.until(
        lambda: not docker_client.containers.list(all=True, filters=label, ignore_removed=True),
        "the container's end",
        10,
    )
    assert time.monotonic() - began < 10
    assert net.chain.contribution(task_id, me).status is ContributionStatus.UNSET
    scheduler.free(me)


def test_sigterm_gives_back_what_has_no_stake(
    net: Net, workers: Callable[..., Process], docker_client: docker.DockerClient
) -> None:
    worker = workers().start()
    me, scheduler = worker.wallet.address, net.scheduler
    scheduler.free(me)
    task_id = scheduler.start(me, net.deal("sleep 60"))
    label = {"label": f"pew.task={task_id}"}
    scheduler.until(lambda: docker_client.containers.list(filters=label), "the container")
    assert worker.kill(signal.SIGTERM) == 0
    assert scheduler.reported(me, task_id, "FAILED").cause == "WORKER_STOPPED"
    assert not docker_client.containers.list(all=True, filters=label)
    assert scheduler.members[me].polls[-1].presence == "DRAINING"


def test_offers_that_are_not_what_they_seem(net: Net, workers: Callable[..., Process]) -> None:
    """A false authorisation, another worker's, another pool's deal, a task that is over: nothing is run or staked."""
    worker = workers().start()
    me, scheduler = worker.wallet.address, net.scheduler
    scheduler.free(me)
    stranger = net.actor("stranger")
    false = scheduler.start(me, net.deal("ok"), signer=stranger)
    assert "signed by" in scheduler.reported(me, false, "FAILED").reason
    waiting = scheduler.start(me, net.deal("ok", initialize=False))
    assert scheduler.reported(me, waiting, "FAILED").cause == "TASK_NOT_ACTIVE"
    deal = net.deal("ok")
    said = {
        "authorization": scheduler.owner.sign_message("0x" + "11" * 32), "enclave_challenge": "0x" + "00" * 20,
        "deal_id": deal.id, "index": 5,
    }  # fmt: skip
    scheduler.tell(me, "START", "0x" + "77" * 32, **said)
    assert "not number 5" in scheduler.reported(me, "0x" + "77" * 32, "FAILED").reason
    assert net.chain.account(me).locked == 0
    assert not any(line["event"] == "effect_failed" for line in worker.logged())


def test_what_cannot_be_done_is_told_with_its_cause_and_costs_no_stake(
    net: Net, workers: Callable[..., Process]
) -> None:
    worker = workers(slots=2).start()
    me, scheduler = worker.wallet.address, net.scheduler
    (net.folder / "public" / "data").write_text("what lies there")
    data = net.publish_data("data", f"{net.files}/data", "0x" + "11" * 32)
    lost = net.publish_data("lost", f"{net.files}/nothing", "0x" + "11" * 32)
    unknown = net.publish("unknown", f"{net.registry}/task/unknown:1", "0x" + "22" * 32)
    foreign = net.publish("foreign", *push_image(net, "foreign", "linux/s390x", b"x"))
    deals = {
        "DATASET_FILE_BAD_CHECKSUM": net.deal("ok", dataset=data),
        "DATASET_FILE_DOWNLOAD_FAILED": net.deal("ok", dataset=lost),
        "APP_IMAGE_DOWNLOAD_FAILED": net.deal("ok", app=unknown),
        "APP_IMAGE_PLATFORM_UNSUPPORTED": net.deal("ok", app=foreign),
        "APP_COMPUTE_FAILED": net.deal("exit 3"),
        "COMPUTED_FILE_NOT_FOUND": net.deal("nothing"),
        "COMPUTED_PATH_INVALID": net.deal("points /etc/passwd"),
        "OUTPUT_TOO_LARGE": net.deal("disk"),
        "INPUT_FILES_DOWNLOAD_FAILED": net.deal("ok", params={"iexec_input_files": [f"{net.files}/nothing"]}),
        "TASK_DESCRIPTION_INVALID": net.deal("ok", params={"iexec_result_encryption": True}),
    }
    for cause, deal in deals.items():
        scheduler.free(me)
        task_id = scheduler.start(me, deal)
        update = scheduler.reported(me, task_id, "FAILED")
        assert update.cause == cause
        assert update.reason
        if cause == "APP_COMPUTE_FAILED":
            assert update.exit_code == 3 and update.logs is not None and update.logs.stderr == "no good\n"
    assert net.chain.account(me).locked == 0
    # the scheduler asks for the error result of one: it is contributed only for the cause that was met
    failed = ids.task_id(deals["APP_COMPUTE_FAILED"].id, 0)
    scheduler.tell(me, "CONTRIBUTE_ERROR", failed, cause="DATASET_FILE_BAD_CHECKSUM")
    scheduler.tell(me, "CONTRIBUTE_ERROR", failed, cause="APP_COMPUTE_FAILED")
    scheduler.reported(me, failed, "CONTRIBUTED")
    files = finish(net, worker, failed)
    assert json.loads(files["error.json"]) == {"cause": "APP_COMPUTE_FAILED"}
    assert net.chain.account(me).stake == RLC + PRICE * 99 // 100


def test_an_unfunded_worker_says_so_and_works_once_it_has_money(net: Net, workers: Callable[..., Process]) -> None:
    worker = workers(rlc=RLC // 2).start()
    me, scheduler = worker.wallet.address, net.scheduler
    scheduler.until(lambda: me in scheduler.members and scheduler.members[me].polls, "the first poll")
    poll = scheduler.members[me].polls[0]
    assert (poll.presence, poll.free_slots) == ("BUSY", 0)
    assert f"send it {RLC // 2} nRLC more" in poll.energy.decision
    found = {finding["what"]: finding for finding in worker.tell("doctor")}
    assert not found["stake"]["ok"] and f"send {RLC // 2} nRLC to {me}" in found["stake"]["cure"]
    assert [name for name, each in found.items() if not each["ok"]] == ["stake"]
    eth = net.chain.web3.eth
    net.chain.rlc.functions.transfer(me, RLC // 2).transact({"from": eth.accounts[0]})
    scheduler.free(me)
    assert net.chain.account(me).stake == RLC


def test_without_gas_nothing_is_taken(net: Net, workers: Callable[..., Process]) -> None:
    worker = workers(ether=1, stake_nrlc=0).start()
    me, scheduler = worker.wallet.address, net.scheduler
    scheduler.until(lambda: me in scheduler.members and scheduler.members[me].polls, "the first poll")
    assert scheduler.members[me].polls[0].free_slots == 0
    assert "wei for gas" in scheduler.members[me].polls[0].energy.decision


def test_an_empty_battery_declines_with_its_reason(net: Net, workers: Callable[..., Process]) -> None:
    worker = workers(energy={"soc": 0.3, "speed": 1, "start": "2001-06-21T00:30"}).start()
    me, scheduler = worker.wallet.address, net.scheduler
    scheduler.until(lambda: me in scheduler.members and scheduler.members[me].polls, "the first poll")
    poll = scheduler.members[me].polls[0]
    assert (poll.presence, poll.free_slots) == ("BUSY", 0)
    assert "battery at 30%" in poll.energy.decision
    assert poll.energy.soc is not None and poll.energy.consumed_wh is not None
    task_id = scheduler.start(me, net.deal("ok"))
    update = scheduler.reported(me, task_id, "DECLINED")
    assert update.cause == "ENERGY" and "battery" in update.reason


def test_a_sleeping_worker_says_until_when(net: Net, workers: Callable[..., Process]) -> None:
    worker = workers(energy={"soc": 0.1, "speed": 1}).start()
    me, scheduler = worker.wallet.address, net.scheduler
    scheduler.until(lambda: me in scheduler.members and scheduler.members[me].polls, "the first poll")
    poll = scheduler.members[me].polls[0]
    assert poll.presence == "ASLEEP"
    assert poll.resume_at is not None and poll.resume_at > time.time()


def test_a_scheduler_that_goes_away_loses_nothing(net: Net, workers: Callable[..., Process]) -> None:
    worker = workers().start()
    me, scheduler = worker.wallet.address, net.scheduler
    scheduler.free(me)
    task_id = scheduler.start(me, net.deal("sleep 2"))
    scheduler.reported(me, task_id, "COMPUTING")
    scheduler.fail = {"/poll", "/tasks", "/results"}
    scheduler.until(
        lambda: net.chain.contribution(task_id, me).status is ContributionStatus.PROVED, "contribution and reveal"
    )
    scheduler.fail = set()
    scheduler.tokens.clear()
    finish(net, worker, task_id)
    assert scheduler.statuses(me, task_id)[-1] == "COMPLETED"


def test_a_refused_upload_is_told_and_may_be_asked_for_again(net: Net, workers: Callable[..., Process]) -> None:
    worker = workers().start()
    me, scheduler = worker.wallet.address, net.scheduler
    scheduler.free(me)
    task_id = scheduler.start(me, net.deal("ok"))
    scheduler.reported(me, task_id, "REVEALED")
    reports = scheduler.members[me].reports
    for status in (404, 409, 413):
        before = len(reports)
        scheduler.refuse_uploads = [status]
        scheduler.tell(me, "UPLOAD", task_id)
        scheduler.until(
            lambda before=before: any(u.status == "FAILED" for t, u in reports[before:] if t == task_id),
            "its complaint",
        )
        update = next(u for t, u in reports[before:] if t == task_id and u.status == "FAILED")
        assert update.cause == "RESULT_UPLOAD_FAILED" and "another digest" in update.reason
    assert net.chain.contribution(task_id, me).status is ContributionStatus.PROVED
    assert finish(net, worker, task_id)["result.txt"] == b"hello"
    assert net.chain.account(me).locked == 0


def test_two_workers_cannot_share_a_folder(net: Net, workers: Callable[..., Process]) -> None:
    worker = workers().start()
    net.scheduler.free(worker.wallet.address)
    done = subprocess.run(
        [sys.executable, "-m", "worker", "--config", str(worker.config)],
        capture_output=True, text=True, check=False, cwd=ROOT, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("error: another worker (process ")
    assert "hint: stop it first" in done.stderr


def test_a_scheduler_of_another_pool_gets_no_worker(net: Net, workers: Callable[..., Process]) -> None:
    worker = workers(workerpool=net.app).start()
    net.scheduler.until(lambda: any(line["event"] == "no_scheduler" for line in worker.logged()), "the refusal")
    line = next(line for line in worker.logged() if line["event"] == "no_scheduler")
    assert "workerpool" in line["why"] and line["hint"]
    assert worker.wallet.address not in net.scheduler.members


def _contribute_as(net: Net, wallet: Wallet, task_id: str, result: str) -> None:
    """Another worker of the pool contributes the same result (only the seal is its own)."""
    sender = Sender(net.chain, wallet)
    sender.transact(net.chain.rlc.functions.approveAndCall(net.chain.deployment.hub, RLC, b""))
    authorization = net.scheduler.owner.sign_message(ids.authorization_hash(wallet.address, task_id))
    sender.transact(
        net.chain.hub.functions.contribute(
            to_bytes(task_id), to_bytes(result), to_bytes("0x" + "99" * 32), ZERO_ADDRESS, b"", to_bytes(authorization)
        )
    )
