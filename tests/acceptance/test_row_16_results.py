"""Row 16: the result proxy and its link.

Parity: one upload for a task, by who revealed, re-hashed against the chain, served as a zip under `/ipfs/<cid>`. Beat:
no limit of 16 MB and no base64: streamed both ways, gone on with after `kill -9` of either side, bounded while it
streams, kept by a policy that says what it removed.
"""

from __future__ import annotations

import hashlib
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from chain.client import Chain
from ops.console import ROOT
from poco.result import cid_of, on_chain_location
from poco.states import ChainTaskStatus
from poco.transfers import Piece, content_range, repr_digest
from sdk.service import Service, ServiceError
from tests.integration.scheduler_pool import Market, Pool, ScriptedWorker, digest_of, result_zip, until
from tests.relay import Relay

pytestmark = pytest.mark.chain
MB = 2**20

#: A worker's upload in a process of its own.
UPLOADING = """
import sys
from pathlib import Path
from chain import wallet
from worker.link import Link
keystore, url, chain_id, hub, pool, task, archive = sys.argv[1:]
link = Link(url, wallet.load(Path(keystore), "x"), int(chain_id), hub, pool)
print(link.upload(task, Path(archive), lambda: False).location)
"""


@pytest.fixture(scope="module")
def pool(hub: Chain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    made = Pool(Market(hub, tmp_path_factory.mktemp("market")), tmp_path_factory.mktemp("pool"))
    made.start(max_result_bytes=64 * MB)
    yield made
    assert made.stop() == 0


def revealed(pool: Pool, name: str, output: bytes) -> tuple[ScriptedWorker, str]:
    """A worker that has revealed that output of a new task."""
    pool.dismiss()
    worker = pool.worker(name).join()
    (task,) = pool.deal()
    worker.expect("START", task)
    worker.run(task)
    worker.contribute(task, digest_of(output))
    worker.expect("REVEAL", task, slots=0)
    worker.reveal(task, digest_of(output))
    worker.expect("UPLOAD", task, slots=0)
    return worker, task


def uploading(pool: Pool, worker: ScriptedWorker, url: str, task: str, archive: Path) -> subprocess.Popen[str]:
    there, keystore = pool.chain.deployment, str(pool.folder / f"{worker.name}.json")
    say = [sys.executable, "-c", UPLOADING, keystore, url, str(there.chain_id), there.hub, pool.address, task]
    return subprocess.Popen([*say, str(archive)], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def incoming(pool: Pool) -> int:
    return sum(path.stat().st_size for path in (pool.folder / "data/results/.incoming").iterdir())


def finished(pool: Pool, task: str) -> str:
    """The location on chain, once the task is completed."""
    until(lambda: pool.chain.task(task).status is ChainTaskStatus.COMPLETED, 30)
    return str(on_chain_location(pool.chain.task(task).results))


def test_both_sides_die_and_the_upload_goes_on(pool: Pool, tmp_path: Path) -> None:
    output = os.urandom(20 * MB)
    content = result_zip(output)
    archive = tmp_path / "result.zip"
    archive.write_bytes(content)
    worker, task = revealed(pool, "durable", output)
    with Relay(pool.port) as relay:
        # 17 MB pass, in two requests of 16 MB at most; then the worker is killed
        relay.most_up = 17 * MB
        first = uploading(pool, worker, relay.url, task, archive)
        until(lambda: incoming(pool) >= 16 * MB)
        first.send_signal(signal.SIGKILL)
        first.wait()
    with Relay(pool.port) as relay:
        # the next one goes on there, and the scheduler is killed while it sends
        relay.most_up = 2 * MB
        second = uploading(pool, worker, relay.url, task, archive)
        until(lambda: incoming(pool) > 17 * MB)
        pool.stop(signal.SIGKILL)
        assert second.wait(30) != 0
        assert relay.up < 3 * MB, "what the scheduler had was not sent again"
    had = incoming(pool)
    assert had > 17 * MB
    pool.start(max_result_bytes=64 * MB)
    with Relay(pool.port) as relay:
        third = uploading(pool, worker, relay.url, task, archive)
        said = third.communicate(timeout=60)[0].strip()
        assert relay.up < len(content) - had + MB
    cid = cid_of(hashlib.sha256(content).digest())
    assert said == f"/ipfs/{cid}" == finished(pool, task)
    assert incoming(pool) == 0
    _is_served(pool, cid, content)


def test_all_bytes_are_there_and_nobody_has_checked_them(pool: Pool, tmp_path: Path) -> None:
    """As a kill leaves it between the last byte and the check."""
    output = os.urandom(MB)
    content = result_zip(output)
    archive = tmp_path / "result.zip"
    archive.write_bytes(content)
    worker, task = revealed(pool, "unchecked", output)
    headers = {
        "Authorization": str(worker.http.headers["Authorization"]),
        "Repr-Digest": repr_digest(hashlib.sha256(content).digest()),
        "Content-Range": content_range(Piece(0, len(content) - 1, len(content))),
    }
    sent = requests.put(f"{pool.url}/results/{task}", data=content[:-1], headers=headers, timeout=30)
    assert sent.status_code == 200, sent.text
    (partial,) = (pool.folder / "data/results/.incoming").iterdir()
    with partial.open("ab") as file:
        file.write(content[-1:])
    assert incoming(pool) == len(content)
    said = uploading(pool, worker, pool.url, task, archive).communicate(timeout=30)[0].strip()
    assert said == finished(pool, task)
    assert incoming(pool) == 0


def _is_served(pool: Pool, cid: str, content: bytes) -> None:
    """Whole and in part, with an ETag; a download that breaks off goes on."""
    url = f"{pool.url}/ipfs/{cid}"
    head = requests.head(url, timeout=10)
    assert (head.status_code, int(head.headers["Content-Length"])) == (200, len(content))
    assert head.headers["ETag"] == f'"{cid}"' and head.headers["Content-Type"] == "application/zip"
    asked = {"Range": f"bytes={len(content) - 1000}-", "If-Range": f'"{cid}"'}
    part = requests.get(url, headers=asked, timeout=10)
    assert (part.status_code, part.content) == (206, content[-1000:])
    assert requests.get(url, headers={**asked, "If-Range": '"other"'}, timeout=10, stream=True).status_code == 200
    assert requests.get(url, headers={"Range": f"bytes={len(content)}-"}, timeout=10).status_code == 416
    assert requests.get(url, headers={"If-None-Match": f'"{cid}"'}, timeout=10).status_code == 304
    with Relay(pool.port) as relay:
        relay.most_down, relay.cutting = 8 * MB, True
        got = pool.folder / "got.zip"
        assert cid_of(Service(relay.url).download(f"/ipfs/{cid}", got, 2**30)) == cid
        assert relay.connections == 3 and relay.down < len(content) + MB
        assert got.read_bytes() == content


def test_a_connection_that_hangs_does_not_keep_its_worker_out(pool: Pool, tmp_path: Path) -> None:
    output = os.urandom(3 * MB)
    archive = tmp_path / "result.zip"
    archive.write_bytes(result_zip(output))
    worker, task = revealed(pool, "hanging", output)
    with Relay(pool.port) as relay:
        relay.most_up = MB
        first = uploading(pool, worker, relay.url, task, archive)
        until(lambda: relay.up >= MB)
        time.sleep(0.2)
        began = time.monotonic()
        second = uploading(pool, worker, pool.url, task, archive)
        said = second.communicate(timeout=30)[0].strip()
        assert time.monotonic() - began < 15
        first.kill()
        first.wait()
    assert said == finished(pool, task)
    # many at once for one task: one is kept, all are told where
    output = os.urandom(2 * MB)
    content = result_zip(output)
    worker, task = revealed(pool, "many", output)
    answers: list[requests.Response] = []
    headers = {"Authorization": str(worker.http.headers["Authorization"])}
    senders = [
        threading.Thread(
            target=lambda: answers.append(
                requests.put(f"{pool.url}/results/{task}", data=content, headers=headers, timeout=30)
            )
        )
        for _ in range(8)
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["location"] for answer in answers} == {finished(pool, task)}
    assert incoming(pool) == 0


def test_a_full_disk_is_said_and_leaves_nothing(pool: Pool) -> None:
    output = os.urandom(9 * MB)
    content = result_zip(output)
    worker, task = revealed(pool, "full", output)
    assert pool.process is not None
    before = set((pool.folder / "data/results").iterdir())
    resource.prlimit(pool.process.pid, resource.RLIMIT_FSIZE, (8 * MB, resource.RLIM_INFINITY))
    answer = worker.upload(task, content)
    assert (answer.status_code, answer.json()["error"]) == (507, "DISK_FULL")
    assert answer.json()["hint"]
    assert incoming(pool) == 0 and set((pool.folder / "data/results").iterdir()) == before
    resource.prlimit(pool.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert worker.upload(task, content).status_code == 200
    finished(pool, task)


def test_only_the_result_that_was_revealed_by_who_revealed_it(pool: Pool) -> None:
    output = b"right"
    worker, task = revealed(pool, "right", output)
    other = pool.worker("other").join()
    right = hashlib.sha256(result_zip(output)).hexdigest()

    def refused(answer: requests.Response, status: int, code: str) -> None:
        assert (answer.status_code, answer.json()["error"]) == (status, code), answer.text

    refused(other.upload(task, result_zip(output)), 409, "NOT_YOURS")
    refused(worker.call("GET", f"/results/{task}?size={65 * MB}&sha256={right}"), 413, "TOO_LARGE")
    refused(worker.call("GET", f"/results/0x{'77' * 32}?size=1&sha256={right}"), 404, "NO_SUCH_TASK")
    refused(worker.upload(task, result_zip(b"wrong")), 409, "RESULT_MISMATCH")
    piece = {"Content-Range": "bytes 5-9/20"}
    refused(worker.call("PUT", f"/results/{task}", data=b"x" * 5, headers=piece), 400, "BAD_REQUEST")
    named = {**piece, "Repr-Digest": "sha-256=:" + "A" * 43 + "=:"}
    refused(worker.call("PUT", f"/results/{task}", data=b"x" * 5, headers=named), 409, "WRONG_OFFSET")
    damaged = {"Repr-Digest": "sha-256=:" + "A" * 43 + "=:"}
    refused(worker.call("PUT", f"/results/{task}", data=b"x" * 5, headers=damaged), 400, "BAD_CHECKSUM")
    for nonsense in ("bytes 5-4/20", "bytes 0-20/20", "bytes x-y/z", "bytes 0-4/99999999999999999"):
        answer = worker.call("PUT", f"/results/{task}", data=b"x" * 5, headers={**named, "Content-Range": nonsense})
        assert answer.status_code in (400, 413), answer.text
    assert incoming(pool) == 0
    assert worker.upload(task, result_zip(output)).json()["location"] == finished(pool, task)


def test_what_is_old_is_removed_and_said(pool: Pool) -> None:
    output = b"to be forgotten"
    worker, task = revealed(pool, "old", output)
    location = worker.upload(task, result_zip(output)).json()["location"]
    finished(pool, task)
    waiting, open_task = revealed(pool, "open", b"not finalized")
    assert requests.get(pool.url + location, timeout=10).status_code == 200
    # its final deadline has not passed: only a bound of bytes may remove it, and not what was just finalized
    assert pool.stop() == 0
    data = pool.folder / "data"
    with sqlite3.connect(data / "scheduler.db") as db:
        db.execute("UPDATE results SET stored_at = stored_at - 7200 WHERE task_id = ?", (task,))
    pool.start(max_result_bytes=64 * MB, retention={"result_bytes": 1})
    until(lambda: requests.get(pool.url + location, timeout=10).status_code == 410, 30)
    with pytest.raises(ServiceError, match="was removed") as caught:
        Service(pool.url).download(location, pool.folder / "gone.zip", MB)
    assert caught.value.status == 410 and "30 days" in caught.value.hint
    assert '"event": "result_removed"' in pool.log.read_text() and task in pool.log.read_text()
    assert not (data / "results" / location.removeprefix("/ipfs/")).exists()
    assert waiting.upload(open_task, result_zip(b"not finalized")).status_code == 200
    assert requests.get(pool.url + finished(pool, open_task), timeout=10).status_code == 200
