"""What comes beyond the limits is sent away with a time to come again; latencies are counted in their classes."""

from __future__ import annotations

import asyncio
import resource
from typing import Any

import pytest

from poco.errors import BadInputError
from scheduler import load
from scheduler.load import BOUNDS, MAX_CALLS, SPARE_FILES, Gate, Load
from scheduler.web import HttpError


def test_polls_beyond_the_limit_are_sent_away() -> None:
    counted = Load(2)
    with counted.poll(), counted.poll():
        with pytest.raises(HttpError) as refused, counted.poll():
            pass
        assert refused.value.status == 503
        assert refused.value.retry_after is not None
        assert 2 <= refused.value.retry_after <= 10
    with counted.poll():
        assert counted.polls == 1
    assert (counted.polls, counted.sent_away) == (0, 1)


def call(gate: Gate, path: str, method: str = "GET") -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    scope = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b""}
    asyncio.run(gate(scope, receive, send))
    return sent


async def answering(_scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def test_calls_beyond_the_limit_get_503_and_when_to_come_again() -> None:
    counted = Load(10)
    gate = Gate(answering, counted)
    assert call(gate, "/config")[0]["status"] == 200
    counted.calls = MAX_CALLS
    start, body = call(gate, "/config")
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    assert start["status"] == 503
    assert int(headers["retry-after"]) >= 2
    assert b"BUSY" in body["body"]
    assert call(gate, "/poll", "POST")[0]["status"] == 200, "polls have a limit of their own"
    assert counted.calls == MAX_CALLS
    assert counted.answers == {("GET", 2): 1, ("GET", 5): 1, ("POST", 2): 1}


def test_status_updates_are_timed_and_counted_in_classes() -> None:
    counted = Load(10)
    call(Gate(answering, counted), "/tasks/0x01/status", "POST")
    for seconds in (0.001, BOUNDS[-1], BOUNDS[-1] + 1):
        counted.answered("poll", seconds)
    found = counted.histograms()
    assert sum(found["status"][0]) == 1
    classes, total = found["poll"]
    assert (classes[0], classes[-2], classes[-1]) == (1, 1, 1)
    assert total == pytest.approx(0.001 + 2 * BOUNDS[-1] + 1)


def limits(monkeypatch: pytest.MonkeyPatch, soft: int, hard: int) -> list[tuple[int, int]]:
    made: list[tuple[int, int]] = []
    monkeypatch.setattr(load.resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(load.resource, "setrlimit", lambda _, pair: made.append(pair))
    return made


def test_the_limit_of_files_is_raised_as_far_as_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    made = limits(monkeypatch, 1024, resource.RLIM_INFINITY)
    assert load.open_files(5000) == 5000
    assert made == [(5000 + SPARE_FILES, resource.RLIM_INFINITY)]


def test_where_it_cannot_be_raised_fewer_polls_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    made = limits(monkeypatch, 1024, 4000)
    assert load.open_files(5000) == 4000 - SPARE_FILES
    assert made == [(4000, 4000)]


def test_too_few_files_to_begin_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    limits(monkeypatch, 256, 256)
    with pytest.raises(BadInputError) as refused:
        load.open_files(10)
    assert refused.value.code == "FILE_LIMIT"
    assert "ulimit -n" in refused.value.hint
