"""A scheduler process on a real chain: from the deal to the pay."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from chain.client import Chain
from poco.amounts import show
from poco.errors import Cause
from poco.result import cid_of, error_result, on_chain_location
from poco.states import ChainTaskStatus
from tests.integration.scheduler_pool import OUTPUT, RLC, Market, Pool, digest_of, result_zip, until, zip_of


@pytest.fixture(scope="module")
def market(hub: Chain, tmp_path_factory: pytest.TempPathFactory) -> Market:
    return Market(hub, tmp_path_factory.mktemp("market"))


@pytest.fixture(scope="module")
def running(market: Market, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    made = Pool(market, tmp_path_factory.mktemp("pool"))
    made.start()
    yield made
    assert made.stop() == 0
    log = made.log.read_text()
    assert "authorization" not in log
    assert not any(secret in log for secret in made.secrets)


@pytest.fixture
def pool(running: Pool) -> Iterator[Pool]:
    """A scheduler that other tests use too; the workers of this one take no more work afterwards."""
    yield running
    running.dismiss()


@pytest.fixture
def own_pool(market: Market, tmp_path: Path) -> Iterator[Pool]:
    """A scheduler of its own, to be killed."""
    made = Pool(market, tmp_path)
    made.start()
    yield made
    assert made.stop() == 0


def test_one_worker_from_deal_to_pay(pool: Pool) -> None:
    worker = pool.worker("solo").join()
    before = pool.chain.account(worker.wallet.address)
    (task,) = pool.deal()
    worker.do(task)
    done = pool.chain.task(task)
    assert done.status is ChainTaskStatus.COMPLETED
    location = on_chain_location(done.results)
    content = requests.get(pool.url + location, timeout=10).content
    assert content == result_zip()
    assert location == "/ipfs/" + cid_of(hashlib.sha256(content).digest())
    after = pool.chain.account(worker.wallet.address)
    assert after.stake > before.stake
    assert after.locked == 0
    view = pool.task(task)
    assert view["currentStatus"] == "COMPLETED"
    statuses = [u["status"] for u in view["replicates"][0]["statusUpdateList"]]
    assert statuses[:3] == ["CREATED", "STARTED", "APP_DOWNLOADED"]
    assert statuses[-1] == "COMPLETED"
    assert [u["status"] for u in view["dateStatusList"]] == [
        "RECEIVED",
        "INITIALIZED",
        "RUNNING",
        "CONSENSUS_REACHED",
        "RESULT_UPLOADING",
        "RESULT_UPLOADED",
        "COMPLETED",
    ]


def test_two_workers_agree_and_one_uploads(pool: Pool) -> None:
    workers = [pool.worker(name).join() for name in ("a", "b", "c")]
    (task,) = pool.deal(trust=4)
    threads = [worker.do_later(task) for worker in workers[:2]]
    for thread in threads:
        thread.join(40)
    until(lambda: pool.chain.task(task).status is ChainTaskStatus.COMPLETED)
    assert workers[2].poll(wait=1) == []
    view = pool.task(task)
    assert len(view["replicates"]) == 2
    uploads = [u["status"] for r in view["replicates"] for u in r["statusUpdateList"]]
    assert uploads.count("RESULT_UPLOADED") == 1


def test_scheduler_killed_at_every_step_goes_on(own_pool: Pool) -> None:
    pool = own_pool

    def again() -> None:
        pool.stop(signal.SIGKILL)
        pool.start()

    worker = pool.worker("patient").join()
    (task,) = pool.deal()
    again()
    worker.expect("START", task)
    again()
    worker.run(task)
    again()
    worker.contribute(task, digest_of())
    again()
    worker.expect("REVEAL", task, slots=0)
    worker.reveal(task, digest_of())
    again()
    worker.expect("UPLOAD", task, slots=0)
    again()
    assert worker.upload(task, result_zip()).status_code == 200
    again()
    worker.expect("COMPLETE", task, slots=0)
    assert pool.chain.task(task).status is ChainTaskStatus.COMPLETED


def test_killed_while_it_may_be_sending(own_pool: Pool) -> None:
    pool = own_pool
    for wait in (0.02, 0.1, 0.2):
        (task,) = pool.deal()
        until(lambda task=task: requests.get(f"{pool.url}/tasks/{task}", timeout=5).status_code == 200, every=wait)
        pool.stop(signal.SIGKILL)
        pool.start()
        until(lambda task=task: pool.chain.task(task).status is ChainTaskStatus.ACTIVE)
    assert pool.status()["outbox"]["errors"] == []


def test_a_worker_without_stake_gets_nothing_and_sees_why(pool: Pool) -> None:
    poor = pool.worker("poor", escrow=RLC // 100).join()
    (task,) = pool.deal()
    assert poor.poll(wait=3) == []
    row = next(w for w in pool.status()["workers"] if w["name"] == "poor")
    missing = 3 * RLC // 10 - RLC // 100
    assert f"it needs 0.3 RLC, has 0.01 RLC free; deposit {show(missing)} with" in row["no_work_because"]
    rich = pool.worker("rich").join()
    rich.do(task)


def test_a_program_that_fails_ends_with_an_error_result(pool: Pool) -> None:
    cause = Cause.APP_COMPUTE_FAILED
    workers = [pool.worker(name).join() for name in ("x", "y")]
    (task,) = pool.deal(trust=4)
    for worker in workers:
        worker.expect("START", task)
        worker.verdict(task, "STARTED")
    assert workers[0].fail(task, cause) == "OK"
    assert workers[1].fail(task, cause) == "OK"
    files = error_result(cause, callback=False)
    for worker in workers:
        asked = worker.expect("CONTRIBUTE_ERROR", task)
        assert asked["data"] == {"cause": cause.value}
        worker.contribute(task, worker.error_digest(cause))
    for worker in workers:
        worker.expect("REVEAL", task, slots=0)
        worker.reveal(task, worker.error_digest(cause))
    uploader = next(w for w in workers if any(n["type"] == "UPLOAD" for n in w.poll(wait=3, slots=0)))
    assert uploader.upload(task, zip_of(files)).status_code == 200
    until(lambda: pool.chain.task(task).status is ChainTaskStatus.COMPLETED)
    assert pool.chain.account(pool.owner.address).locked == 0


def test_a_missing_image_is_tried_by_all_who_could_then_given_up(pool: Pool) -> None:
    cause = Cause.APP_IMAGE_DOWNLOAD_FAILED
    first, second = pool.worker("first").join(), pool.worker("second").join()
    second.poll()
    (task,) = pool.deal()
    first.expect("START", task)
    first.fail(task, cause)
    assert first.poll(wait=1) == []
    second.expect("START", task)
    second.fail(task, cause)
    asked = first.expect("CONTRIBUTE_ERROR", task)
    assert asked["data"]["cause"] == cause.value
    first.contribute(task, first.error_digest(cause))
    first.expect("REVEAL", task, slots=0)
    first.reveal(task, first.error_digest(cause))
    first.expect("UPLOAD", task, slots=0)
    assert first.upload(task, zip_of(error_result(cause, callback=False))).status_code == 200
    first.expect("COMPLETE", task, slots=0)
    second.expect("ABORT", task)


def test_an_architecture_without_image_is_not_asked_again(pool: Pool) -> None:
    arm = pool.worker("arm", platforms=("linux/arm/v7",)).join()
    amd = pool.worker("amd").join()
    amd.poll()
    (task,) = pool.deal()
    arm.expect("START", task)
    arm.fail(task, Cause.APP_IMAGE_PLATFORM_UNSUPPORTED)
    amd.do(task)
    (second,) = pool.deal()
    arm.expect("ABORT", task)
    assert arm.poll(wait=3) == []
    row = next(w for w in pool.status()["workers"] if w["name"] == "arm")
    assert "no image for linux/arm/v7" in row["no_work_because"]
    amd.do(second)


def test_a_wrong_upload_is_refused_and_the_right_one_taken(pool: Pool) -> None:
    worker = pool.worker("sly").join()
    (task,) = pool.deal()
    worker.expect("START", task)
    assert worker.upload(task, result_zip()).status_code == 409
    worker.run(task)
    worker.contribute(task, digest_of())
    worker.expect("REVEAL", task, slots=0)
    worker.reveal(task, digest_of())
    worker.expect("UPLOAD", task, slots=0)
    for content, said in (
        (result_zip(b"something else"), "RESULT_MISMATCH"),
        (b"no zip at all", "RESULT_REFUSED"),
        (zip_of({"../../out.txt": OUTPUT}), "RESULT_REFUSED"),
    ):
        answer = worker.upload(task, content)
        assert (answer.status_code, answer.json()["error"]) == (409, said)
    assert worker.upload(task, result_zip()).status_code == 200
    worker.expect("COMPLETE", task, slots=0)
    assert worker.upload(task, result_zip()).json()["location"] == pool.task(task)["resultLocation"]


def test_declined_and_lost_work_goes_to_others_at_once(pool: Pool) -> None:
    first, second = pool.worker("unwilling").join(), pool.worker("willing").join()
    (task,) = pool.deal()
    first.expect("START", task)
    assert first.verdict(task, "DECLINED", cause="ENERGY") == "OK"
    second.do(task)


def test_what_can_no_longer_succeed_is_claimed(pool: Pool, market: Market) -> None:
    category = market.category(1)
    before = pool.chain.account(pool.requester.address)
    (task,) = pool.deal(category=category)
    until(lambda: pool.chain.task(task).status is ChainTaskStatus.FAILED, 40)
    assert pool.chain.account(pool.requester.address) == before
    until(lambda: pool.task(task)["currentStatus"] == "FAILED")
    assert "CONTRIBUTION_TIMEOUT" not in pool.log.read_text()


def test_nobody_reveals_then_it_is_reopened_for_others(pool: Pool, market: Market) -> None:
    category = market.category(4)
    forgetful, other = pool.worker("forgetful").join(), pool.worker("other").join()
    (task,) = pool.deal(category=category)
    forgetful.expect("START", task)
    forgetful.contribute(task, digest_of(b"never revealed"))
    forgetful.expect("REVEAL", task)
    other.do(task)
    assert pool.chain.task(task).status is ChainTaskStatus.COMPLETED
    assert pool.chain.score(forgetful.wallet.address) == 0


def test_a_bag_of_tasks(pool: Pool) -> None:
    worker = pool.worker("bag").join()
    for task in pool.deal(volume=3):
        until(lambda task=task: pool.chain.task(task).status is not ChainTaskStatus.UNSET)
    for _ in range(3):
        task = next(n["task_id"] for n in worker.poll(wait=5) if n["type"] == "START")
        worker.run(task)
        worker.contribute(task, digest_of())
        worker.finish(task)
        assert pool.chain.task(task).status is ChainTaskStatus.COMPLETED
