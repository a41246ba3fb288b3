"""`sensor://<kind>?last=<seconds>` among a task's input files: what the device that runs the task has measured itself.

Two devices never measure the same, so such a task has no consensus but with itself: it is for a trust of 1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from poco.errors import BadInputError

SCHEME = "sensor://"
#: Longest look back by kind, seconds.
LONGEST = {"weather": 30 * 86_400, "camera": 600}
_URL = re.compile(r"sensor://([a-z]+)\?last=([0-9]{1,9})")


@dataclass(frozen=True, slots=True)
class SensorRequest:
    """The last `last` seconds of a sensor; `weather` gives a CSV of readings, `camera` an MJPEG AVI."""

    kind: str
    last: int


def is_sensor(url: str) -> bool:
    """Whether an input file is asked of the device's own sensors."""
    return url.startswith(SCHEME)


def parse(url: str) -> SensorRequest:
    """Read such a URL.

    Raises:
        BadInputError: it names no kind of sensor, or no time that can be given.
    """
    found = _URL.fullmatch(url)
    if found is None or found[1] not in LONGEST:
        kinds = " or ".join(f"sensor://{kind}?last=SECONDS" for kind in LONGEST)
        raise BadInputError(f"{url[:100]!r} asks for no sensor there is", hint=f"write {kinds}")
    kind, last = found[1], int(found[2])
    if not 1 <= last <= LONGEST[kind]:
        raise BadInputError(f"{url!r} asks for {last} s", hint=f"{kind} gives between 1 and {LONGEST[kind]} s")
    return SensorRequest(kind, last)
