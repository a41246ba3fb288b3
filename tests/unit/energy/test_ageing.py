"""Rainflow by the standard's own example, and a battery's age by hand."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.energy.ageing import Ageing, Rainflow, Wear

DAY = 86_400.0
SOCS = st.lists(st.integers(0, 100).map(lambda n: n / 100), min_size=1, max_size=80)


def counted(values, deadband=0.0) -> Counter[float]:
    flow, total = Rainflow(deadband), Counter()
    for value in values:
        for size, count in flow.add(value):
            total[round(size, 9)] += count
    for size, count in flow.rest():
        total[round(size, 9)] += count
    return total


def by_the_book(values) -> Counter[float]:
    """The whole history at once, as the standard describes it: turning points first, then ranges."""
    points = [values[0]]
    for value in values[1:]:
        if value == points[-1]:
            continue
        if len(points) > 1 and (value > points[-1]) == (points[-1] > points[-2]):
            points[-1] = value
        else:
            points.append(value)
    total, read = Counter(), []
    for point in points:
        read.append(point)
        while len(read) >= 3:
            x, y = abs(read[-1] - read[-2]), abs(read[-2] - read[-3])
            if x < y:
                break
            if len(read) == 3:
                total[round(y, 9)] += 0.5
                read.pop(0)
            else:
                total[round(y, 9)] += 1
                last = read.pop()
                read.pop()
                read.pop()
                read.append(last)
    for a, b in pairwise(read):
        total[round(abs(b - a), 9)] += 0.5
    return total


def test_the_example_of_the_standard():
    assert counted([-2, 1, -3, 5, -1, 3, -4, 4, -2]) == {3: 0.5, 4: 1.5, 6: 0.5, 8: 1.0, 9: 0.5}


@given(SOCS)
@settings(max_examples=300, deadline=None)
def test_counting_as_it_comes_is_counting_the_whole(values):
    assert counted(values) == by_the_book(values)


@given(SOCS, st.integers(0, 80))
@settings(max_examples=100, deadline=None)
def test_a_restart_changes_nothing(values, cut):
    whole, parts = Wear(Ageing()), Wear(Ageing())
    for n, soc in enumerate(values):
        whole.observe(n * 900.0, soc)
        if n == cut:
            again = Wear(Ageing())
            again.restore(parts.snapshot())
            parts = again
        parts.observe(n * 900.0, soc)
    assert parts.health == whole.health


def test_noise_within_the_deadband_is_no_cycle():
    assert counted([0.5, 0.505, 0.5, 0.508, 0.499], deadband=0.01) == {}
    assert sum(counted([0.2, 0.8, 0.795, 0.8, 0.2], deadband=0.01).values()) == 1.0


def test_three_thousand_cycles_of_80_percent_end_its_life():
    wear = Wear(Ageing(calendar_per_year=0.0))
    for n in range(3000):
        wear.observe(n * DAY, 0.1)
        wear.observe(n * DAY + DAY / 2, 0.9)
    assert wear.health == pytest.approx(0.8, abs=1e-3)


def test_flat_cycles_cost_less_than_their_share():
    ageing = Ageing()
    assert 4 * ageing.damage(0.2) < ageing.damage(0.8)


def test_time_alone():
    wear = Wear(Ageing())
    wear.observe(0.0, None, 25.0)
    wear.observe(365.25 * DAY, None, 25.0)
    assert wear.health == pytest.approx(0.985)
    wear.observe(2 * 365.25 * DAY, None, 35.0)
    assert wear.health == pytest.approx(0.955)
