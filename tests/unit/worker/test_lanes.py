"""Lanes: one effect at a time for a task, in order, many tasks at once."""

from __future__ import annotations

import threading
import time
from collections import defaultdict

from poco.hexes import ZERO_ADDRESS
from worker.core import Replicate
from worker.lanes import Job, Lanes
from worker.table import Do


def replicate(number: int, run: int = 1) -> Replicate:
    return Replicate(
        task_id="0x" + f"{number:064x}", run=run, deal_id="0x" + "22" * 32, index=0, authorization="0x" + "44" * 65,
        enclave_challenge=ZERO_ADDRESS,
    )  # fmt: skip


class Recorder:
    def __init__(self, seconds: float = 0.01) -> None:
        self.seconds = seconds
        self.lock = threading.Lock()
        self.running: dict[str, int] = defaultdict(int)
        self.most = 0
        self.done: list[tuple[str, Do]] = []
        self.overlap = False

    def __call__(self, job: Job) -> None:
        task = job.replicate.task_id
        with self.lock:
            self.running[task] += 1
            self.overlap |= self.running[task] > 1
            self.most = max(self.most, sum(self.running.values()))
        job.stop.wait(self.seconds)
        with self.lock:
            self.running[task] -= 1
            self.done.append((task, job.do))

    def wait(self, count: int) -> None:
        end = time.monotonic() + 10
        while len(self.done) < count and time.monotonic() < end:
            time.sleep(0.005)
        assert len(self.done) == count


def test_order_within_a_task_and_many_tasks_at_once() -> None:
    record = Recorder()
    lanes = Lanes(4, record)
    lanes.start()
    steps = [Do.PULL, Do.FETCH, Do.RUN, Do.PROVE]
    for do in steps:
        for number in range(8):
            lanes.submit(do, replicate(number))
    record.wait(32)
    assert not record.overlap
    assert 1 < record.most <= 4
    for number in range(8):
        task = replicate(number).task_id
        assert [do for other, do in record.done if other == task] == steps
    lanes.close()


def test_cancel_stops_what_runs_and_forgets_what_waits() -> None:
    record = Recorder(seconds=30)
    lanes = Lanes(2, record)
    lanes.start()
    one = replicate(1)
    lanes.submit(Do.RUN, one)
    lanes.submit(Do.PROVE, one)
    time.sleep(0.1)
    lanes.cancel(one.task_id)
    lanes.submit(Do.CLEAN, one)
    record.seconds = 0.01
    record.wait(2)
    assert [do for _, do in record.done] == [Do.RUN, Do.CLEAN]
    lanes.close()


def test_what_must_be_followed_to_its_end_is_stopped_and_not_forgotten() -> None:
    stopped: list[tuple[Do, bool]] = []
    lanes = Lanes(1, lambda job: stopped.append((job.do, job.stop.is_set())), followed=frozenset({Do.CONTRIBUTE}))
    one = replicate(1)
    lanes.submit(Do.CHECK, one)
    lanes.submit(Do.CONTRIBUTE, one)
    lanes.cancel(one.task_id)
    lanes.start()
    end = time.monotonic() + 5
    while not stopped and time.monotonic() < end:
        time.sleep(0.005)
    lanes.close()
    assert stopped == [(Do.CONTRIBUTE, True)]


def test_what_waits_already_is_not_queued_twice() -> None:
    record = Recorder(seconds=0.2)
    lanes = Lanes(1, record)
    lanes.start()
    lanes.submit(Do.CHECK, replicate(1))
    time.sleep(0.05)
    for _ in range(5):
        lanes.submit(Do.CHECK, replicate(1))
    record.wait(2)
    time.sleep(0.3)
    assert len(record.done) == 2
    lanes.close()


def test_cancel_and_submit_in_a_hurry() -> None:
    record = Recorder(seconds=0.0)
    lanes = Lanes(3, record)
    lanes.start()
    for number in range(300):
        lanes.submit(Do.RUN, replicate(number % 5))
        if number % 3 == 0:
            lanes.cancel(replicate(number % 5).task_id)
    lanes.submit(Do.CLEAN, replicate(99))
    end = time.monotonic() + 5
    while (replicate(99).task_id, Do.CLEAN) not in record.done and time.monotonic() < end:
        time.sleep(0.01)
    assert (replicate(99).task_id, Do.CLEAN) in record.done
    assert not record.overlap
    lanes.close()


def test_whatever_hangs_a_reveal_finds_a_thread() -> None:
    hang = threading.Event()
    done: list[Do] = []

    def perform(job: Job) -> None:
        if job.do is Do.UPLOAD:
            hang.wait(10)
        done.append(job.do)

    lanes = Lanes(2, perform, reserved=1, urgent=frozenset({Do.REVEAL}))
    lanes.start()
    for number in range(6):
        lanes.submit(Do.UPLOAD, replicate(number))
    lanes.submit(Do.REVEAL, replicate(9))
    end = time.monotonic() + 5
    while not done and time.monotonic() < end:
        time.sleep(0.01)
    assert done == [Do.REVEAL]
    hang.set()
    end = time.monotonic() + 5
    while len(done) < 7 and time.monotonic() < end:
        time.sleep(0.01)
    assert len(done) == 7
    lanes.close()
