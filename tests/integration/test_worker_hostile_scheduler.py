"""A scheduler that lies in every way its protocol allows, and in some that it does not: what stops it, and where."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from typing import Any

import docker
import pytest

from chain.client import Chain
from poco import ids
from poco.hexes import to_bytes, to_hex
from poco.states import ChainTaskStatus
from tests.integration.liar import Liar
from tests.integration.worker_net import RLC, Net, Process, finish, network, processes

pytestmark = [pytest.mark.docker, pytest.mark.chain]

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
NOT_MINE = "0x" + "77" * 32


@pytest.fixture(scope="module")
def net(hub: Chain, registry: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    with network(hub, registry, tmp_path_factory.mktemp("net")) as made:
        yield made


@pytest.fixture
def workers(net: Net, docker_client: docker.DockerClient) -> Iterator[Callable[..., Process]]:
    with processes(net, docker_client) as make:
        yield make


def twin(signature: str) -> str:
    """The other signature that ECDSA lets anyone make of one: s becomes n - s, v is flipped."""
    raw = to_bytes(signature)
    s = ORDER - int.from_bytes(raw[32:64], "big")
    return to_hex(raw[:32] + s.to_bytes(32, "big") + bytes([55 - raw[64]]))


def test_offers_that_nobody_may_make(
    net: Net, workers: Callable[..., Process], docker_client: docker.DockerClient
) -> None:
    """Stopped at verification, by what is on chain and who signed: nothing is pulled, run or staked."""
    worker = workers().start()
    me, played, owner = worker.wallet.address, net.scheduler, net.senders["pool"].wallet
    played.free(me)
    stranger, deal = net.actor("stranger"), net.deal("ok")
    task_id = ids.task_id(deal.id, 0)
    mine = owner.sign_message(ids.authorization_hash(me, task_id))
    over = net.deal("ok")
    done = played.start(me, over)
    finish(net, worker, done)
    unknown = ids.task_id(NOT_MINE, 0)
    lies: list[tuple[str, str, dict[str, Any], str]] = [
        ("another's signature", task_id, {"authorization": stranger.sign_message(ids.authorization_hash(me, task_id))},
         "the authorisation was signed by"),
        ("leave for another worker", task_id,
         {"authorization": owner.sign_message(ids.authorization_hash(stranger.address, task_id))}, "was signed by"),
        ("leave for another task", task_id, {"authorization": owner.sign_message(ids.authorization_hash(me, NOT_MINE))},
         "was signed by"),
        ("a malleable signature", task_id, {"authorization": twin(mine)}, "malleable"),
        ("no signature", task_id, {"authorization": "0x" + "00" * 65}, "not a signature"),
        ("an enclave", task_id, {"authorization": mine, "enclave_challenge": stranger.address}, "was signed by"),
        ("another deal's task", NOT_MINE, {"authorization": mine}, "is not number 0 of deal"),
        ("a deal that is not on chain", unknown, {
            "authorization": owner.sign_message(ids.authorization_hash(me, unknown)), "deal_id": NOT_MINE},
         "there is no deal"),
        ("a task that is over", done, {
            "authorization": owner.sign_message(ids.authorization_hash(me, done)), "deal_id": over.id},
         "COMPLETED on chain"),
    ]  # fmt: skip
    for what, task, data, words in lies:
        start = {"deal_id": deal.id, "index": 0, "enclave_challenge": "0x" + "00" * 20, **data}
        before = len(played.members[me].reports)
        played.tell(me, "START", task, **start)
        update = played.until(
            lambda task=task, before=before: next(
                (u for t, u in played.members[me].reports[before:] if t == task and u.status in ("FAILED", "DECLINED")),
                None,
            ),
            f"the refusal of {what}",
        )
        assert words in update.reason, (what, update.reason)
    stages = {(line["task"], line["stage"]) for line in worker.logged() if line["event"] == "stage"}
    assert not {task for task, stage in stages if stage == "PULLING"} - {done}, "nothing else was begun"
    assert net.chain.account(me).locked == 0
    played.free(me)
    finish(net, worker, played.start(me, deal))  # the honest offer for the same task is taken after all that


def test_notifications_replayed_out_of_order_and_out_of_range(net: Net, workers: Callable[..., Process]) -> None:
    """Stopped in the core: a number counts once, in its order; what comes at the wrong time changes nothing."""
    worker = workers().start()
    me, played = worker.wallet.address, net.scheduler
    played.free(me)
    member = played.members[me]
    task_id = played.start(me, net.deal("ok", trust=4))
    played.reported(me, task_id, "CONTRIBUTED")
    (first,) = [line for line in worker.logged() if line["event"] == "told" and line["type"] == "START"]

    def say(kind: str, seq: int, **data: Any) -> None:
        with played.news:
            member.waiting.append({"seq": seq, "type": kind, "task_id": task_id, "data": data})
            played.news.notify_all()

    for lie in (
        lambda: say("ABORT", first["seq"], cause="CONSENSUS_REACHED"),  # replayed
        lambda: say("ABORT", 0, cause="CONSENSUS_REACHED"),  # going back
        lambda: say("ABORT", 2**53, cause="CONSENSUS_REACHED"),  # would make it deaf
    ):
        member.waiting.clear()
        lie()
        polls = len(member.polls)
        played.until(lambda polls=polls: len(member.polls) > polls + 1, "two more polls")
        assert member.polls[-1].acked == first["seq"]
    member.waiting.clear()
    for kind, data in (
        ("UPLOAD", {}), ("COMPLETE", {}), ("REVEAL", {}), ("ABORT", {"cause": "CONTRIBUTION_TIMEOUT"}),
        ("CONTRIBUTE_ERROR", {"cause": "APP_COMPUTE_FAILED"}), ("ABORT", {"nonsense": 1}), ("START", {"deal_id": "x"}),
    ):  # fmt: skip
        played.tell(me, kind, task_id, **data)
    played.until(lambda: member.polls[-1].acked >= member.seq, "all of it to be read")
    time.sleep(2 * 1)  # it looks at the chain every second
    assert worker.stage(task_id) == "CONTRIBUTED", "a stake is the chain's business"
    assert task_id not in played.uploads, "nothing is uploaded before a consensus"
    assert net.chain.task(task_id).status is ChainTaskStatus.ACTIVE
    assert net.chain.web3.eth.get_transaction_count(me) == 2


def test_answers_that_are_none(net: Net, workers: Callable[..., Process]) -> None:
    """Stopped in the link, within bounds of time and size; the worker tries again, and works once it is answered."""
    liar = Liar(net.scheduler.url)
    worker = workers(scheduler_url=liar.address and f"http://{liar.address}").start()
    me, played = worker.wallet.address, net.scheduler
    played.free(me)
    elsewhere = Liar("http://127.0.0.1:9")

    def raw(status: int, body: bytes, **headers: str) -> Callable[[BaseHTTPRequestHandler], bool]:
        def answer(request: BaseHTTPRequestHandler) -> bool:
            if request.path != "/poll":
                return False
            request.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                request.send_header(name, value)
            request.end_headers()
            request.wfile.write(body)
            return True

        return answer

    def endless(request: BaseHTTPRequestHandler) -> bool:
        if request.path != "/poll":
            return False
        request.send_response(200)
        request.end_headers()
        for _ in range(100_000):
            request.wfile.write(b" " * 65_536)
        return True

    wrong = {**json.loads(json.dumps(played.answer("/config", "", b"")[1])), "workerpool": net.app}

    def other_pool(request: BaseHTTPRequestHandler) -> bool:
        if request.path == "/poll":
            return raw(503, b"")(request)
        if request.path != "/config":
            return False
        request.send_response(200)
        body = json.dumps(wrong).encode()
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)
        return True

    def revoked(request: BaseHTTPRequestHandler) -> bool:
        return raw(401, b'{"error": "NOT_LOGGED_IN", "message": "no"}')(request)

    lies = {
        "makes no sense": raw(200, b"[1, 2"),
        "HTTP 302": raw(302, b"", Location=f"http://{elsewhere.address}/poll"),
        "does not answer /poll": endless,
        "the scheduler serves workerpool": other_pool,
        "does not accept the session": revoked,
    }
    for words, lie in lies.items():
        liar.lie = lie
        played.until(
            lambda words=words: any(
                line["event"] == "no_scheduler" and words in line["why"] for line in worker.logged()
            ),
            f"the complaint {words!r}",
        )
    assert worker.resident_mb() < 110, "nothing of it is kept"
    liar.lie = lambda _: False
    assert not elsewhere.asked, "a redirect is not followed, nor the session shown to another host"
    task_id = played.start(me, net.deal("ok"))
    played.reported(me, task_id, "CONTRIBUTED", 90)
    finish(net, worker, task_id, 90)
    assert net.chain.account(me).stake > RLC
