"""Audits of the ledgers that workers publish, for the page: one at a time, in a process of its own with low priority.

`python -m scheduler.page.audit FOLDER WORKER DAYS` prints the outcome as JSON. What the chain holds is not asked here:
`pew energy verify` compares that too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from poco import audit
from poco.energy import parse
from scheduler.ledgers import Ledgers
from scheduler.log import log

#: An audit that takes longer is given up, seconds; and how many workers' outcomes are kept.
MOST_SECONDS, KEPT = 300, 2000
#: Days over which the balance is drawn where the pool has declared none.
WINDOW = 30


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an audit found; energies in Wh. `trouble`: why there is none."""

    days: int
    records: int = 0
    first: int | None = None
    last: int | None = None
    findings: int = 0
    worst: str = ""
    simulated: bool = False
    harvested: float | None = None
    counted: float | None = None
    charged: float | None = None
    net_positive: bool | None = None
    window: int = WINDOW
    trouble: str = ""


class Audits:
    """Outcomes by worker, made when they are first asked for and when there is a new day."""

    def __init__(self, ledgers: Ledgers) -> None:
        self._ledgers = ledgers
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, tuple[str, Outcome | None]] = OrderedDict()
        self._auditor = ThreadPoolExecutor(1, thread_name_prefix="audit")

    def outcome(self, wallet: str) -> tuple[int, Outcome | None]:
        """How many days that worker has published, and what their audit said; None while it is being made."""
        days = self._ledgers.days(wallet)
        if not days:
            return 0, None
        mark = f"{days[0]}-{days[-1]}-{len(days)}"
        with self._lock:
            known = self._kept.get(wallet)
            if known is not None and known[0] == mark:
                return len(days), known[1]
            if known is not None and known[1] is None:
                return len(days), None  # being made
            self._kept[wallet] = (mark, None)
            self._kept.move_to_end(wallet)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        self._auditor.submit(self._make, wallet, mark, len(days))
        return len(days), None

    def stop(self) -> None:
        """Begin no further audit."""
        self._auditor.shutdown(wait=False, cancel_futures=True)

    def _make(self, wallet: str, mark: str, days: int) -> None:
        outcome = _audited(self._ledgers.folder_of(wallet), days)
        if outcome.trouble:
            log("audit", level="warning", worker=wallet, trouble=outcome.trouble)
        with self._lock:
            self._kept[wallet] = (mark, outcome)


def _audited(folder: Path, days: int) -> Outcome:
    command = [sys.executable, "-m", "scheduler.page.audit", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=MOST_SECONDS, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return Outcome(days, trouble=f"it could not be audited: {type(error).__name__}")
    if done.returncode:
        return Outcome(days, trouble=f"it cannot be read: {done.stderr.strip()[-300:]}")
    return Outcome(days, **json.loads(done.stdout))


def examine(folder: Path) -> dict[str, Any]:
    """The audit of all days in a folder, as `Outcome` takes it.

    Raises:
        BadInputError: they are no ledger.
    """
    from chain.wallet import recover_digest

    ledger = parse(_lines(folder))
    found = list(audit.findings(ledger, recover_digest))
    summed = audit.balance(ledger, WINDOW)
    entries = ledger.entries
    said: dict[str, Any] = {
        "records": len(entries),
        "first": entries[0].record.start if entries else None,
        "last": entries[-1].record.end if entries else None,
        "findings": len(found),
        "worst": f"{found[0].check}: {found[0].why}"[:300] if found else "",
        "simulated": any(profile.simulated for profile in ledger.profiles.values()),
    }
    if summed is not None:
        said |= {
            "harvested": summed.harvested / 1000,
            "counted": summed.counted / 1000,
            "charged": summed.charged / 1000,
            "net_positive": summed.net_positive if summed.complete else None,
            "window": summed.last_day - summed.first_day + 1,
        }
    return said


def _lines(folder: Path) -> Iterator[str]:
    for path in sorted(folder.glob("*.jsonl")):
        yield from path.read_text().splitlines()


if __name__ == "__main__":
    os.nice(15)
    print(json.dumps(examine(Path(sys.argv[1]))))  # noqa: T201
