"""All of it together: workers, pool and chain of a scenario, let run, and what came out."""

from __future__ import annotations

import resource
import sys
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

from scheduler import model as m
from simulator import orders, skies
from simulator.clock import Clock
from simulator.device import Device
from simulator.figures import Figures, quantile, rounded, spread
from simulator.hub import Hub
from simulator.pool import Pool
from simulator.scenario import Scenario
from simulator.sharing import SharedForecaster, SharedPlanner
from simulator.skies import Sky
from worker.energy.battery import Battery
from worker.energy.device import board
from worker.energy.forecast import Forecaster
from worker.energy.gate import Gate
from worker.energy.planner import Planner, Table, create_planner
from worker.energy.source import PowerReading

_HOUR_S, _DAY_S = 3600.0, 86_400.0
_CHUNK_S = 6 * _HOUR_S
STATES = ("computing", "idle", "asleep", "off")


class World:
    """One run.

    Args:
        share: whether workers share what is the same for them; changes nothing but the time it takes.
    """

    def __init__(self, scenario: Scenario, *, share: bool = True) -> None:
        self.scenario = scenario
        self.start = skies.begin_of(scenario.sites[0], scenario.start)
        self.clock = Clock(self.start)
        self.hub = Hub(scenario.terms)
        self.figures = Figures()
        self.pool = Pool(self.clock, self.hub, scenario.terms, self._moved)
        self._tables: dict[int, tuple[Table, Table]] = {}
        self._share = share
        self.orders = orders.make(scenario)
        self.devices = self._devices()
        self.initially_wh = sum(d.reading.stored_wh or 0.0 for d in self.devices)
        self._before: dict[str, float] = {"finished": 0, "failed": 0, **self._energies()}

    def _devices(self) -> list[Device]:
        scenario, machine = self.scenario, self.scenario.machine
        above = [skies.skies_of(site, machine, self.start) for site in scenario.sites]
        chance = Random(f"{scenario.seed}/workers")  # noqa: S311
        whole = sum(site.share for site in scenario.sites)
        known = {o.kind.app_name: o.run_seconds for o in self.orders} if scenario.terms.experienced else {}
        found = []
        for number in range(scenario.workers):
            place, limit = 0, scenario.sites[0].share
            while place < len(above) - 1 and (number + 0.5) * whole / scenario.workers >= limit:
                place += 1
                limit += scenario.sites[place].share
            sky = above[place][number % len(above[place])]
            soc = min(1.0, max(0.0, machine.soc + machine.soc_spread * (2.0 * chance.random() - 1.0)))
            wallet = f"0x{number + 1:040x}"
            device = Device(
                wallet, scenario, sky=sky, board=board(machine.board), gate=self._gate(sky), soc=soc,
                phase=chance.random(), known_seconds=known, clock=self.clock, hub=self.hub, pool=self.pool,
            )  # fmt: skip
            self.pool.join(device, f"owner {number // scenario.terms.workers_per_owner}")
            found.append(device)
        return found

    def _gate(self, sky: Sky) -> Gate:
        config, machine = self.scenario.gate, self.scenario.machine
        battery, device = Battery(machine.battery_wh), board(machine.board)
        planner: Planner | None = create_planner(config, battery, device, sky.panel)
        if planner is not None and self._share and config.market is not None:
            planner = SharedPlanner(
                battery,
                device,
                config.market,
                sky.clear_sky_w,
                sky.panel.longitude,
                wear_nrlc_per_wh=config.wear_nrlc_per_wh,
                nap_s=config.nap_s,
            ).share(self._tables)
        forecaster = SharedForecaster(sky.panel, sky.clear) if self._share else Forecaster(sky.panel)
        return Gate(config, battery, device, forecaster, planner=planner, speed=self.scenario.speed)

    def run(self, progress: Callable[[float], None] = lambda _: None) -> Figures:
        """Live through it.

        Args:
            progress: is told, now and then, which share of the time is over.
        """
        seconds = self.scenario.days * _DAY_S / self.scenario.speed
        end = self.start + seconds
        for order in self.orders:
            self.clock.at(self.start + order.at, self._ordered, order)
        self.clock.after(0.0, self._sample)
        hours = 1
        while self.clock.now < end:
            self.clock.run(min(end, self.start + hours * _CHUNK_S / self.scenario.speed))
            hours += 1
            progress((self.clock.now - self.start) / seconds)
        for device in self.devices:
            device.settle()
        self._close_day()
        return self.figures

    # --- what is counted

    def _ordered(self, order: orders.Order) -> None:
        self.figures.ordered += 1
        self.pool.order(order)

    def _moved(self, before: m.Task, event: m.Event, after: m.Task, over: bool) -> None:
        self.figures.moved(before, event, after)
        if over:
            self.figures.over(after, self.clock.now - self.start - self.pool.orders[after.id].at)

    def _sample(self) -> None:
        """Each hour of the sun how all are; each day what it brought."""
        hours = self.figures.hours
        if hours and len(hours) % 24 == 0:
            self._close_day()
        states = Counter(device.doing for device in self.devices)
        charge = 0.0
        for device in self.devices:
            if not device.on:
                device.settle()
            charge += self._reading_of(device).battery_soc or 0.0
        hours.append({**{state: float(states[state]) for state in STATES}, "soc": charge / len(self.devices)})
        self.clock.after(_HOUR_S / self.scenario.speed, self._sample)

    def _reading_of(self, device: Device) -> PowerReading:
        return device.reading if device.on else device.source.read(self.clock.now)

    def _energies(self) -> dict[str, float]:
        totals = [device.source.total for device in self.devices]
        return {
            "harvested_wh": sum(t.harvested_wh for t in totals),
            "consumed_wh": sum(t.consumed_wh for t in totals),
            "wasted_wh": sum(t.curtailed_wh for t in totals),
            "lost_wh": sum(t.lost_wh for t in totals),
            "brown_outs": float(sum(t.brown_outs for t in totals)),
        }

    def _close_day(self) -> None:
        now = {"finished": self.figures.finished, "failed": self.figures.failed, **self._energies()}
        self.figures.days.append({name: value - self._before[name] for name, value in now.items()})
        self._before = now

    def result(self) -> dict[str, Any]:
        """Everything as JSON types; energies Wh, times seconds, amounts nRLC."""
        figures, devices, hub, scenario = self.figures, self.devices, self.hub, self.scenario
        energy, accounts = self._energies(), list(hub.accounts.values())
        over = figures.finished + figures.failed
        declined: Counter[str] = Counter()
        spent: Counter[str] = Counter()
        for device in devices:
            declined.update(device.declined)
            spent.update(device.spent)
        lived = sum(spent.values()) or 1.0
        browns, quantiles = int(energy.pop("brown_outs")), figures.latencies and range(100)
        browned = [float(device.source.total.brown_outs) for device in devices]
        return dict(rounded({
            "workers": scenario.workers, "days": scenario.days, "seed": scenario.seed,
            "machine": scenario.machine.model_dump(),
            "sites": [site.model_dump() for site in scenario.sites],
            "tasks": {
                "ordered": figures.ordered, "finished": figures.finished, "failed": figures.failed,
                "open": figures.ordered - over, "in_time": figures.finished / over if over else None,
                "offers": sum(device.offers for device in devices), "declined": dict(sorted(declined.items())),
                "replicates_ended": dict(sorted(figures.causes.items())), "leases": self.pool.leases,
            },
            "latency": {
                "p50": quantile(figures.latencies, 0.5), "p99": quantile(figures.latencies, 0.99),
                "mean": sum(figures.latencies) / over if figures.latencies else None,
            },
            "money": {
                "rewards": sum(a.earned for a in accounts), "gas": sum(a.gas for a in accounts),
                "stakes_lost": sum(a.seized for a in accounts), "scheduler": hub.scheduler,
                "per_worker": spread([float(a.earned) for a in accounts]),
                "locked": sum(a.locked for a in accounts), "transactions": dict(sorted(self.pool.transactions.items())),
            },
            "energy": {
                **energy, "stored_change_wh": sum(d.source.read(self.clock.now).stored_wh or 0.0 for d in devices)
                - self.initially_wh,
                "per_task_wh": energy["consumed_wh"] / figures.finished if figures.finished else None,
                "brown_outs": browns, "brown_outs_per_worker": spread(browned),
                "wakes": sum(device.wakes for device in devices),
                "computed_hours": sum(device.computed_s for device in devices) * scenario.speed / 3600.0,
            },
            "time": {state: spent[state] / lived for state in STATES},
            "rewards_by_worker": [a.earned for a in accounts],
            "days_by_day": figures.days, "hours_by_hour": figures.hours,
            "latencies": spread(figures.latencies),
            "latency_quantiles": [quantile(figures.latencies, k / 100) for k in quantiles],
        }))  # fmt: skip


def memory_mb() -> float:
    """The most that this process has held so far, MB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1024.0 * 1024.0 if sys.platform == "darwin" else 1024.0)
