"""The worker's energy: what it measures, what it may spend, and when it sleeps.

    learnt = create_learnt(config)              # EnergyConfig: the `energy` section of the worker's YAML
    power = create_power_source(config, learnt)
    meter, gate = Meter(), create_gate(config, power, learnt)

    power.set_load(Load.COMPUTING, now)         # whenever what the device does changes
    reading = power.read(now)                   # `None` in a reading is unknown, never zero
    records = meter.record(reading)             # quarter hours that became complete
    gate.observe(reading)                       # the forecast learns
    learnt.observe(reading)                     # panel and battery as they are; used at the next start
    decision = gate.decide(now, reading, offer=..., running=..., stakes=...)
    decision.action, decision.reason, decision.until, decision.resume_at

All four have `snapshot() -> dict` (JSON types) and `restore(dict)`. `now` is the worker's clock; `reading.at` and
the records are on the source's clock, which a simulation runs `power.speed` times as fast.
"""

from worker.energy.config import (
    EnergyConfig,
    create_gate,
    create_learnt,
    create_meter,
    create_power_source,
    profile_of,
)
from worker.energy.device import Load
from worker.energy.gate import Gate
from worker.energy.ledger import Book, LedgerConfig
from worker.energy.market import Market
from worker.energy.meter import EnergyRecord, Meter, Totals
from worker.energy.sensing import Sensing
from worker.energy.situation import Action, Decision, GateConfig, Offer, OpenStake, RunningTask
from worker.energy.source import PowerReading, PowerSource

__all__ = [
    "Action",
    "Book",
    "Decision",
    "EnergyConfig",
    "EnergyRecord",
    "Gate",
    "GateConfig",
    "LedgerConfig",
    "Load",
    "Market",
    "Meter",
    "Offer",
    "OpenStake",
    "PowerReading",
    "PowerSource",
    "RunningTask",
    "Sensing",
    "Totals",
    "create_gate",
    "create_learnt",
    "create_meter",
    "create_power_source",
    "profile_of",
]
