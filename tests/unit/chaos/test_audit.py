"""The audit of the crash campaign: whatever is wrong on a chain, or left on this machine, is found."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from chain.model import Account, Contribution, Event, Task
from poco.states import ChainTaskStatus as C
from poco.states import ContributionStatus as S
from tests.chaos.audit import Auditor, Findings, processes_below
from tests.chaos.requester import APP_PRICE, PRICE

WORKER, LIAR, REQUESTER, POOL = ("0x" + digit * 40 for digit in "abcd")
TASK, DEAL = "0x" + "1" * 64, "0x" + "2" * 64
COST, PAY, MONEY = PRICE + APP_PRICE, 900, 10_000


def event(name: str, **args: object) -> Event:
    return Event(name, args, 5, "0x" + "0" * 64, "0x" + "0" * 64, 0)


@dataclass
class History:
    """A chain on which one worker has done one task; what is changed must be found."""

    events: list[Event] = field(default_factory=lambda: [
        event("SchedulerNotice", workerpool=POOL, dealid=DEAL),
        event("Seize", owner=REQUESTER, ref=TASK, amount=COST),
        event("Reward", owner=WORKER, ref=TASK, amount=PAY),
        event("TaskFinalize", taskid=TASK),
    ])  # fmt: skip
    task: Task = field(
        default_factory=lambda: Task(TASK, C.COMPLETED, DEAL, 0, 30, 1, 2, 3, "", 1, 1, (WORKER,), "", b"")
    )
    proved: S = S.PROVED
    money: int = MONEY + PAY
    locked: int = 0
    containers: list[Any] = field(default_factory=list)

    def judged(self, stubborn: tuple[str, ...] = ()) -> Findings:
        chain = SimpleNamespace(
            deployment=SimpleNamespace(block=0),
            block_number=lambda: 10,
            logs=lambda first, last, names: [e for e in self.events if e.name in names and first <= e.block <= last],
            deal=lambda _id: SimpleNamespace(task_ids=[TASK], has_dataset=False),
            task=lambda _id: self.task,
            contribution=lambda _task, _worker: Contribution(self.proved, "", "", "", 1),
            account=lambda _who: Account(self.money - self.locked, self.locked),
            rlc_balance=lambda _who: 0,
        )
        wallets = {name: SimpleNamespace(address=where) for name, where in
                   (("worker-1", WORKER), ("lazy", LIAR), ("requester", REQUESTER))}  # fmt: skip
        world: Any = SimpleNamespace(
            chain=chain, wallets=wallets, names=["worker-1"], pool=POOL, initial={WORKER: MONEY},
            containers=lambda: self.containers,
        )  # fmt: skip
        self.auditor = Auditor(world)
        return self.auditor.at_the_end(list(stubborn))


def test_a_good_history_has_no_findings() -> None:
    history = History()
    assert not history.judged().any()
    assert history.auditor.ended == {"COMPLETED": 1}


def without(name: str) -> list[Event]:
    return [one for one in History().events if one.name != name]


def twice(name: str) -> list[Event]:
    return [*History().events, *(one for one in History().events if one.name == name)]


@pytest.mark.parametrize(("what", "changed"), [
    ("stakes_lost", {"events": [*History().events, event("Seize", owner=WORKER, ref=TASK, amount=1)]}),
    ("stakes_lost", {"money": MONEY + PAY - 1}),
    ("unpaid", {"events": without("Reward"), "money": MONEY}),
    ("unpaid", {"events": without("Seize")}),
    ("double_paid", {"events": twice("Reward"), "money": MONEY + 2 * PAY}),
    ("double_paid", {"events": twice("Seize")}),
    ("double_paid", {"events": twice("TaskFinalize")}),
    ("double_paid", {"money": MONEY + PAY + 1}),
    ("stuck", {"task": replace(History().task, status=C.ACTIVE)}),
    ("stuck", {"task": replace(History().task, status=C.REVEALING)}),
    ("stuck", {"locked": 5}),
    ("orphans", {"containers": [SimpleNamespace(labels={"pew.worker": WORKER}, name="left", status="exited")]}),
])  # fmt: skip
def test_what_is_wrong_is_found(what: str, changed: dict[str, Any]) -> None:
    assert History(**changed).judged().counts()[what]


def test_a_liar_may_lose_and_a_process_that_stays_is_found() -> None:
    seized = event("Seize", owner=LIAR, ref=TASK, amount=50)
    assert not History(events=[*History().events, seized]).judged().any()
    assert History().judged(("worker-1",)).orphans


def test_processes_that_outlive_their_daemons_are_found(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "import time; time.sleep(60)", str(tmp_path / "worker-1")]
    child = subprocess.Popen(argv, start_new_session=True)
    try:
        assert [line.split()[1] for line in processes_below(tmp_path, {os.getpid()})] == [str(child.pid)]
        assert processes_below(tmp_path, {os.getpid(), child.pid}) == []
    finally:
        child.kill()
        child.wait()
