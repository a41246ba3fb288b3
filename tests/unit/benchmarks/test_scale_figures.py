"""The arithmetic of the scale benchmark."""

from __future__ import annotations

import math

import pytest

from benchmarks.scale.figures import exponent, line, percentile


def test_figures() -> None:
    assert [percentile(range(1, 101), share) for share in (0.5, 0.99, 1)] == [50, 99, 100]
    assert math.isnan(percentile([], 0.5))
    sizes = [100.0, 1000.0, 5000.0]
    assert exponent(sizes, [3 * n**2 for n in sizes]) == pytest.approx(2)
    assert line(sizes, [7 + 0.5 * n for n in sizes]) == pytest.approx((7, 0.5))
