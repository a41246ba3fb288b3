"""Stations that check each other: levels that jump and sensors that drift away from what the others measure.

MADIS's spatial consistency check compares a value with what its neighbours suggest, hour by hour. A drift of a few
degrees within days drowns there in the honest differences between places. Here the difference to the neighbours,
freed of its daily and seasonal course, is searched for stretches that look like a fault: a constant that comes and
goes (level) or a line that leaves zero and ends with a jump back (drift), of any length from an hour to a week.
Weather makes the difference wander, faults make it jump: both are told apart by the generalised least-squares fit of
the shape under first-order autoregressive noise, whose correlation and size are learnt from the record. How large
such a fit is by chance is learnt for every shape and length from the whole record too. A stretch counts only when
every neighbour that was there shows it, so that a station is not marked for a fault of another.
"""

import math

import arithmetic
import checks
from units import MISSING

HOUR = 3600
LEVEL, DRIFT = "level", "drift"
#: Hours of the stretches that are tried.
LENGTHS = {LEVEL: (1, 2, 3, 4, 6, 8, 12, 18, 24, 36, 48, 72), DRIFT: (16, 24, 32, 40, 48, 60, 72, 84, 96, 120)}
#: How many times its usual size a fit must reach, for a day or more; times ONLY against an only neighbour. Weather
#: makes short stretches, so of them more is asked: by (24 hours / length) to the power of 0.6.
NEEDED, ONLY = {LEVEL: 6.0, DRIFT: 4.5}, 1.5
#: The neighbour that shows a fault least shows it by at least this part of the one that shows it most.
#: Where the proof is twice what is needed, neighbours that show it in sizes as alike as this agree too.
BALANCE, ALIKE = 0.45, 0.65
#: What a shape leaves: its median in units of the usual scatter (0.67 is usual; more by chance in a short stretch),
#: and the part of the squares it explains.
ROUGHNESS, ROUGHER, EXPLAINED_ALONE = 0.63, 0.6, 0.95
_DAYS_AROUND = 15
_PASSES = 3
_LONGEST = 100


def hourly(station, name, start, hours):
    """Hourly medians of the unmarked values in the canonical unit, with None, from hour `start` (Unix hours)."""
    buckets = [None] * hours
    values, marks, times = station.values[name], station.marks[name], station.times
    for when, value, mark in zip(times, values, marks):
        if not mark and value != MISSING:
            slot = when // HOUR - start
            if 0 <= slot < hours:
                if buckets[slot] is None:
                    buckets[slot] = [value]
                else:
                    buckets[slot].append(value)
    return [None if bucket is None else sorted(bucket)[len(bucket) // 2] / 1000.0 for bucket in buckets]


def difference(own, other, floor):
    """Own minus other, freed of its usual course, and how much it usually scatters.

    Both are taken from the same hour of the day, 15 days to either side: the median, and the median distance from it.
    A sea breeze or a cold hollow makes the difference large and uncertain at some hours of some weeks; there it
    weighs little.

    Returns:
        (values, scatter), hourly, with None where one of the two is missing.
    """
    raw = [None if a is None or b is None else a - b for a, b in zip(own, other)]
    known = sorted(value for value in raw if value is not None)
    values, scatter = [None] * len(raw), [None] * len(raw)
    if not known:
        return values, scatter
    middle = known[len(known) // 2]
    overall = max(checks.mad([value - middle for value in known]), floor)
    for hour in range(24):
        course = raw[hour::24]
        for day, value in enumerate(course):
            if value is not None:
                around = sorted(v for v in course[max(0, day - _DAYS_AROUND) : day + _DAYS_AROUND + 1] if v is not None)
                place, usual, spread = hour + 24 * day, middle, overall
                if len(around) >= 10:
                    usual = around[len(around) // 2]
                    spread = max(checks.mad([v - usual for v in around]), floor, 0.5 * overall)
                values[place], scatter[place] = value - usual, spread
    return values, scatter


def mean(pairs):
    """The mean of several differences, weighted by their scatter, over those that are there, hour by hour."""
    values, scatter = [], []
    for row in zip(*(zip(*pair) for pair in pairs)):
        there = [(value, 1.0 / (spread * spread)) for value, spread in row if value is not None]
        weight = math.fsum(weight for _, weight in there)
        values.append(math.fsum(value * weight for value, weight in there) / weight if there else None)
        scatter.append(math.sqrt(len(there) / weight) if there else None)
    return values, scatter


class Sums:
    """Running sums of a weighted, whitened series, from which the fit of a shape to any stretch follows at once.

    Whitened: u(t) = d(t) - phi d(t-1), with phi the usual correlation from hour to hour; a shape f becomes f(t) - phi
    f(t-1), which has a first value, a body and, one hour after its end, what the jump back leaves.
    """

    def __init__(self, values, scatter):
        changes = [b - a for a, b in zip(values, values[1:]) if a is not None and b is not None]
        spread = checks.mad([value for value in values if value is not None])
        ratio = checks.mad(changes) / spread if spread else 2.0
        self.phi = max(0.0, min(0.95, 1.0 - 0.5 * ratio * ratio))
        self.u, self.w = [], []
        self.count, self.w0, self.w1, self.w2, self.s0, self.s1 = ([0.0] for _ in range(6))
        n = w0 = w1 = w2 = s0 = s1 = 0.0
        last, age = 0.0, 9
        for index, (value, spread) in enumerate(zip(values, scatter)):
            u = weight = 0.0
            age += 1
            if value is not None:
                weight = 1.0 / (spread * spread)
                u = value - (self.phi * last if age <= 3 else 0.0)
                last, age = value, 0
                n += 1.0
            w0 += weight
            w1 += weight * index
            w2 += weight * index * index
            s0 += weight * u
            s1 += weight * u * index
            self.u.append(u)
            self.w.append(weight)
            for total, column in zip(
                (n, w0, w1, w2, s0, s1), (self.count, self.w0, self.w1, self.w2, self.s0, self.s1)
            ):
                column.append(total)

    def fit(self, shape, first, end):
        """(size of the fault at its end, size in units of its standard error); None without enough data."""
        n = self.count[end] - self.count[first]
        if n < 1 or n < 0.6 * (end - first):
            return None
        phi, rest = self.phi, 1.0 - self.phi
        after = self.w[end] if end < len(self.w) else 0.0
        leaving = -phi * after * self.u[end] if after else 0.0
        s0, w0 = self.s0[end] - self.s0[first], self.w0[end] - self.w0[first]
        if shape == LEVEL:
            top = self.w[first] * self.u[first]
            upper = top + rest * (s0 - top) + leaving
            lower = self.w[first] + rest * rest * (w0 - self.w[first]) + phi * phi * after
        else:
            origin, length = first - 1, end - first
            x1 = self.w1[end] - self.w1[first] - origin * w0
            x2 = self.w2[end] - self.w2[first] - 2.0 * origin * (self.w1[end] - self.w1[first]) + origin * origin * w0
            xy = self.s1[end] - self.s1[first] - origin * s0
            upper = (rest * xy + phi * s0) / length + leaving
            lower = (rest * rest * x2 + 2.0 * rest * phi * x1 + phi * phi * w0) / (length * length) + phi * phi * after
        return upper / lower, upper / math.sqrt(lower)


def stretches(pairs, floor, explained, own, others):
    """Stretches of faults.

    Args:
        pairs: for each neighbour the `difference` to it.
        floor: the smallest error that matters, in the variable's unit.
        explained: the part of the squares that a shape explains at least.
        own, others: the hourly values themselves, to tell whose fault it is where there is one neighbour.

    Returns:
        A list of (shape, first hour, end hour).
    """
    found = []
    pairs = [(list(values), scatter) for values, scatter in pairs]
    for _ in range(_PASSES):
        taken = _pass(pairs, floor, explained, own, others)
        for _, first, end in taken:
            for values, _ in pairs:
                values[first:end] = [None] * (end - first)
        found += taken
        if not taken:
            break
    return found


def _pass(pairs, floor, explained, own, others):
    sums = [Sums(*pair) for pair in pairs]
    average = mean(pairs)
    whole = Sums(*average)
    hours = len(pairs[0][0])
    candidates, scales = [], {}
    for shape, lengths in LENGTHS.items():
        for length in lengths:
            if length > hours // 2:
                break
            starts = range(0, hours - length + 1, max(1, length // 8))
            fits = [whole.fit(shape, first, first + length) for first in starts]
            scale = scales[shape, length] = max(checks.mad([fit[1] for fit in fits if fit]), 0.2)
            for first, fit in zip(starts, fits):
                if fit and abs(fit[1]) > NEEDED[shape] * scale and abs(fit[0]) > 4.0 * floor:
                    candidates.append((abs(fit[1]) / scale, shape, first, first + length))
    candidates.sort(reverse=True)
    taken, refused = [], []
    for _, tried, first, end in candidates:
        if any(first < b and a < end for _, a, b in taken) or any(a <= first and end <= b for a, b in refused):
            continue
        shape, a, b = _refine(whole, tried, first, end, taken, hours)
        near = min((length for kind, length in scales if kind == shape), key=lambda length: abs(length - (b - a)))
        score = abs(whole.fit(shape, a, b)[1]) / scales[shape, near]
        if score > _needed(sums, (shape, a, b), score, own, others) and _fits(average, whole, (shape, a, b), explained):
            taken.append((shape, a, b))
        else:
            refused.append((min(a, first), max(b, end)))
    return taken


def _needed(sums, stretch, score, own, others):
    """The score a stretch needs; infinite where the neighbours do not agree that it is this station's."""
    shape, first, end = stretch
    length = end - first
    shown = [fit for fit in (one.fit(shape, first, end) for one in sums) if fit]
    if not shown or (shape == DRIFT and length < 12):
        return math.inf
    if len(shown) > 1:
        if (min(shown)[0] < 0.0) != (max(shown)[0] < 0.0):
            return math.inf
        sizes, proofs = ([abs(fit[kind]) for fit in shown] for kind in (0, 1))
        # A neighbour that is missing where the fault ends proves less, though it may show it as large.
        alike = score > 2.0 * NEEDED[shape] and min(sizes) > ALIKE * max(sizes)
        if min(proofs) < BALANCE * max(proofs) and not alike:
            return math.inf
    elif not _is_own(first, end, own, others):
        return math.inf
    return NEEDED[shape] * (1.0 if len(shown) > 1 else ONLY) * max(1.0, arithmetic.power(24.0 / length, 0.6))


def _fits(average, whole, stretch, least):
    """Whether the shape is all there is: what it leaves scatters as usual, or is next to nothing beside it.

    Weather that keeps a place apart for a while follows the sun and the wind; a fault is added to what goes on as
    before.
    """
    shape, first, end = stretch
    size = whole.fit(shape, first, end)[0]
    left, before, after = [], 0.0, 0.0
    for index in range(first, end):
        value, spread = average[0][index], average[1][index]
        if value is not None:
            rest = value - (size if shape == LEVEL else size * (index - first + 1) / (end - first))
            left.append(abs(rest) / spread)
            before += value * value
            after += rest * rest
    explained = 1.0 - after / before if before else 0.0
    if explained < least:
        return False
    rough = ROUGHNESS + ROUGHER / math.sqrt(len(left))
    return explained > EXPLAINED_ALONE or sorted(left)[len(left) // 2] < rough


def _refine(whole, shape, first, end, taken, hours):
    """Move the ends, and choose between the shapes, to where the fit is best."""
    reach = max(4, end - first)
    low = max([0, first - max(reach, _LONGEST if end - first >= 6 else 0), *(b for _, _, b in taken if b <= first)])
    high = min([hours, end + reach, *(a for _, a, _ in taken if a >= end)])

    def fitted(shape, first, end):
        fit = whole.fit(shape, first, end)
        return abs(fit[1]) if fit else 0.0

    best = (fitted(shape, first, end), shape, first, end)
    for candidate in (LEVEL, DRIFT) if end - first >= 6 else (shape,):
        a, b = first, end
        for _ in range(2):
            a = max(range(low, b), key=lambda value, b=b: fitted(candidate, value, b), default=a)
            b = max(range(a + 1, high + 1), key=lambda value, a=a: fitted(candidate, a, value), default=b)
        best = max(best, (fitted(candidate, a, b), candidate, a, b))
    return best[1:]


def _is_own(first, end, own, others):
    """Whether the station itself, not its only neighbour, jumps where the stretch begins or ends."""
    mine = max(_jump(own, edge) for edge in (first, end))
    theirs = max((_jump(other, edge) for other in others for edge in (first, end)), default=0.0)
    return mine > 2.0 * theirs


def _jump(values, edge):
    before = [value for value in values[max(0, edge - 2) : edge] if value is not None]
    after = [value for value in values[edge : edge + 2] if value is not None]
    return abs(math.fsum(after) / len(after) - math.fsum(before) / len(before)) if before and after else 0.0
