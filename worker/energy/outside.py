"""A weather service's forecast of the sun, from a file that the operator's own tool keeps fresh.

The file is Open-Meteo's answer to `hourly=shortwave_radiation`: `hourly.time` (ISO 8601, in `utc_offset_seconds`) and
`hourly.shortwave_radiation` (W/m^2 on the horizontal, the mean of the hour before). The worker itself fetches nothing.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from poco.sun import sun_position
from worker.energy.panel import Panel
from worker.energy.sun import clear_sky_ghi

_HOUR_S = 3600
_SAMPLES = 4
_WEAK_SUN_W_M2 = 20.0
_MAX_INDEX = 1.2
_MAX_BYTES = 4_000_000


class OutsideForecast:
    """The clear-sky index that a weather service expects, hour by hour.

    Args:
        path: the file; it is read again when it has changed, and may be missing.
        panel: where.
    """

    def __init__(self, path: Path, panel: Panel) -> None:
        self._path, self._panel = path, panel
        self._stamp: tuple[int, int] | None = None
        self._ghi: dict[int, float] = {}  # by the number of the hour that the mean is of
        #: why nothing is known, in words; empty while the file can be used
        self.trouble = ""

    def refresh(self) -> None:
        """Look whether there is a new forecast; call it now and then. A file that cannot be used leaves none."""
        try:
            found = self._path.stat()
            stamp = (found.st_mtime_ns, found.st_size)
            if stamp == self._stamp:
                return
            self._stamp = stamp
            if found.st_size > _MAX_BYTES:
                raise ValueError("it is too large for a forecast")
            self._ghi = _read(self._path.read_text())
            self.trouble = ""
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            self._ghi = {}
            self.trouble = f"the forecast {self._path} cannot be used: {error}"

    def index(self, at: float) -> float | None:
        """Clear-sky index of the hour that holds `at`; None where it is not known or the sun is too low to tell."""
        hour = int(at // _HOUR_S)
        if hour not in self._ghi:
            return None
        clear = 0.0
        for sample in range(_SAMPLES):
            middle = (hour + (sample + 0.5) / _SAMPLES) * _HOUR_S
            clear += clear_sky_ghi(sun_position(middle, self._panel.latitude, self._panel.longitude).cos_zenith)
        clear /= _SAMPLES
        return min(_MAX_INDEX, self._ghi[hour] / clear) if clear >= _WEAK_SUN_W_M2 else None


def _read(text: str) -> dict[int, float]:
    data = json.loads(text)
    offset = int(data.get("utc_offset_seconds", 0))
    hours = {}
    for time, value in zip(data["hourly"]["time"], data["hourly"]["shortwave_radiation"], strict=True):
        end = datetime.fromisoformat(time).replace(tzinfo=UTC).timestamp() - offset
        if value is not None:
            hours[int(end // _HOUR_S) - 1] = max(0.0, float(value))
    return hours
