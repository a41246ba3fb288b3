"""How long the last steps are tried again: often while a stake waits for its reveal, patiently otherwise."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable

import pytest

from chain.client import ChainUnreachableError
from poco.errors import BadInputError, Cause
from worker.chain import RefusalError
from worker.core import Happened, Replicate, about
from worker.finishing import persist
from worker.log import Log
from worker.table import Stage, What

LATER = time.time() + 1e6


class Stop(threading.Event):
    """Nobody waits: pauses are noted, and it is set after `limit` of them."""

    def __init__(self, limit: int = 1000) -> None:
        super().__init__()
        self.pauses: list[float] = []
        self._limit = limit

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.pauses.append(timeout)
        if len(self.pauses) >= self._limit:
            self.set()
        return self.is_set()


def replicate(stage: Stage) -> Replicate:
    return Replicate(
        task_id="0x" + "11" * 32,
        run=1,
        stage=stage,
        deal_id="0x" + "22" * 32,
        index=0,
        authorization="0x",
        enclave_challenge="0x" + "00" * 20,
    )


def failing(times: int, work: Replicate, error: Exception) -> Callable[[], Happened]:
    left = iter(range(times))

    def call() -> Happened:
        if next(left, None) is not None:
            raise error
        return about(work, What.REVEALED)

    return call


def gone() -> ChainUnreachableError:
    return ChainUnreachableError("no node answers")


@pytest.mark.parametrize(("stage", "most"), [(Stage.REVEALING, 2), (Stage.CONTRIBUTING, 30)])
def test_pauses_grow_to_what_the_stage_can_bear(stage: Stage, most: float) -> None:
    work, stop = replicate(stage), Stop()
    happened = persist(Log(io.StringIO()), work, stop, LATER, failing(40, work, gone()))
    assert happened == about(work, What.REVEALED)
    assert len(stop.pauses) == 40
    assert stop.pauses[0] <= 0.5
    assert most / 2 <= max(stop.pauses[10:]) <= most


def test_a_reveal_is_tried_thirty_times_a_minute_and_more() -> None:
    work, stop = replicate(Stage.REVEALING), Stop()
    persist(Log(io.StringIO()), work, stop, LATER, failing(30, work, gone()))
    assert sum(stop.pauses) <= 60


def test_what_was_not_sent_is_given_up_when_it_is_of_no_use() -> None:
    work, stop = replicate(Stage.CONTRIBUTING), Stop(3)
    assert persist(Log(io.StringIO()), work, stop, LATER, failing(10, work, gone())) is None
    assert len(stop.pauses) == 3


def test_what_was_sent_is_followed_whatever_stop_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    work, stop = replicate(Stage.REVEALING), Stop(3)
    happened = persist(Log(io.StringIO()), work, stop, LATER, failing(10, work, gone()), committed=lambda: True)
    assert happened == about(work, What.REVEALED)


def test_after_its_time_the_trouble_is_told() -> None:
    work = replicate(Stage.REVEALING)
    with pytest.raises(RefusalError, match="no node answers") as raised:
        persist(Log(io.StringIO()), work, Stop(), time.time() - 1, failing(1, work, gone()))
    assert raised.value.cause is Cause.INTERNAL_ERROR


def test_a_failure_that_does_not_pass_is_told_at_once() -> None:
    work, stop = replicate(Stage.REVEALING), Stop()
    with pytest.raises(BadInputError):
        persist(Log(io.StringIO()), work, stop, LATER, failing(1, work, BadInputError("no", code="NOT_VERIFIED")))
    assert stop.pauses == []
