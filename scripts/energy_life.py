"""The life of a simulated worker, quicker than life: what it measures and decides, kept as an energy ledger."""

from __future__ import annotations

from random import Random
from typing import Protocol

from poco.energy import Ledger, domain
from worker.energy import Action, Book, EnergyConfig, Load, Offer, create_gate, create_meter, create_power_source
from worker.energy import profile_of as profile

#: A chain and a contract for ledgers that no chain has seen.
CHAIN_ID, CONTRACT = 1337, "0x000000000000000000000000000000000000dEaD"
#: Offers in an hour, and how long their tasks take (hours).
OFFERS_PER_H = 0.5
LENGTHS_H = (0.5, 1.0, 3.0)


class Signs(Protocol):
    """A wallet, as far as a ledger needs one."""

    @property
    def address(self) -> str: ...

    def sign_digest(self, digest: bytes, /) -> str: ...


def live(
    config: EnergyConfig, days: float, wallet: Signs, *, step: int = 300, seed: int = 1, contract: str = CONTRACT
) -> Ledger:
    """Let a worker live for some days and keep its ledger.

    Args:
        config: panel, battery, place and record; its `speed` is left aside.
        wallet: signs.
        step: seconds between two looks.
        seed: of the offers, which come at random.
    """
    config = config.model_copy(update={"speed": 1.0})
    power = create_power_source(config)
    meter, gate = create_meter(config), create_gate(config, power)
    book = Book(profile(config, power), wallet.sign_digest, domain(CHAIN_ID, contract), None)
    ledger = Ledger(wallet.address, CHAIN_ID, contract, {book.profile.hash: book.profile})
    chance = Random(seed)  # noqa: S311
    now = start = round(power.read(0).at)
    end, busy_until, doing = now + round(days * 86_400), 0, ""
    while now <= end:
        reading = power.read(now - start)
        gate.observe(reading)
        quarters = meter.record(reading)
        if quarters:
            entries = book.extend(quarters)
            book.kept(entries)
            ledger.entries += entries
        decision = gate.decide(now, reading)
        if now >= busy_until and decision.action is Action.RUN and chance.random() < OFFERS_PER_H * step / 3600:
            offer = Offer(f"0x{now:064x}", 3600.0 * chance.choice(LENGTHS_H), round(chance.lognormvariate(7.0, 0.6)))
            decision = gate.decide(now, reading, offer=offer)
            if decision.action is Action.RUN:
                busy_until = now + int(offer.seconds)
                ledger.notes.append({"at": now, "kind": "task", "task": offer.task_id, "running": True})
                ledger.notes.append({"at": busy_until, "kind": "task", "task": offer.task_id, "running": False})
        if decision.action != doing:
            doing = decision.action
            note = {"at": now, "kind": "decision", "action": doing.value, "reason": decision.reason}
            ledger.notes.append(note)
        asleep = doing is Action.SLEEP
        power.set_load(Load.ASLEEP if asleep else Load.COMPUTING if now < busy_until else Load.IDLE, now - start)
        now += step
    return ledger
