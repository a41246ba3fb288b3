"""Logs for a requester: what is signed, what is shown, and what a scheduler may not do to a terminal."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from chain import wallet as wallets
from chain.model import Deal, Part
from chain.wallet import Wallet, recover_typed
from poco.errors import BadInputError, PewError
from poco.hexes import ZERO_ADDRESS, ZERO_BYTES32
from sdk.service import Service, ServiceError
from sdk.tasklogs import TaskLogs

POOL, WORKER, TASK = "0x" + "22" * 20, "0x" + "11" * 20, "0x" + "33" * 32
Say = Callable[[str, dict[str, str]], tuple[int, Any]]


def challenge(pool: str = POOL, **changes: Any) -> dict[str, Any]:
    fields = ("name", "string"), ("version", "string"), ("chainId", "uint256")
    return {
        "types": {
            "EIP712Domain": [{"name": name, "type": kind} for name, kind in fields],
            "Challenge": [{"name": "challenge", "type": "string"}],
        },
        "primaryType": "Challenge",
        "domain": {"name": "iExec Core", "version": "1", "chainId": 134},
        "message": {"challenge": f"read logs of my tasks in pool {pool}: abc"},
        **changes,
    }


class Played:
    """A scheduler that says what the test wants."""

    def __init__(self) -> None:
        self.logs: list[dict[str, Any]] = []
        self.status = ["RUNNING"]
        self.challenge = challenge()
        self.signed: list[str] = []
        self.asked: list[str] = []
        self.unauthorized = 0

    def answer(self, path: str, headers: dict[str, str]) -> tuple[int, Any]:
        self.asked.append(path)
        if path.startswith("/tasks/logs/challenge"):
            return 200, self.challenge
        if path == f"/tasks/{TASK}":
            status = self.status.pop(0) if len(self.status) > 1 else self.status[0]
            return 200, {"currentStatus": status, "replicates": [{"walletAddress": WORKER}]}
        self.signed.append(headers.get("Authorization", ""))
        if self.unauthorized:
            self.unauthorized -= 1
            return 401, {"error": "CHALLENGE", "message": "too old"}
        if not self.logs:
            return 404, {"error": "NO_LOGS", "message": "none yet"}
        return 200, self.logs.pop(0)


@pytest.fixture
def played() -> Iterator[tuple[Played, Service]]:
    made = Played()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            status, answer = made.answer(self.path, dict(self.headers))
            raw = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield made, Service(f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def me(tmp_path_factory: pytest.TempPathFactory) -> Wallet:
    return wallets.create(tmp_path_factory.mktemp("w") / "me.json", "x", iterations=1024)


def deal(requester: str) -> Deal:
    pool, none = Part(POOL, ZERO_ADDRESS, 0), Part(ZERO_ADDRESS, ZERO_ADDRESS, 0)
    where = (requester, requester, ZERO_ADDRESS)
    return Deal("0x" + "44" * 32, none, none, pool, 1, 0, ZERO_BYTES32, *where, "", 0, 0, 1, 0, 1, ZERO_ADDRESS)


def said(out: str, at: int = 0, *, over: bool = False) -> dict[str, Any]:
    offsets = {"stdoutOffset": at, "stderrOffset": 0}
    return {"walletAddress": WORKER, "stdout": out, "stderr": "", **offsets, "over": over}


def test_pieces_come_once_and_to_the_end(played: tuple[Played, Service], me: Wallet) -> None:
    made, service = played
    made.status = ["RUNNING", "RUNNING", "RUNNING", "RUNNING", "COMPLETED"]
    made.logs = [said("one "), said("t\x1b]wo", 4), said("end", 100, over=True)]
    made.unauthorized = 1
    pieces = list(TaskLogs(service, me, deal(me.address), TASK, 134).follow(lambda _seconds: None))
    assert [piece.stdout for piece in pieces] == ["one ", "t\ufffd]wo", "end"]
    assert [piece.stdout_left_out for piece in pieces] == [0, 0, 91]
    assert pieces[-1].over
    asked = [path.partition("?")[2] for path in made.asked if "/replicates/" in path]
    assert asked == ["stdout=0&stderr=0", "stdout=0&stderr=0", "stdout=4&stderr=0", "stdout=9&stderr=0"]
    _, signature, wallet = made.signed[-1].split("_")
    assert wallet == me.address and recover_typed(challenge(), signature) == me.address


@pytest.mark.parametrize(
    "changes",
    [
        {"pool": WORKER},
        {"domain": {"name": "iExecODB", "version": "5.0.0", "chainId": 134}},
        {"domain": {"name": "iExec Core", "version": "1", "chainId": 1}},
        {"primaryType": "RequestOrder"},
        {"types": {"Challenge": [{"name": "challenge", "type": "string"}]}},
        {"message": {"challenge": f"read {POOL}: x" + "y" * 600}},
        {"message": {}},
    ],
)
def test_nothing_else_is_signed(played: tuple[Played, Service], me: Wallet, changes: dict[str, Any]) -> None:
    made, service = played
    made.challenge = challenge(**changes)
    with pytest.raises(PewError, match="not about the logs"):
        TaskLogs(service, me, deal(me.address), TASK, 134).read()
    assert not made.signed


def test_who_is_not_the_requester_does_not_ask(played: tuple[Played, Service], me: Wallet) -> None:
    made, service = played
    with pytest.raises(BadInputError, match="only"):
        TaskLogs(service, me, deal(WORKER), TASK, 134)
    assert not made.asked


def test_nonsense_is_said(played: tuple[Played, Service], me: Wallet) -> None:
    made, service = played
    made.logs = [{"stdout": "x"}]
    with pytest.raises(ServiceError, match="not what a scheduler"):
        TaskLogs(service, me, deal(me.address), TASK, 134).read()
    made.unauthorized = 2
    with pytest.raises(ServiceError, match="too old"):
        TaskLogs(service, me, deal(me.address), TASK, 134).read()


def test_a_download_goes_on_where_it_broke_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.unit.worker.files_server import DATA, Answer, serving

    monkeypatch.setattr("sdk.service._PAUSE_SECONDS", 0.0)
    with serving() as files:
        files.play = {
            "/cut": [Answer(cut=300_000), Answer(cut=300_000), Answer()],
            "/changed": [Answer(cut=1000), Answer(DATA[::-1], etag='"two"')],
            "/never": [Answer(cut=1000, ranges=False)],
            "/unmarked": [Answer(cut=1000, etag="")],
        }
        service = Service(files.url)
        service.download("/cut", tmp_path / "got", 2**21)
        assert (tmp_path / "got").read_bytes() == DATA
        begun = [int(asked.removeprefix("bytes=").rstrip("-") or 0) for _, asked in files.asked]
        assert len(begun) == 3 and 200_000 < begun[1] <= 300_000 and 400_000 < begun[2] <= 600_000
        service.download("/changed", tmp_path / "other", 2**21)
        assert (tmp_path / "other").read_bytes() == DATA[::-1]
        for path in ("/never", "/unmarked"):
            with pytest.raises(ServiceError):
                service.download(path, tmp_path / "none", 2**21)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["got", "other"]
