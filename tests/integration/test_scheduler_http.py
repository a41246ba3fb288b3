"""The scheduler's HTTP calls from outside: logins, bounds and refusals."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import requests

from chain.client import Chain
from poco.hexes import ZERO_ADDRESS
from poco.wire import ErrorBody, PoolConfig, login_typed_data
from tests.integration.scheduler_pool import Market, Pool, ScriptedWorker, digest_of


@pytest.fixture(scope="module")
def pool(hub: Chain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    made = Pool(Market(hub, tmp_path_factory.mktemp("market")), tmp_path_factory.mktemp("pool"))
    made.start(max_result_bytes=4096)
    yield made
    assert made.stop() == 0


@pytest.fixture(scope="module")
def worker(pool: Pool) -> ScriptedWorker:
    return pool.worker("http").join()


def refused(answer: requests.Response, status: int, code: str) -> ErrorBody:
    assert answer.status_code == status, answer.text
    body = ErrorBody.model_validate(answer.json())
    assert body.error == code
    assert body.message
    return body


def test_config_says_what_is_served(pool: Pool) -> None:
    config = PoolConfig.model_validate(requests.get(f"{pool.url}/config", timeout=5).json())
    assert config.workerpool == pool.address
    assert config.scheduler == pool.owner.address
    assert config.hub == pool.chain.deployment.hub


def signed(pool: Pool, by: ScriptedWorker, pool_address: str, asked: dict[str, object]) -> dict[str, object]:
    typed = login_typed_data(
        pool.chain.deployment.chain_id,
        pool_address,
        by.wallet.address,
        str(asked["nonce"]),
        int(str(asked["expires"])),
    )
    return {"wallet": by.wallet.address, **asked, "signature": by.wallet.sign_typed(typed)}


def test_a_challenge_works_once_for_its_wallet_and_pool(pool: Pool) -> None:
    one = pool.worker("one")
    two = pool.worker("two")

    def challenge(of: ScriptedWorker) -> dict[str, object]:
        return dict(of.call("POST", "/login/challenge", json={"wallet": of.wallet.address}).json())

    right = signed(pool, one, pool.address, challenge(one))
    assert one.call("POST", "/login", json=right).status_code == 200
    refused(one.call("POST", "/login", json=right), 401, "LOGIN")
    refused(two.call("POST", "/login", json=signed(pool, two, pool.address, challenge(one))), 401, "LOGIN")
    refused(one.call("POST", "/login", json=signed(pool, one, ZERO_ADDRESS, challenge(one))), 401, "LOGIN")
    stolen = {**signed(pool, two, pool.address, challenge(one)), "wallet": one.wallet.address}
    refused(one.call("POST", "/login", json=stolen), 401, "LOGIN")
    late = challenge(one)
    late["expires"] = int(str(late["expires"])) + 3600
    refused(one.call("POST", "/login", json=signed(pool, one, pool.address, late)), 401, "LOGIN")


def test_challenges_of_others_shut_nobody_out(pool: Pool) -> None:
    worker = pool.worker("asked for")
    for _ in range(30):
        answer = requests.post(f"{pool.url}/login/challenge", json={"wallet": worker.wallet.address}, timeout=5)
        assert answer.status_code == 200
    right = signed(pool, worker, pool.address, answer.json())
    assert worker.call("POST", "/login", json=right).status_code == 200


@pytest.mark.parametrize("token", [None, "Bearer ", "Bearer wrong", "Basic eDp5", "Bearer " + "x" * 300])
def test_without_a_session_nothing_goes(pool: Pool, token: str | None) -> None:
    headers = {"Authorization": token} if token else {}
    task = "0x" + "11" * 32
    poll = {"presence": "WAITING", "free_slots": 1, "acked": 0}
    for method, path, body in (
        ("PUT", "/workers/me", {"name": "x", "platforms": ["linux/amd64"], "cpus": 1, "memory_mb": 1, "disk_mb": 1}),
        ("POST", "/poll", poll),
        ("POST", f"/tasks/{task}/status", {"status": "STARTED", "at": 0}),
        ("PUT", f"/results/{task}", {}),
    ):
        answer = requests.request(method, pool.url + path, json=body, headers=headers, timeout=5)
        refused(answer, 401, "NOT_LOGGED_IN")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/poll", {"presence": "WAITING", "free_slots": -1, "acked": 0}),
        ("POST", "/poll", {"presence": "HAPPY", "free_slots": 1, "acked": 0}),
        ("POST", "/poll", {"presence": "WAITING", "free_slots": 1, "acked": 0, "surprise": 1}),
        ("POST", "/poll", {"presence": "WAITING", "free_slots": 1, "acked": 0, "wait_seconds": 100000}),
        ("PUT", "/workers/me", {"name": "../x", "platforms": ["linux/amd64"], "cpus": 1, "memory_mb": 1, "disk_mb": 1}),
        ("POST", "/login", {"wallet": "0x12"}),
        ("POST", "/tasks/0x12/status", {"status": "STARTED", "at": 0}),
    ],
)
def test_what_is_not_understood_is_refused(worker: ScriptedWorker, method: str, path: str, body: object) -> None:
    answer = worker.call(method, path, json=body)
    assert answer.status_code == 400, answer.text
    assert ErrorBody.model_validate(answer.json()).message


def test_requests_are_bounded(worker: ScriptedWorker) -> None:
    refused(worker.call("POST", "/poll", data=b"x" * (2**20 + 1)), 413, "TOO_LARGE")
    assert worker.call("POST", "/poll", data=b"[" * 100_000).status_code == 400


def test_unknown_things_are_not_found(worker: ScriptedWorker) -> None:
    task = "0x" + "11" * 32
    refused(worker.call("GET", f"/tasks/{task}"), 404, "NO_SUCH_TASK")
    refused(worker.call("PUT", f"/results/{task}", data=b"x"), 404, "NO_SUCH_TASK")
    assert worker.report(task, "STARTED").json() == {"verdict": "ABORT"}
    for cid in ("b" + "a" * 58, "x", "..%2f..%2fscheduler.db", ".upload-1"):
        assert worker.call("GET", f"/ipfs/{cid}").status_code == 404
    refused(worker.call("GET", "/nowhere"), 404, "NOT_FOUND")


def test_uploads_are_bounded_before_they_are_read(pool: Pool, worker: ScriptedWorker) -> None:
    task = "0x" + "11" * 32

    def pieces() -> Iterator[bytes]:
        yield b"x"

    refused(worker.call("PUT", f"/results/{task}", data=pieces()), 411, "LENGTH_REQUIRED")
    refused(worker.call("PUT", f"/results/{task}", data=b"x" * 5000), 413, "TOO_LARGE")
    assert not [path for path in (pool.folder / "data" / "results").rglob("*") if path.is_file()]


def test_a_poll_without_news_ends_when_it_said(worker: ScriptedWorker) -> None:
    began = time.monotonic()
    assert worker.poll(wait=2, presence="BUSY") == []
    assert 1.9 < time.monotonic() - began < 6


def test_polling_before_registering(pool: Pool) -> None:
    stranger = pool.worker("stranger")
    stranger.login()
    body = {"presence": "WAITING", "free_slots": 1, "acked": 0}
    refused(stranger.call("POST", "/poll", json=body), 409, "NOT_REGISTERED")


def test_a_status_that_only_the_chain_can_show_is_not_believed(pool: Pool) -> None:
    liar = pool.worker("liar").join()
    (task,) = pool.deal()
    liar.expect("START", task)
    refused(liar.report(task, "CONTRIBUTED"), 409, "IMPOSSIBLE_STATUS")
    refused(liar.report(task, "REVEALED"), 409, "IMPOSSIBLE_STATUS")
    refused(liar.report(task, "COMPLETED"), 409, "IMPOSSIBLE_STATUS")
    refused(liar.upload(task, b"x"), 409, "NOT_REVEALED")
    other = pool.worker("other").join()
    assert other.report(task, "STARTED").json() == {"verdict": "ABORT"}
    refused(other.upload(task, b"x"), 409, "NOT_YOURS")
    liar.run(task)
    liar.contribute(task, digest_of())
    liar.finish(task)
