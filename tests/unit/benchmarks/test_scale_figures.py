"""The arithmetic of the scale benchmark."""

from __future__ import annotations

import math

import pytest

from benchmarks.scale.figures import exponent, line, percentile, require_answered
from poco.errors import PewError


def test_figures() -> None:
    assert [percentile(range(1, 101), share) for share in (0.5, 0.99, 1)] == [50, 99, 100]
    assert math.isnan(percentile([], 0.5))
    sizes = [100.0, 1000.0, 5000.0]
    assert exponent(sizes, [3 * n**2 for n in sizes]) == pytest.approx(2)
    assert line(sizes, [7 + 0.5 * n for n in sizes]) == pytest.approx((7, 0.5))


def test_a_p99_of_the_answers_counts_only_where_nearly_all_were_answered() -> None:
    require_answered({}, 10)
    require_answered({"poll: TimeoutError": 1}, 99)
    with pytest.raises(PewError, match="2 calls failed"):
        require_answered({"poll: TimeoutError": 1, "poll: 503": 1}, 100)
