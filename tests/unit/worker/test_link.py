"""The link against an HTTP server that says what it likes."""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from chain import wallet as keystores
from chain.wallet import Wallet, recover_typed
from poco.errors import BadInputError
from poco.states import Presence, ReplicateStatus
from poco.wire import Poll, StatusUpdate, WorkerInfo, login_typed_data
from worker.link import Backoff, Link, SchedulerDownError, SchedulerRefusedError

HUB, POOL, OTHER = "0x" + "11" * 20, "0x" + "22" * 20, "0x" + "33" * 20
TASK, NONCE = "0x" + "44" * 32, "0x" + "55" * 32
CONFIG = {"protocol": 1, "chain_id": 1337, "hub": HUB, "workerpool": POOL, "scheduler": OTHER, "poll_seconds": 20}
POLL = Poll(presence=Presence.WAITING, free_slots=1, acked=0, wait_seconds=1)
Answer = Callable[[str, str, bytes], tuple[int, Any]]


class Scripted:
    """Answers as `say` tells; remembers what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, bytes]] = []
        self.logins = 0
        self.say: Answer = lambda *_: (404, {"error": "NO", "message": "no"})
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def handle(self) -> None:
                with contextlib.suppress(ConnectionError):
                    super().handle()

            def do_GET(self) -> None:
                self._any()

            def do_POST(self) -> None:
                self._any()

            def do_PUT(self) -> None:
                self._any()

            def _any(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                token = self.headers.get("Authorization", "").removeprefix("Bearer ")
                outer.asked.append((self.path, token, body))
                status, answer = outer.answer(self.path, token, body)
                raw = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(raw)))
                self.send_header("Location", "http://127.0.0.1:9/elsewhere")
                self.end_headers()
                self.wfile.write(raw)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, path: str, token: str, body: bytes) -> tuple[int, Any]:
        if path == "/login/challenge":
            return 200, {"nonce": NONCE, "expires": 2_000_000_000}
        if path == "/login":
            self.logins += 1
            return 200, {"token": f"token-{self.logins:020d}", "expires": 2_000_000_000}
        return self.say(path, token, body)


@pytest.fixture(scope="module")
def wallet(tmp_path_factory: pytest.TempPathFactory) -> Wallet:
    return keystores.create(tmp_path_factory.mktemp("w") / "k.json", "p", iterations=1024)


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    made = Scripted()
    yield made
    made.server.shutdown()


@pytest.fixture
def link(scripted: Scripted, wallet: Wallet) -> Link:
    return Link(scripted.url, wallet, 1337, HUB, POOL)


def test_login_signs_for_this_pool_and_wallet(link: Link, scripted: Scripted, wallet: Wallet) -> None:
    scripted.say = lambda *_: (204, b"")
    link.register(WorkerInfo(name="w", platforms=["linux/arm/v7"], cpus=1, memory_mb=1, disk_mb=1))
    paths = [path for path, _, _ in scripted.asked]
    assert paths == ["/login/challenge", "/login", "/workers/me"]
    said = json.loads(scripted.asked[1][2])
    typed = login_typed_data(1337, POOL, wallet.address, NONCE, 2_000_000_000)
    assert recover_typed(typed, said["signature"]) == wallet.address
    assert scripted.asked[2][1] == "token-" + "1".zfill(20)


def test_a_session_that_ended_is_renewed_once(link: Link, scripted: Scripted) -> None:
    first = "token-" + "1".zfill(20)
    fine = {"notifications": [], "server_time": 1}
    scripted.say = lambda _p, token, _b: (200, fine) if token != first else (401, {"error": "LOGIN", "message": "m"})
    assert link.poll(POLL).notifications == []
    assert scripted.logins == 2
    scripted.say = lambda *_: (401, {"error": "LOGIN", "message": "m"})
    with pytest.raises(SchedulerDownError, match="does not accept"):
        link.poll(POLL)


@pytest.mark.parametrize(
    "answer",
    [
        (200, b"not json"),
        (200, {"notifications": [], "server_time": 1, "more": 1}),
        (200, {"notifications": [{"seq": -1, "type": "START", "task_id": TASK, "data": {}}], "server_time": 1}),
        (200, {"notifications": [{"seq": 1, "type": "FLY", "task_id": TASK, "data": {}}], "server_time": 1}),
        (200, b"x" * 5_000_000),
        (500, b""),
        (503, {"error": "E", "message": "m"}),
        (429, b""),
    ],
)
def test_nonsense_and_trouble_are_for_later(link: Link, scripted: Scripted, answer: tuple[int, Any]) -> None:
    scripted.say = lambda *_: answer
    with pytest.raises(SchedulerDownError):
        link.poll(POLL)


def test_a_redirect_is_not_followed(link: Link, scripted: Scripted) -> None:
    scripted.say = lambda *_: (302, b"")
    with pytest.raises(SchedulerRefusedError) as caught:
        link.poll(POLL)
    assert caught.value.status == 302


def test_refusals_are_told_in_the_schedulers_words(link: Link, scripted: Scripted) -> None:
    scripted.say = lambda *_: (409, {"error": "OTHER_RESULT", "message": "the zip has another digest", "hint": "h"})
    with pytest.raises(SchedulerRefusedError) as caught:
        link.report(TASK, StatusUpdate(status=ReplicateStatus.STARTED, at=1))
    error = caught.value
    assert (error.status, error.code, error.message, error.hint) == (
        409, "OTHER_RESULT", "the zip has another digest", "h",
    )  # fmt: skip
    scripted.say = lambda *_: (404, b"<html>")
    with pytest.raises(SchedulerRefusedError, match="HTTP 404"):
        link.report(TASK, StatusUpdate(status=ReplicateStatus.STARTED, at=1))


def test_nobody_there(wallet: Wallet) -> None:
    with pytest.raises(SchedulerDownError, match="does not answer"):
        Link("http://127.0.0.1:9", wallet, 1337, HUB, POOL).config()


@pytest.mark.parametrize("wrong", [{"workerpool": OTHER}, {"hub": OTHER}, {"chain_id": 1}, {"protocol": 2}])
def test_another_pool_or_protocol_is_refused(link: Link, scripted: Scripted, wrong: dict[str, Any]) -> None:
    scripted.say = lambda *_: (200, CONFIG)
    assert link.config().scheduler == OTHER
    scripted.say = lambda *_: (200, {**CONFIG, **wrong})
    with pytest.raises(BadInputError):
        link.config()


class Shelf:
    """Takes uploads piece by piece, as a scheduler does."""

    def __init__(self, size: int, had: bytes = b"") -> None:
        self.size, self.held = size, bytearray(had)
        self.asked: list[str] = []
        self.refuse: list[tuple[int, Any]] = []

    def __call__(self, path: str, _token: str, body: bytes) -> tuple[int, Any]:
        if body and self.refuse:
            return self.refuse.pop(0)
        if body:
            self.held += body
        else:
            self.asked.append(path)
        done = len(self.held) == self.size
        return 200, {"offset": len(self.held), **({"location": "/ipfs/cid"} if done else {})}


def test_a_result_goes_on_where_the_scheduler_has_it(link: Link, scripted: Scripted, tmp_path: Path) -> None:
    content = bytes(range(256)) * 70_000
    archive = tmp_path / "z.zip"
    archive.write_bytes(content)
    scripted.say = shelf = Shelf(len(content), content[:1_000_000])
    told: list[int] = []
    assert link.upload(TASK, archive, lambda: False, told=told.append).location == "/ipfs/cid"
    assert bytes(shelf.held) == content
    assert told[0] == 1_000_000 and told[-1] == len(content) and len(told) == 3, "two pieces"
    sha256 = hashlib.sha256(content).hexdigest()
    assert shelf.asked == [f"/results/{TASK}?size={len(content)}&sha256={sha256}"]
    began = time.monotonic()
    scripted.say = Shelf(len(content))
    with pytest.raises(SchedulerDownError):
        link.upload(TASK, archive, lambda: True)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("code", ["NOT_REVEALED", "UPLOAD_BUSY", "WRONG_OFFSET", "BAD_CHECKSUM"])
def test_refusals_of_an_upload_that_pass_are_for_later(
    link: Link, scripted: Scripted, tmp_path: Path, code: str
) -> None:
    archive = tmp_path / "z.zip"
    archive.write_bytes(b"zip")
    scripted.say = shelf = Shelf(3)
    shelf.refuse = [(409, {"error": code, "message": "not now"})]
    with pytest.raises(SchedulerDownError, match="not now"):
        link.upload(TASK, archive, lambda: False)
    assert link.upload(TASK, archive, lambda: False).location == "/ipfs/cid"


def test_a_scheduler_that_takes_everything_and_wants_more(link: Link, scripted: Scripted, tmp_path: Path) -> None:
    archive = tmp_path / "z.zip"
    archive.write_bytes(b"zip")
    scripted.say = lambda *_: (200, {"offset": 3})
    with pytest.raises(SchedulerDownError, match="wants more"):
        link.upload(TASK, archive, lambda: False)
    scripted.say = lambda *_: (404, {"error": "NO_SUCH_TASK", "message": "no"})
    with pytest.raises(SchedulerRefusedError):
        link.upload(TASK, archive, lambda: False)


def test_a_scheduler_that_takes_pieces_and_keeps_none(link: Link, scripted: Scripted, tmp_path: Path) -> None:
    """Who sends for ever sends past every deadline."""
    archive = tmp_path / "z.zip"
    archive.write_bytes(b"zip")
    scripted.say = lambda *_: (200, {"offset": 0}) if len(scripted.asked) < 50 else (404, b"")
    with pytest.raises(SchedulerDownError, match="still has 0"):
        link.upload(TASK, archive, lambda: False)


@pytest.mark.parametrize("path", ["/login/challenge", "/login"])
def test_a_refused_login_loses_nothing_that_is_to_be_told(
    link: Link, scripted: Scripted, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """A challenge that has expired, or a wallet that is let in later: the report is not what was refused."""
    usual = scripted.answer

    def closed(asked: str, token: str, body: bytes) -> tuple[int, Any]:
        return (401, {"error": "LOGIN", "message": "expired"}) if asked == path else usual(asked, token, body)

    monkeypatch.setattr(scripted, "answer", closed)
    scripted.say = lambda *_: (200, {"verdict": "OK"})
    started = StatusUpdate(status=ReplicateStatus.STARTED, at=1)
    with pytest.raises(SchedulerDownError, match="refuses the login: expired"):
        link.report(TASK, started)
    with pytest.raises(SchedulerRefusedError):
        link.login()
    monkeypatch.setattr(scripted, "answer", usual)
    assert link.report(TASK, started).verdict == "OK"


def test_pauses_grow_with_jitter_up_to_a_limit() -> None:
    pauses = Backoff(1, 8, random.Random(1))  # noqa: S311
    seen = [pauses.pause() for _ in range(6)]
    for pause, most in zip(seen, (1, 2, 4, 8, 8, 8), strict=True):
        assert most / 2 <= pause <= most
    pauses.reset()
    assert pauses.pause() <= 1
