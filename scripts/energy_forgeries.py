"""An honest energy ledger and forged ones, each handed to the audit: `python -m scripts.energy_forgeries`.

Writes them into build/energy/, so that `pew energy verify build/energy/<name>.jsonl --offline` can be tried on each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from eth_account import Account

from chain.wallet import Wallet, recover_digest
from poco.audit import Finding, findings, plane_of
from poco.energy import DAY_S, Claim, Entry, Ledger, Record, claim_of, dump
from poco.hexes import ZERO_BYTES32
from poco.limits import elevation
from scripts.energy_life import live
from sdk.energy.report import in_words
from worker.energy import EnergyConfig

FOLDER = Path(__file__).resolve().parent.parent / "build" / "energy"
DAYS = 14


@dataclass(frozen=True)
class Forger:
    """Someone with a ledger and its owner's key, which most forgeries need: the liar is the worker itself."""

    ledger: Ledger
    wallet: Wallet

    def with_entries(self, entries: list[Entry]) -> Ledger:
        return replace(self.ledger, entries=entries)

    def rewritten(self, number: int, change: Callable[[Record], Record]) -> Ledger:
        """One record changed, it and all after it chained and signed anew."""
        entries = list(self.ledger.entries[:number])
        previous = entries[-1].record.hash if entries else ZERO_BYTES32
        for at, entry in enumerate(self.ledger.entries[number:], number):
            record = replace(change(entry.record) if at == number else entry.record, previous=previous)
            entries.append(Entry(record, self.wallet.sign_digest(record.signed_hash(self.ledger.domain))))
            previous = record.hash
        return self.with_entries(entries)

    def where(self, wanted: Callable[[float], bool]) -> int:
        """The first record of the last two days whose sun stands as wanted (degrees above the horizon)."""
        start = self.ledger.entries[-1].record.end - 2 * DAY_S
        profile = next(iter(self.ledger.profiles.values()))
        plane = plane_of(profile)
        return next(
            number
            for number, entry in enumerate(self.ledger.entries)
            if entry.record.start >= start and wanted(elevation(entry.record.start + 450, plane))
        )


def _altered(f: Forger) -> tuple[Ledger, int | None]:
    n = f.where(lambda e: e > 30)
    entries = list(f.ledger.entries)
    entries[n] = replace(entries[n], record=replace(entries[n].record, consumed=entries[n].record.consumed // 2))
    return f.with_entries(entries), n


def _foreign(f: Forger) -> tuple[Ledger, int | None]:
    n = f.where(lambda e: e > 30)
    entries, other = list(f.ledger.entries), Wallet(Account.from_key("0x" + "22" * 32))
    digest = entries[n].record.signed_hash(f.ledger.domain)
    entries[n] = replace(entries[n], signature=other.sign_digest(digest))
    return f.with_entries(entries), n


def _removed(f: Forger) -> tuple[Ledger, int | None]:
    n = f.where(lambda e: e < -20)
    return f.with_entries([*f.ledger.entries[:n], *f.ledger.entries[n + 1 :]]), n


def _reordered(f: Forger) -> tuple[Ledger, int | None]:
    n = f.where(lambda e: e > 20)
    entries = list(f.ledger.entries)
    entries[n], entries[n + 1] = entries[n + 1], entries[n]
    return f.with_entries(entries), n


def _nameplate(f: Forger) -> tuple[Ledger, int | None]:
    n = f.where(lambda e: e > 40)
    return f.rewritten(n, lambda r: replace(r, harvested=3 * r.harvested + 30_000).balanced()), n


def _impossible(f: Forger) -> tuple[Ledger, int | None]:
    n = f.where(lambda e: 0 < e < 3)
    most = next(iter(f.ledger.profiles.values())).panel // 4
    return f.rewritten(n, lambda r: replace(r, harvested=most).balanced()), n


def _at_night(f: Forger) -> tuple[Ledger, int | None]:
    n = f.where(lambda e: e < -20)
    return f.rewritten(n, lambda r: replace(r, harvested=1_500).balanced()), n


def _unbalanced(f: Forger) -> tuple[Ledger, int | None]:
    n = f.where(lambda e: e > 30)
    return f.rewritten(n, lambda r: replace(r, consumed=r.consumed // 2)), n


def _lossy(f: Forger) -> tuple[Ledger, int | None]:
    """The load is understated; what it drew is called a loss."""
    n = f.where(lambda e: e < -20)
    return f.rewritten(
        n, lambda r: replace(r, harvested=0, consumed=0, stored_after=r.stored_before - 8_000).balanced()
    ), n


def _unlike_the_anchor(f: Forger) -> tuple[Ledger, int | None]:
    """A little less load, within what a meter may be wrong by: only the chain knows."""
    n = f.where(lambda e: e > 30)
    return f.rewritten(n, lambda r: replace(r, consumed=r.consumed - 100).balanced()), None


#: What is done, how, and the check that must find it.
FORGERIES: dict[str, tuple[str, str, Callable[[Forger], tuple[Ledger, int | None]]]] = {
    "altered": ("a record is altered, its signature kept", "signature", _altered),
    "foreign": ("a record is signed by another key", "signature", _foreign),
    "removed": ("a record is left out", "chain", _removed),
    "reordered": ("two records are swapped", "chain", _reordered),
    "nameplate": ("more than the panel can give, all signed anew", "nameplate", _nameplate),
    "impossible": ("more than the sky can give at sunrise, all signed anew", "possible", _impossible),
    "night": ("sun at night, all signed anew", "night", _at_night),
    "unbalanced": ("half of the load is hidden, all signed anew", "balance", _unbalanced),
    "losses": ("a load is called a loss, all signed anew", "balance", _lossy),
    "anchor": ("another ledger than the anchored one, all signed anew", "anchor", _unlike_the_anchor),
}


def honest(days: int = DAYS) -> Forger:
    """A worker's ledger over some weeks of spring, by simulator and gate."""
    wallet = Wallet(Account.from_key("0x" + "11" * 32))
    return Forger(live(EnergyConfig(start="2001-03-01T00:00"), days, wallet), wallet)


def anchors_of(ledger: Ledger) -> dict[int, Claim]:
    """What the worker would have anchored."""
    days = ledger.days()
    return {day: claim_of(day, days[day], ledger.profiles) for day in sorted(days)[:-1]}


@cache
def _recover(digest: bytes, signature: str) -> str:
    """Most records are the same in all of them."""
    return recover_digest(digest, signature)


def first(ledger: Ledger, anchors: dict[int, Claim]) -> Finding | None:
    """The first bad entry."""
    return next(findings(ledger, _recover, anchors), None)


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    forger = honest()
    anchors = anchors_of(forger.ledger)
    for name, what, ledger, number in _all(forger):
        (FOLDER / f"{name}.jsonl").write_text("".join(f"{line}\n" for line in dump(ledger)))
        found = first(ledger, anchors)
        said = "accepted" if found is None else in_words(found)
        print(f"{name:<11} {what}{'' if number is None else f' (entry {number})'}\n            -> {said}")


def _all(forger: Forger) -> Iterator[tuple[str, str, Ledger, int | None]]:
    yield "honest", f"{len(forger.ledger.entries)} records as they were measured", forger.ledger, None
    for name, (what, _, forge) in FORGERIES.items():
        yield name, what, *forge(forger)


if __name__ == "__main__":
    main()
