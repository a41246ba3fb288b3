"""The audit of an energy ledger: whether it is unaltered, agrees with what was anchored, and is physically plausible.

What it cannot show is said in docs/explanation/positive-energy.md: within these bounds a liar remains undetected.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields

from poco.energy import DAY_S, RECORD_S, RECORDS_A_DAY, UNKNOWN, Claim, Entry, Ledger, Profile, Record, claim_of
from poco.hexes import ZERO_BYTES32
from poco.limits import Plane, elevation, plane_limit

#: Power of a panel over its rating: what tolerance and cold cells can add, at an instant and over a day.
COLD, COLD_DAY = 1.25, 1.15
#: The same with the edge of a cloud beside the sun, over a quarter of an hour.
NAMEPLATE = 1.3
#: So far below the horizon (degrees) even a place rounded to a tenth of a degree is dark.
NIGHT = -3.0
#: What a meter may show of a dark panel, as part of its rating.
DARK = 0.001
#: What gauge and meters may be wrong by: of the capacity for one record and for a day, and of the energy that passed.
GAUGE, GAUGE_DAY, METER = 0.01, 0.02, 0.03
_MONTH_S = 30 * DAY_S

#: Recovers who signed a hash of 32 bytes; BadInputError for what is no signature.
Recover = Callable[[bytes, str], str]


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong: in the entry of that number (from 0), which begins at `start`, or in a whole day (number None)."""

    check: str
    number: int | None
    start: int
    why: str


@dataclass(frozen=True, slots=True)
class Balance:
    """Sums over the last days of a ledger, mWh. `consumed` is measured, `counted` adds unknown time at full power."""

    first_day: int
    last_day: int
    complete: bool
    harvested: int
    consumed: int
    counted: int
    charged: int
    lost: int
    stored: int
    unknown: int

    @property
    def net_positive(self) -> bool:
        """As `EnergyLedger.isNetPositive` over the same days."""
        return self.complete and self.harvested > 0 and self.harvested >= self.counted

    @property
    def surplus(self) -> int:
        """What the sun gave beyond what the device drew; losses and the battery took it."""
        return self.harvested - self.counted


def findings(ledger: Ledger, recover: Recover, anchors: Mapping[int, Claim] | None = None) -> Iterator[Finding]:
    """Everything that is wrong, in the order of the ledger.

    Args:
        anchors: what the chain holds of the worker, by day; None leaves that check out.
    """
    before: Record | None = None
    today: list[Record] = []
    waiting = sorted(anchors or {})
    for number, entry in enumerate(ledger.entries):
        record = entry.record
        if today and record.day != today[0].day:
            yield from _day(today, ledger.profiles, anchors)
            today = []
        while waiting and waiting[0] <= record.day:
            day = waiting.pop(0)
            if day < record.day and (before is None or before.day != day):
                yield Finding(
                    "anchor", None, day * DAY_S, "anchored on the chain, but the ledger shows no record of it"
                )
        for check, why in _entry(ledger, entry, before, recover):
            yield Finding(check, number, record.start, why)
        before = record
        if record.profile in ledger.profiles:
            today.append(record)
    if today:
        yield from _day(today, ledger.profiles, anchors)
    for day in waiting:
        yield Finding("anchor", None, day * DAY_S, "anchored on the chain, but the ledger ends before it")


def balance(ledger: Ledger, days: int) -> Balance | None:
    """The balance of the last `days` full days that are shown; None where none is."""
    by_day = ledger.days()
    full = [day for day, records in by_day.items() if len(records) == RECORDS_A_DAY or day != max(by_day)]
    if not full:
        return None
    last = max(full)
    first = max(last - days + 1, min(full))
    shown = [by_day.get(day, []) for day in range(first, last + 1)]
    claims = [claim_of(day, by_day.get(day, []), ledger.profiles) for day in range(first, last + 1)]
    records = [record for day in shown for record in day]
    known = [s for r in records for s in (r.stored_before, r.stored_after) if s != UNKNOWN]
    return Balance(
        first_day=first,
        last_day=last,
        complete=last - first + 1 == days and all(shown),
        harvested=sum(r.harvested for r in records),
        consumed=sum(r.consumed for r in records),
        counted=sum(claim.consumed for claim in claims),
        charged=sum(r.charged for r in records),
        lost=sum(r.lost for r in records),
        stored=known[-1] - known[0] if known else 0,
        unknown=sum(claim.unknown for claim in claims),
    )


def _entry(ledger: Ledger, entry: Entry, before: Record | None, recover: Recover) -> Iterator[tuple[str, str]]:
    record = entry.record
    profile = ledger.profiles.get(record.profile)
    if profile is None:
        yield "profile", f"its profile {record.profile} is not in the ledger"
        return
    signer = recover(record.signed_hash(ledger.domain), entry.signature)
    if signer != ledger.worker:
        yield "signature", f"signed by {signer} or altered since: it is not what {ledger.worker} signed"
    expected = before.hash if before else ZERO_BYTES32
    if record.previous != expected:
        yield "chain", f"it follows {record.previous[:10]}.., the entry before it is {expected[:10]}.."
    if record.start % RECORD_S or (before and record.start < before.end):
        yield "chain", "it does not begin on a quarter of an hour after the entry before it"
    yield from _bounds(record, profile)
    yield from _sun(record, profile)
    if before and record.start == before.end and UNKNOWN not in (before.stored_after, record.stored_before):
        jump = record.stored_before - before.stored_after
        if jump:
            yield "balance", f"the battery jumps by {_wh(jump)} between two records"
    if record.measured:
        yield from _balance(record, profile)


def _bounds(record: Record, profile: Profile) -> Iterator[tuple[str, str]]:
    if max(record.harvest_unknown, record.load_unknown) > RECORD_S:
        yield "bounds", "more seconds are unknown than there are"
    most = profile.panel * NAMEPLATE * RECORD_S / 3600
    if record.harvested > most:
        yield (
            "nameplate",
            (f"{_wh(record.harvested)} harvested: a panel of {profile.panel / 1000:g} W gives at most {_wh(most)}"),
        )
    draws = profile.max_load * 1.2 * (RECORD_S - record.load_unknown) / 3600
    if record.consumed > draws + 1:
        yield "bounds", f"{_wh(record.consumed)} consumed: the device can draw at most {_wh(draws)}"
    if max(record.stored_before, record.stored_after) > 1.1 * profile.battery:
        yield "bounds", f"{_wh(max(record.stored_before, record.stored_after))} are more than the battery holds"
    if min(record.stored_before, record.stored_after) < UNKNOWN:
        yield "bounds", "a negative energy is stored"


def _sun(record: Record, profile: Profile) -> Iterator[tuple[str, str]]:
    plane = plane_of(profile)
    instants = (record.start, record.start + RECORD_S // 2, record.end)
    highest = max(elevation(at, plane) for at in instants)
    if highest < NIGHT:
        if record.harvested > profile.panel * DARK * RECORD_S / 3600 + 1:
            yield (
                "night",
                (f"{_wh(record.harvested)} harvested while the sun was {-highest:.0f} degrees below the horizon"),
            )
        return
    limit = max(plane_limit(at, plane) for at in instants)
    most = profile.panel * limit / 1000 * COLD * RECORD_S / 3600
    if record.harvested > most:
        yield (
            "possible",
            (
                f"{_wh(record.harvested)} harvested: no sky gives this panel more than {_wh(most)} "
                f"with the sun at {highest:.0f} degrees (BSRN, physically possible)"
            ),
        )


def _balance(record: Record, profile: Profile) -> Iterator[tuple[str, str]]:
    if record.lost != record.surplus:
        yield (
            "balance",
            (
                f"harvested + charged - consumed - change of stored is {_wh(record.surplus)}, "
                f"the record says that {_wh(record.lost)} were lost"
            ),
        )
        return
    yield from _losses([record], profile, GAUGE)


def _losses(records: Sequence[Record], profile: Profile, gauge: float) -> Iterator[tuple[str, str]]:
    """Losses must be what such a battery loses, within what gauge and meters may be wrong by."""
    lost = sum(r.lost for r in records)
    given, drawn = sum(r.harvested + r.charged for r in records), sum(r.consumed for r in records)
    tolerance = gauge * profile.battery + METER * (given + drawn)
    converted = given * (1 - profile.charge_efficiency / 1000) + drawn * (1000 / profile.discharge_efficiency - 1)
    leaked = profile.battery * profile.self_discharge / 1000 * RECORD_S * len(records) / _MONTH_S
    if lost < -tolerance:
        yield "balance", f"{_wh(-lost)} more were drawn or stored than came in; {_wh(tolerance)} may be error"
    elif lost > converted + leaked + tolerance:
        yield (
            "balance",
            (
                f"{_wh(lost)} are unaccounted for: this battery loses at most {_wh(converted + leaked)} of it, "
                f"{_wh(tolerance)} may be error"
            ),
        )


def _day(records: list[Record], profiles: dict[str, Profile], anchors: Mapping[int, Claim] | None) -> Iterator[Finding]:
    day, profile = records[0].day, profiles[records[-1].profile]
    at = day * DAY_S
    if all(r.profile == records[0].profile for r in records):
        for check, why in _losses([r for r in records if r.measured], profile, GAUGE_DAY):
            yield Finding(check, None, at, f"over the day {why}")
    plane = plane_of(profile)
    limit = sum(plane_limit(r.start + RECORD_S / 2, plane, rare=True) for r in records)
    most = profile.panel * limit / 1000 * COLD_DAY * RECORD_S / 3600
    harvested = sum(r.harvested for r in records)
    if harvested > most:
        yield Finding("rare", None, at, f"{_wh(harvested)} in a day: more than {_wh(most)} is extremely rare (BSRN)")
    if anchors is not None and day in anchors:
        ours, theirs = claim_of(day, records, profiles), anchors[day]
        wrong = [f.name for f in fields(Claim) if getattr(ours, f.name) != getattr(theirs, f.name)]
        if wrong:
            yield Finding("anchor", None, at, f"not what was anchored on the chain: {', '.join(wrong)} differ")


def plane_of(profile: Profile) -> Plane:
    """Where the panel of a profile stands, and how."""
    return Plane(profile.latitude / 100, profile.longitude / 100, profile.tilt, profile.azimuth)


def _wh(mwh: float) -> str:
    return f"{mwh / 1000:.2f} Wh"
