"""The worker's own ledger: quarter hours as the meter hands them out become signed records, one chained to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from poco.energy import UNKNOWN, Entry, Profile, Record
from poco.hexes import ZERO_BYTES32
from poco.orders import Domain
from worker.energy.meter import EnergyRecord


class LedgerConfig(BaseModel):
    """What becomes of the ledger."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    anchor: Literal["daily", "off"] = Field("daily", description="write each day's root and sums to the chain")
    publish: bool = Field(True, description="give each day's records to the scheduler, where anyone may audit them")
    unknown_load_w: float | None = Field(
        None, gt=0, le=1000, description="power at which time without a measured load counts; default: all it can draw"
    )

    @field_validator("anchor", mode="before")
    @classmethod
    def _as_word(cls, value: object) -> object:
        """YAML reads `off` as false."""
        return "off" if value is False else value


class Book:
    """The end of the chain. `extend` makes entries, `kept` is told once they are on disk.

    Args:
        profile: what measures, from now on.
        sign: signs a hash of 32 bytes with the worker's key.
        where: the domain of the chain's ledger.
        last: the last record on disk.
    """

    def __init__(self, profile: Profile, sign: Callable[[bytes], str], where: Domain, last: Record | None) -> None:
        self.profile = profile
        self._sign = sign
        self._where = where
        self._last = last

    def extend(self, quarters: Iterable[EnergyRecord]) -> list[Entry]:
        """Signed records for those quarter hours that come after the last record; nothing is told twice.

        The same quarters give the same entries again (RFC 6979), so that what a crash undid is done as before.
        """
        last, entries = self._last, []
        for quarter in quarters:
            if last is not None and quarter.start < last.end:
                continue
            last = record_of(quarter, last, self.profile.hash)
            entries.append(Entry(last, self._sign(last.signed_hash(self._where))))
        return entries

    def kept(self, entries: Sequence[Entry]) -> None:
        """They are in the journal."""
        if entries:
            self._last = entries[-1].record


def record_of(quarter: EnergyRecord, before: Record | None, profile: str) -> Record:
    """A quarter of an hour in integers, chained to the record before it."""
    harvested, consumed, charged = (_mwh(e) for e in (quarter.harvested_wh, quarter.consumed_wh, quarter.charged_wh))
    follows = before is not None and before.end == quarter.start
    stored_before = before.stored_after if before is not None and follows else UNKNOWN
    stored_after = UNKNOWN if quarter.stored_wh is None else _mwh(quarter.stored_wh)
    record = Record(
        previous=before.hash if before is not None else ZERO_BYTES32,
        profile=profile,
        start=quarter.start,
        harvested=harvested,
        consumed=consumed,
        charged=charged,
        lost=0,
        stored_before=stored_before,
        stored_after=stored_after,
        harvest_unknown=round(quarter.harvest_unknown_s),
        load_unknown=round(quarter.load_unknown_s),
    )
    return record.balanced()


def _mwh(energy_wh: float) -> int:
    return max(0, round(energy_wh * 1000.0))
