"""A pool in which all is real but some workers' machinery: Anvil, scheduler, one worker daemon; and a browser."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import docker
import requests

from chain.client import Chain
from chain.transactions import Sender
from ops.browser import Browser, Tab
from poco.energy import entry_line, head_line, profile_line
from poco.wire import QUARTER_S
from scripts.energy_life import live
from tests.integration.scheduler_pool import RLC, ScriptedWorker, until
from tests.integration.whole_pool import RealScheduler, scheduling
from tests.integration.worker_net import Net, Process, network, processes
from worker.energy import EnergyConfig

DAY_S = 86_400
#: What a worker may say, and no page may believe.
EVIL = '"><script>window.hacked = 1</script><img src=x onerror="window.hacked = 2">'
PLACES = {"oslo": (59.91, 10.75), "berlin": (52.52, 13.4), "lyon": (45.76, 4.84), "porto": (41.15, -8.61)}


class Member(ScriptedWorker):
    """A worker that says what the test wants it to say, over the real protocol, once a second."""

    def __init__(self, world: World, name: str, **more: Any) -> None:
        wallet = world.net.actor(name, 20 * RLC)
        call = world.net.chain.rlc.functions.approveAndCall(world.net.chain.deployment.hub, 10 * RLC, b"")
        Sender(world.net.chain, wallet).transact(call)
        place = {"latitude": PLACES[name][0], "longitude": PLACES[name][1]} if name in PLACES else None
        view: Any = SimpleNamespace(
            chain=world.net.chain, address=world.net.pool, url=world.scheduler.url, secrets=set(),
            status=lambda: world.scheduler.get("/status"),
        )  # fmt: skip
        super().__init__(view, wallet, name, site=place, **more)
        self.says: dict[str, Any] = {"presence": "BUSY", "slots": 0}
        self._over = threading.Event()
        self._guard = threading.Lock()

    def keep_saying(self) -> Member:
        """Poll from now on, in a thread."""
        self.join()
        threading.Thread(target=self._polls, daemon=True).start()
        return self

    def say(self, presence: str, **more: Any) -> None:
        """Be so from now on."""
        self.says = {"presence": presence, "slots": int(presence == "WAITING"), **more}

    def fall_silent(self) -> None:
        self._over.set()

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Leave the polls to the test."""
        with self._guard:
            yield

    def _polls(self) -> None:
        while not self._over.wait(0.7):
            with self._guard:
                self.poll(**self.says)


class World:
    """The pool, its scheduler, its workers, and where the browser finds it."""

    def __init__(self, net: Net, scheduler: RealScheduler, make: Callable[..., Process]) -> None:
        self.net, self.scheduler = net, scheduler
        self.url = scheduler.url + "/page"
        self.owner = net.senders["pool"].wallet
        self.members: dict[str, Member] = {}
        self._make = make
        self.voted = self.alone = ""
        self.real: Process | None = None

    def populate(self) -> None:
        """Reach every state there is, by what its workers do."""
        energies = {
            "oslo": {"soc": 0.91, "harvest_w": 14.2, "load_w": 3.1},
            "berlin": {"soc": 0.63, "harvest_w": 8.7, "load_w": 2.4},
            "lyon": {"soc": 0.31, "harvest_w": 0.0, "load_w": 1.2},
            "porto": {"soc": 0.12, "harvest_w": 2.0, "load_w": 1.9},
        }
        for name, energy in energies.items():
            member = self.members[name] = Member(self, name)
            member.say("BUSY", energy={**energy, "decision": EVIL})
            member.keep_saying()
        lost = self.members["lost"] = Member(self, "lost")
        lost.keep_saying()
        self._vote()
        self._work()
        lost.fall_silent()
        self.members["oslo"].say("WAITING", slots=0, energy={**energies["oslo"], "decision": "enough for the night"})
        asleep = {"resume_at": int(time.time()) + 6 * 3600, "energy": energies["lyon"]}
        self.members["lyon"].say("ASLEEP", **asleep)
        self.members["porto"].say("DRAINING", energy=energies["porto"])
        self._days("oslo", "")
        self._days("berlin", EVIL)
        self._publish("oslo", forge=False)
        self._publish("berlin", forge=True)
        until(lambda: self.presence("lost") == "LOST", 60)
        until(lambda: "counting" not in requests.get(f"{self.url}/", timeout=30).text, 60)

    def _vote(self) -> None:
        """A task of trust 3: two workers agree, real transactions."""
        pair = [self.members["oslo"], self.members["berlin"]]
        deal = self.net.deal("sleep 1", trust=3, initialize=False)
        self.voted = deal.task_ids[0]
        with pair[0].quiet(), pair[1].quiet():
            threads = [each.do_later(self.voted) for each in pair]
            for thread in threads:
                thread.join(120)
        assert self.scheduler.status_of(self.voted) == "COMPLETED"

    def _work(self) -> None:
        """A task of trust 1: the daemon runs it in a container."""
        self.real = self._make(
            scheduler_url=self.scheduler.url, name="roof-1", telemetry_seconds=900,
            site={"latitude": 55.68, "longitude": 12.57},
            energy={"soc": 0.9, "battery_wh": 2000, "speed": 600, "start": "2001-06-21T11:00"},
        ).start()  # fmt: skip
        until(lambda: self.presence("roof-1") == "WAITING", 120)
        deal = self.net.deal("sleep 3", trust=1, initialize=False)
        self.alone = deal.task_ids[0]
        until(lambda: self.scheduler.status_of(self.alone) == "COMPLETED", 180)

    def _days(self, name: str, reason: str) -> None:
        """Tell of yesterday by telemetry, as a daemon does."""
        member, day = self.members[name], int(time.time()) // DAY_S - 1
        samples, charge = [], 0.55
        for n in range(96):
            sun = max(0.0, math.sin((n - 22) / 58 * math.pi)) ** 1.3 * (0.5 if 46 < n < 53 else 1)
            load = 1.2 if n < 24 or n > 86 else 2.4 + (n % 5 == 0)
            charge = min(1.0, charge + (sun * 17 - load) / 4 / 110)
            action = "sleep" if n < 24 or n > 86 else "decline" if charge < 0.5 else "run"
            words = {"sleep": "the sun is down", "decline": f"battery at {charge:.0%}, below 50%"}
            samples.append(
                {
                    "at": day * DAY_S + n * QUARTER_S, "harvested_wh": sun * 17 / 4, "consumed_wh": load / 4,
                    "soc": charge, "temperature_c": 12 + 15 * sun, "action": action,
                    "reason": words.get(action, reason or f"battery at {charge:.0%}"), "tasks": n % 2,
                }
            )  # fmt: skip
        with member.quiet():
            member.poll(**{**member.says, "telemetry": samples})

    def _publish(self, name: str, *, forge: bool) -> None:
        """Publish two days of a simulated panel's ledger, signed by that worker; `forge`: more sun than there was."""
        member, contract = self.members[name], self.net.chain.deployment.energy_ledger or ""
        ledger = live(EnergyConfig(start="2001-06-20T19:00"), 2.3, member.wallet, step=900, contract=contract)
        head = [head_line(ledger.worker, ledger.chain_id, ledger.contract)]
        head += [profile_line(profile) for profile in ledger.profiles.values()]
        for day in sorted(ledger.days())[:-1]:
            entries = [entry for entry in ledger.entries if entry.record.day == day]
            if forge:
                noon = max(entries, key=lambda entry: entry.record.harvested)
                lie = replace(noon, record=replace(noon.record, harvested=noon.record.harvested + 3000))
                entries[entries.index(noon)] = lie
            lines = [*head, *(entry_line(entry) for entry in entries)]
            answer = member.call("PUT", f"/workers/me/ledger/{day}", json={"lines": lines})
            assert answer.status_code == 204, answer.text

    def workers(self) -> dict[str, dict[str, Any]]:
        return {each["name"]: each for each in self.scheduler.get("/status")["workers"]}

    def presence(self, name: str) -> str:
        return str(self.workers().get(name, {}).get("presence", ""))

    def wallet_of(self, name: str) -> str:
        return str(self.workers()[name]["wallet"])

    def visit(self, browser: Browser, path: str = "/", width: int = 1280, *, dark: bool = False) -> Tab:
        """A new tab on that page."""
        tab = browser.tab()
        tab.look(width, dark=dark)
        tab.go(self.url + path)
        return tab


@contextmanager
def world(hub: Chain, registry: str, client: docker.DockerClient, folder: Path) -> Iterator[World]:
    """The pool with all that is in it; nothing is left of it."""
    with (
        network(hub, registry, folder) as net,
        scheduling(net, folder / "scheduler", unknown_after=4, lost_after=9) as scheduler,
        processes(net, client) as make,
    ):
        made = World(net, scheduler, make)
        try:
            made.populate()
            yield made
        finally:
            for each in made.members.values():
                each.fall_silent()
