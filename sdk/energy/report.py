"""The outcome of an audit, for people and for programs."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any

from poco.audit import Balance, Finding, balance, findings
from poco.energy import DAY_S, RECORD_S, Claim, Ledger

#: Energy that went into making a solar worker's parts, kWh for a kWp of panel, a kWh of battery, a board with its box.
#: Orders of magnitude: docs/explanation/positive-energy.md names the studies.
EMBODIED_PANEL, EMBODIED_BATTERY, EMBODIED_BOARD = 5_000.0, 330.0, 150.0
_YEAR_DAYS = 365.25


@dataclass(frozen=True, slots=True)
class Report:
    """A ledger, what is wrong with it, and its balance over a window of days."""

    ledger: Ledger
    window: int
    found: list[Finding]
    balance: Balance | None
    anchored: int | None

    @property
    def good(self) -> bool:
        return not self.found

    @property
    def simulated(self) -> bool:
        return any(profile.simulated for profile in self.ledger.profiles.values())

    def payback_years(self) -> float | None:
        """Years until the surplus has given back what the parts took to make; None where there is no surplus."""
        if self.balance is None or not self.ledger.entries or self.balance.surplus <= 0:
            return None
        profile = self.ledger.profiles[self.ledger.entries[-1].record.profile]
        embodied = (
            EMBODIED_PANEL * profile.panel / 1e6 + EMBODIED_BATTERY * profile.battery / 1e6 + EMBODIED_BOARD
        )  # panel mW and battery mWh to kW and kWh
        days = self.balance.last_day - self.balance.first_day + 1
        return embodied / (self.balance.surplus / 1e6 / days * _YEAR_DAYS)

    def as_json(self) -> dict[str, Any]:
        entries = self.ledger.entries
        summed = self.balance
        return {
            "worker": self.ledger.worker,
            "good": self.good,
            "simulated": self.simulated,
            "records": len(entries),
            "first": entries[0].record.start if entries else None,
            "last": entries[-1].record.end if entries else None,
            "anchored_days": self.anchored,
            "findings": [asdict(finding) for finding in self.found],
            "window_days": self.window,
            "net_positive": summed.net_positive if summed else False,
            "balance_mwh": {**asdict(summed), "surplus": summed.surplus} if summed else None,
            "payback_years": self.payback_years(),
        }

    def lines(self) -> list[str]:
        entries = self.ledger.entries
        if not entries:
            return [f"worker {self.ledger.worker}: no records"]
        first, last = entries[0].record.start, entries[-1].record.end
        lines = [
            f"worker    {self.ledger.worker}",
            f"records   {len(entries)} quarter hours, {_instant(first)} to {_instant(last)}",
            f"profile   {self._profile()}",
            "anchored  " + ("not looked at" if self.anchored is None else f"{self.anchored} days on the chain"),
        ]
        if self.found:
            lines += [f"BAD       {in_words(self.found[0])}"]
            if len(self.found) > 1:
                lines.append(f"          and {len(self.found) - 1} more (--json names all)")
        else:
            lines.append("good      signatures, chain, balance, nameplate, nights and BSRN limits: nothing found")
        return [*lines, *self.balance_lines()]

    def _profile(self) -> str:
        p = self.ledger.profiles.get(self.ledger.entries[-1].record.profile)
        if p is None:
            return "missing"
        said = f"{p.panel / 1000:g} Wp at {p.latitude / 100:.1f} {p.longitude / 100:.1f}, tilt {p.tilt} to {p.azimuth}"
        more = f", one of {len(self.ledger.profiles)}" if len(self.ledger.profiles) > 1 else ""
        return f"{p.source}, {said}, battery {p.battery / 1000:g} Wh{more}"

    def balance_lines(self) -> list[str]:
        b = self.balance
        if b is None:
            return ["balance   no full day yet"]
        days = b.last_day - b.first_day + 1
        ratio = f"{b.harvested / b.counted:.2f}" if b.counted else "-"
        verdict = "net positive" if b.net_positive else "not net positive" if b.complete else "too short a ledger"
        payback = self.payback_years()
        lines = [
            f"balance   {days} of {self.window} days to {_day(b.last_day * DAY_S)}: {verdict}",
            f"  sun              {_wh(b.harvested)}  {ratio} of the load",
            f"  load             {_wh(b.counted)}  of which {_wh(b.counted - b.consumed).strip()} for"
            f" {b.unknown / RECORD_S / 4:.1f} h unknown",
            f"  mains            {_wh(b.charged)}",
            f"  change of stored {_wh(b.stored)}",
            f"  losses           {_wh(b.lost)}",
            f"  surplus          {_wh(b.surplus)}  sun less load",
            "  payback          "
            + (f"{payback:8.1f} years for what its parts took to make (rough)" if payback else "       - no surplus"),
        ]
        if self.simulated:
            lines.append("simulated: a model's figures, nothing was measured")
        return lines


def audit(ledger: Ledger, window: int, anchors: dict[int, Claim] | None = None) -> Report:
    """Look at everything there is to see."""
    from chain.wallet import recover_digest

    found = list(findings(ledger, recover_digest, anchors))
    return Report(ledger, window, found, balance(ledger, window), None if anchors is None else len(anchors))


def _wh(mwh: int) -> str:
    return f"{mwh / 1000:10.1f} Wh"


def in_words(found: Finding) -> str:
    """Which entry or day it is, which check it failed, and why."""
    where = f"day {_day(found.start)}" if found.number is None else f"entry {found.number}, {_instant(found.start)}"
    return f"{where}: {found.check}: {found.why}"


def _instant(seconds: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds)) + " UTC"


def _day(seconds: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))
