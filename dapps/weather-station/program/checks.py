"""Checks of one station's samples, one variable at a time: range, step, persistence, consistency, spikes.

Sources: WMO-No. 8, Guide to Instruments and Methods of Observation, volume III chapter 1 (automatic stations) and
volume V chapter 1; I. Zahumensky, Guidelines on Quality Control Procedures for Data from Automatic Weather Stations,
WMO CBS/OPAG-IOS/ET AWS-3/Doc. 4(1), 2004 (variability within a minute and an hour); NOAA MADIS Meteorological Surface
Quality Control (validity limits; temporal consistency within an hour). The WMO's limits of change suit samples a
minute apart and MADIS's samples an hour apart; in between they are interpolated. What those tables cannot know, how
rough a given place and sensor is, is learnt from the record itself by medians, which faults in a few percent of it do
not move.
"""

import math

import arithmetic
import flags
from units import MISSING, VARIABLES

#: MADIS validity limits; irradiance and gusts by WMO-No. 8 and the ET AWS guidelines; thousandths.
LIMITS = {
    "temperature_c": (-51_111, 54_444), "humidity_pct": (0, 103_000), "pressure_hpa": (568_000, 1_100_000),
    "wind_ms": (0, 128_611), "wind_dir_deg": (0, 360_000), "gust_ms": (0, 150_000), "rain_mm": (0, 400_000),
    "irradiance_wm2": (-20_000, 1_600_000),
}  # fmt: skip
SEA_LEVEL_LIMITS = (846_000, 1_100_000)
#: Largest change within a minute (ET AWS, "erroneous") and within an hour (MADIS), thousandths.
CHANGES = {
    "temperature_c": (10_000, 19_444), "humidity_pct": (15_000, 50_000), "pressure_hpa": (2_000, 15_000),
    "wind_ms": (20_000, 20_000),
}  # fmt: skip
#: Below this a value's error is within the uncertainty that WMO-No. 8 (volume I, annex 1.A) calls achievable, or close.
UNCERTAINTY = {"temperature_c": 200, "humidity_pct": 1_500, "pressure_hpa": 150, "wind_ms": 500, "gust_ms": 1_000}
#: Variables whose continuity is checked.
SMOOTH = ("temperature_c", "humidity_pct", "pressure_hpa", "wind_ms")
#: A spike leaves the samples before and after it by so many times the usual change (hourly; finer samples are calmer).
SPIKE_ALONE, SPIKE_BESIDE, SPIKE_EACH, SPIKE_SHARE = 7.0, 10.0, 5.5, 0.75
#: The chance per record with which an honest run of equal values is taken for a stuck sensor.
_STUCK_CHANCE = 0.02
_HOUR = 3600


def mad(values):
    """1.4826 times the median size of numbers: their standard deviation, if most of them are normal."""
    sizes = sorted(abs(value) for value in values)
    return 1.4826 * sizes[len(sizes) // 2] if sizes else 0.0


def ranges(station, sea_level):
    """Mark what no air on Earth has (MADIS validity checks)."""
    for name in VARIABLES:
        least, most = SEA_LEVEL_LIMITS if name == "pressure_hpa" and sea_level else LIMITS[name]
        marks = station.marks[name]
        for index, value in enumerate(station.values[name]):
            if value == MISSING:
                marks[index] |= flags.SENTINEL
            elif not least <= value <= most:
                marks[index] |= flags.RANGE


def consistency(station, night):
    """Mark what contradicts another variable (WMO-No. 8, internal consistency checks).

    A gust below the mean wind; humidity without a dew point; light while the sun is well below the horizon. `night`
    tells for an instant whether it is, or is None.
    """
    values, marks = station.values, station.marks
    for index, (wind, gust) in enumerate(zip(values["wind_ms"], values["gust_ms"])):
        if MISSING not in {wind, gust} and gust < wind - 500 and not marks["wind_ms"][index]:
            marks["gust_ms"][index] |= flags.CONSISTENCY
    for index, value in enumerate(values["humidity_pct"]):
        if value != MISSING and 0 <= value < 300:
            marks["humidity_pct"][index] |= flags.CONSISTENCY
    if night:
        for index, value in enumerate(values["irradiance_wm2"]):
            if value > 20_000 and night(station.times[index]):
                marks["irradiance_wm2"][index] |= flags.CONSISTENCY


def usual_change(station, name):
    """The usual size of the change from a sample to the next, in thousandths, as a standard deviation."""
    values, marks = station.values[name], station.marks[name]
    every = 1 + len(values) // 100_000  # so many tell enough, and memory is short
    pairs = range(1, len(values), every)
    return max(mad([values[i] - values[i - 1] for i in pairs if not marks[i] and not marks[i - 1]]), UNCERTAINTY[name])


def _known(station, name):
    return flags.good(station, name)


def spikes(station, name, beside):
    """Mark one or two samples that leave those before and after them, in one direction, and come back.

    Args:
        beside: what neighbours let expect at the same instants (lists with None); where they are there, the
        difference to them
            must show the spike too, and it may be a smaller one.
    """
    known, times, marks = _known(station, name), station.times, station.marks[name]
    usual = usual_change(station, name)
    differences = []
    for other in beside:
        series = [None if a is None or b is None else a - b for a, b in zip(known, other)]
        bends = [_bend(series, index, index) for index in range(1, len(series) - 1)]
        bends = [bend for bend in bends if bend is not None]
        if len(bends) > 20:
            differences.append((series, max(mad(bends), UNCERTAINTY[name])))
    reach = 3 * max(station.interval, 60)
    found = []
    for index in _excursions(known, 1.5 * usual):
        for width in (1, 2):
            last = index + width - 1
            if last + 1 >= len(known) or times[last + 1] - times[index - 1] > reach + station.interval:
                continue
            size = _leaves(known, index, last)
            if size is None:
                continue
            own = _bend(known, index, last)
            shown = [(_bend(series, index, last), scale) for series, scale in differences]
            shown = [(bend / own, abs(bend) / scale) for bend, scale in shown if bend is not None]
            if shown:
                share, sizes = min(share for share, _ in shown), [each for _, each in shown]
                score = math.fsum(sizes) / math.sqrt(len(sizes)) / SPIKE_BESIDE
                score = score if share > SPIKE_SHARE and min(sizes) > SPIKE_EACH else 0.0
            else:
                score = abs(size) / usual / SPIKE_ALONE
            if score > 1.0:
                found.append((score, index, last))
    taken = set()
    for _, first, last in sorted(found, reverse=True):
        if taken.isdisjoint(range(first - 1, last + 2)):  # beside a spike everything looks like one
            taken.update(range(first, last + 1))
    for index in taken:
        marks[index] |= flags.SPIKE


def _bend(series, first, last):
    """How far the middle of samples first..last is from the mean of those beside; None where one is missing."""
    part = series[first - 1 : last + 2]
    if len(part) < last - first + 3 or None in part:
        return None
    return math.fsum(part[1:-1]) / (last - first + 1) - 0.5 * (part[0] + part[-1])


def _excursions(known, least):
    """Indexes of samples that are far from the one before."""
    return [
        index
        for index, (a, b) in enumerate(zip(known, known[1:]), 1)
        if a is not None and b is not None and not -least <= b - a <= least
    ]


def _leaves(series, first, last):
    """By how much samples first..last all leave both ends in one direction; None if they do not."""
    part = series[first - 1 : last + 2]
    if len(part) < last - first + 3 or None in part:
        return None
    above, below = min(part[1:-1]) - max(part[0], part[-1]), min(part[0], part[-1]) - max(part[1:-1])
    return above if above > 0 else -below if below > 0 else None


def steps(station, name):
    """Mark changes faster than the air's (ET AWS maximum variability; MADIS temporal consistency).

    Of the two samples the one that is farther from its surroundings is marked; between a jump and one back within a
    day, all are.
    """
    known, times, marks = _known(station, name), station.times, station.marks[name]
    minute, hour = CHANGES[name]
    rough = 12.0 * usual_change(station, name)
    jumps = []
    for index in _excursions(known, minute):
        passed = times[index] - times[index - 1]
        if passed <= max(_HOUR, 3 * station.interval):
            limit = minute + (hour - minute) * min(1.0, max(0.0, (passed - 60) / (_HOUR - 60.0)))
            change = known[index] - known[index - 1]
            if abs(change) > max(limit, min(rough, 2 * limit)):
                jumps.append((index, change))
    for (first, change), following in zip(jumps, [*jumps[1:], None]):
        last = following[0] if following and following[1] * change < 0 else None
        if last is not None and times[last] - times[first] <= 24 * _HOUR:
            for index in range(first, last):
                if known[index] is not None:
                    marks[index] |= flags.STEP
        elif not marks[first - 1] & flags.STEP:
            around = [value for value in known[max(0, first - 6) : first + 6] if value is not None]
            middle = sorted(around)[len(around) // 2]
            odd = first if abs(known[first] - middle) >= abs(known[first - 1] - middle) else first - 1
            marks[odd] |= flags.STEP


def persistence(station, name, beside):
    """Mark a sensor that is stuck: it repeats a value for longer than the air would.

    The ET AWS guidelines ask for some variability within 60 minutes. How long equal values may follow each other
    depends on the resolution of the sensor; it is learnt from how quickly runs of three, four... grow rare in the
    record. Neighbours that moved during the run convict it earlier, ones that did not acquit it. The run's first
    value is taken for true.
    """
    known, times, marks = _known(station, name), station.times, station.marks[name]
    runs = [run for run in _runs(known) if not _may_rest(name, known[run[0]])]
    three = sum(1 for first, last in runs if last - first >= 2)
    four = sum(1 for first, last in runs if last - first >= 3)
    growth = min(0.9, (four + 8.0) / (three + 10.0))  # until the record tells, runs grow rare slowly
    longest = 3 + arithmetic.log(max(three, 1) / _STUCK_CHANCE) / -arithmetic.log(growth)
    for first, last in runs:
        count, lasted = last - first + 1, times[last] - times[first]
        if count < 4 or lasted < _HOUR:
            continue
        moved = _moved(first, last, beside, name)
        if name == "humidity_pct" and known[first] >= 98_000 and (moved is None or moved < 2.0):
            continue
        if (
            (moved is not None and moved > 2.0)
            or (count >= longest and (moved is None or moved > 0.6))
            or (count >= 3 * longest and lasted >= 24 * _HOUR)
        ):
            for index in range(first + 1, last + 1):
                if known[index] is not None:
                    marks[index] |= flags.PERSISTENCE


def _runs(known):
    """(first, last) of equal values that follow each other; missing ones in between do not end a run."""
    first = last = None
    for index, value in enumerate(known):
        if value is None:
            continue
        if first is None or value != known[first]:
            if first is not None and last > first:
                yield first, last
            first = index
        last = index
    if first is not None and last > first:
        yield first, last


def _may_rest(name, value):
    """Values at which the air itself rests."""
    return name == "wind_ms" and value < 300


def _moved(first, last, beside, name):
    """How far the calmest neighbour moved during a run, in units of how neighbours usually differ; None: unknown."""
    least = None
    for other, differ in beside:
        part = [value for value in other[first : last + 1] if value is not None]
        if 2 * len(part) > last - first:
            moved = (max(part) - min(part)) / (2.0 * max(differ, UNCERTAINTY[name]))
            least = moved if least is None else min(least, moved)
    return least
