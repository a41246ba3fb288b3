"""Draw a year of a simulated worker: `python -m scripts.energy_year [file.svg]`.

A Pi 4 with 30 Wp and 128 Wh under pvlib's typical year of Greensboro (public domain); simulator, meter and gate are the
worker's own. Writes docs/images/year.svg, and beside it a day and a month of the same life.
"""

from __future__ import annotations

import sys
from pathlib import Path

from scripts.energy_life import live
from sdk.energy.plot import draw
from sdk.energy.series import Series
from worker.energy import EnergyConfig

FILE = Path(__file__).resolve().parent.parent / "docs" / "images" / "year.svg"
CONFIG = EnergyConfig(panel_wp=30, battery_wh=128, start="2001-01-01T00:00")


class Unsigned:
    """Pictures need no signatures, and 35,000 of them take minutes."""

    address = "0x0000000000000000000000000000000000000001"

    def sign_digest(self, _digest: bytes) -> str:
        return "0x" + "00" * 65


def main(arguments: list[str]) -> None:
    year = Path(arguments[0]) if arguments else FILE
    year.parent.mkdir(parents=True, exist_ok=True)
    series = Series(live(CONFIG, 365, Unsigned(), step=900))
    for kind, date, path in (
        ("year", None, year),
        ("month", "2001-11-01", year.with_name("month.svg")),
        ("day", "2001-11-20", year.with_name("day.svg")),
    ):
        path.write_text(draw(series, kind, date), encoding="utf-8")
        print(f"written: {path} ({path.stat().st_size // 1024} KB)")


if __name__ == "__main__":
    main(sys.argv[1:])
