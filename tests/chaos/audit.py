"""What must hold, read from the chain and from this machine, never from the daemons' own databases."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from chain.model import Event, Task
from poco.states import ChainTaskStatus as C
from poco.states import ContributionStatus
from tests.chaos.requester import APP_PRICE, DATA_PRICE, PRICE
from tests.chaos.world import World

#: So long after a task's final deadline its end must be on the chain.
CLAIM_SECONDS = 120
_SPAN = 2000


@dataclass
class Findings:
    """What was wrong; each line names the task or worker. All empty: nothing was."""

    stakes_lost: list[str] = field(default_factory=list)
    unpaid: list[str] = field(default_factory=list)
    double_paid: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)

    def counts(self) -> dict[str, int]:
        return {name: len(lines) for name, lines in asdict(self).items()}

    def any(self) -> bool:
        return any(self.counts().values())

    def add(self, other: Findings) -> None:
        for name, lines in asdict(other).items():
            mine = getattr(self, name)
            mine += [line for line in lines if line not in mine]


def processes_below(folder: Path, known: Collection[int]) -> list[str]:
    """Processes that were told of something in that folder, beside the known and the rest of their sessions."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in known:
            continue
        with suppress(OSError):  # it has just ended
            if os.getsid(int(entry.name)) in known:
                continue
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if any(word.startswith(f"{folder}/") for word in words):
                found.append(f"process {entry.name} {' '.join(words)[:120]}")
    return found


@dataclass
class Auditor:
    """Looks at a world's chain and containers."""

    world: World
    ended: Counter[str] = field(default_factory=Counter)

    def events(self) -> list[Event]:
        """All that the hub has said, in order, as the chain has it now."""
        chain = self.world.chain
        first, last = chain.deployment.block, chain.block_number()
        names = ["SchedulerNotice", "Reward", "Seize", "TaskFinalize", "TaskClaimed"]
        found: list[Event] = []
        while first <= last:
            found += chain.logs(first, min(first + _SPAN - 1, last), names)
            first += _SPAN
        return found

    def tasks(self, events: list[Event]) -> list[Task]:
        """Every task of every deal with the pool that the chain holds."""
        chain, found = self.world.chain, []
        for event in events:
            if event.name == "SchedulerNotice" and event.args["workerpool"] == self.world.pool:
                deal = chain.deal(str(event.args["dealid"]))
                found += [chain.task(each) for each in deal.task_ids]
        return found

    def during(self) -> Findings:
        """What must hold at every instant."""
        found, honest = Findings(), self._honest()
        for event in self.events():
            if event.name == "Seize" and event.args["owner"] in honest:
                found.stakes_lost.append(f"{honest[event.args['owner']]} in task {event.args['ref']}")
        running = Counter((one.labels["pew.worker"], one.labels.get("pew.task")) for one in self.world.containers())
        for (worker, task), count in running.items():
            if count > 1:
                found.orphans.append(f"{count} containers of task {task} at {honest.get(worker, worker)}")
        return found

    def at_the_end(self, stubborn: list[str]) -> Findings:
        """What must hold when every task had its time and every daemon was asked to end."""
        found, honest = self.during(), self._honest()
        events = self.events()
        rewards: Counter[str] = Counter()
        self.ended.clear()
        for event in events:
            if event.name == "Reward":
                rewards[str(event.args["owner"])] += int(event.args["amount"])
        for task in self.tasks(events):
            self.ended[task.status.name] += 1
            self._judge(task, [e for e in events if task.id in (e.args.get("ref"), e.args.get("taskid"))], found)
        for address, name in honest.items():
            account = self.world.chain.account(address)
            there = account.stake + account.locked + self.world.chain.rlc_balance(address)
            due = self.world.initial[address] + rewards[address]
            if there < due:
                found.stakes_lost.append(f"{name} has {there} nRLC, {due} are its own")
            if there > due:
                found.double_paid.append(f"{name} has {there} nRLC, {due} are its own")
            if account.locked:
                found.stuck.append(f"{name} has {account.locked} nRLC locked, and no task is open")
        found.orphans += [f"process {name} did not end" for name in stubborn]
        found.orphans += [f"container {one.name}, {one.status}" for one in self.world.containers()]
        return found

    def _judge(self, task: Task, events: list[Event], found: Findings) -> None:
        """Whether a task has ended, and who was paid how often."""
        ends = Counter(event.name for event in events)
        if task.status not in (C.COMPLETED, C.FAILED):
            found.stuck.append(f"task {task.id} is {task.status.name}, its final deadline {task.final_deadline}")
            return
        paid = Counter(str(e.args["owner"]) for e in events if e.name == "Reward" and int(e.args["amount"]))
        chain = self.world.chain
        for worker in task.contributors:
            proved = chain.contribution(task.id, worker).status is ContributionStatus.PROVED
            if task.status is C.COMPLETED and proved and not paid[worker]:
                found.unpaid.append(f"task {task.id}: {worker} was paid nothing")
        charged = [int(e.args["amount"]) for e in events if self._charges(e)]
        price = self._price(task)
        wanted = [price] if task.status is C.COMPLETED else []
        if sum(charged) < sum(wanted):
            found.unpaid.append(f"task {task.id}: the requester was charged {charged}, the price is {price}")
        twice = [who for who, count in paid.items() if count > 1 and who in task.contributors]
        if sum(charged) > sum(wanted) or ends["TaskFinalize"] + ends["TaskClaimed"] != 1 or twice:
            found.double_paid.append(f"task {task.id}: charged {charged}, ends {dict(ends)}, twice {twice}")

    def _price(self, task: Task) -> int:
        deal = self.world.chain.deal(task.deal_id)
        return PRICE + APP_PRICE + (DATA_PRICE if deal.has_dataset else 0)

    def _charges(self, event: Event) -> bool:
        return event.name == "Seize" and event.args["owner"] == self.world.wallets["requester"].address

    def _honest(self) -> dict[str, str]:
        return {self.world.wallets[name].address: name for name in self.world.names}

    def open_until(self, rested: float) -> float | None:
        """When the last open task must have ended, if the faults ended at `rested`; None where all have."""
        latest = None
        chain = self.world.chain
        for event in self.events():
            if event.name != "SchedulerNotice" or event.args["workerpool"] != self.world.pool:
                continue
            deal = chain.deal(str(event.args["dealid"]))
            for task_id in deal.task_ids:
                task = chain.task(task_id)
                if task.status not in (C.COMPLETED, C.FAILED):
                    final = deal.deadlines(chain.category(deal.category).seconds).final
                    latest = max(latest or 0, max(final, rested) + CLAIM_SECONDS)
        return latest
