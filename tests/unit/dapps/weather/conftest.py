"""The weather station's modules, as they import each other in the image."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[4]
DAPP = ROOT / "dapps" / "weather-station"
MODULES = (
    "arithmetic", "units", "settings", "records", "weewx", "flags", "checks", "neighbours", "quality", "formulas",
    "aggregates", "forecast", "drawing", "report", "analysis",
)  # fmt: skip


@pytest.fixture(scope="session")
def weather() -> Iterator[SimpleNamespace]:
    """The program's modules; names that other dapps use too are put back at once."""
    sys.path.insert(0, str(DAPP / "program"))
    kept = {name: sys.modules.pop(name) for name in MODULES if name in sys.modules}
    try:
        found = SimpleNamespace(**{name: importlib.import_module(name) for name in MODULES})
    finally:
        sys.path.remove(str(DAPP / "program"))
        for name in MODULES:
            if name != "weewx":  # imported only where it is needed
                sys.modules.pop(name, None)
        sys.modules.update(kept)
    yield found
    sys.modules.pop("weewx", None)
