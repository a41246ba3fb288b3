"""How often a wallet may change the order book."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler import rates
from scheduler.challenges import TooManyError
from scheduler.rates import Rates

ME, OTHER = "0x" + "11" * 20, "0x" + "22" * 20


def granted(bucket: Rates, wallet: str, at: float) -> bool:
    try:
        bucket.take(wallet, at)
    except TooManyError:
        return False
    return True


def test_a_burst_then_so_many_a_second_each_wallet_for_itself() -> None:
    bucket = Rates(3, 0.5)
    assert [granted(bucket, ME, 100) for _ in range(4)] == [True, True, True, False]
    assert granted(bucket, OTHER, 100)
    with pytest.raises(TooManyError, match="too often") as refused:
        bucket.take(ME, 101)
    assert "go on in 1 s" in refused.value.hint
    assert granted(bucket, ME, 102)
    assert not granted(bucket, ME, 102)
    assert [granted(bucket, ME, 1000) for _ in range(4)] == [True, True, True, False]


@given(st.lists(st.floats(0, 20), max_size=60), st.integers(1, 5), st.floats(0.1, 5))
def test_never_more_than_burst_and_rate_allow(steps: list[float], burst: int, per_second: float) -> None:
    bucket, now, taken = Rates(burst, per_second), 0.0, 0
    for step in steps:
        now += step
        taken += granted(bucket, ME, now)
        assert taken <= burst + now * per_second + 1e-6


def test_a_clock_set_back_gives_nothing_away() -> None:
    bucket = Rates(1, 1)
    assert granted(bucket, ME, 100)
    assert not granted(bucket, ME, 50)
    assert not granted(bucket, ME, 100)
    assert granted(bucket, ME, 101)


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "MAX_WALLETS", 2)
    bucket = Rates(1, 0.001)
    for number in range(50):
        assert granted(bucket, f"0x{number:040x}", 1)
    assert not granted(bucket, f"0x{49:040x}", 1)
    assert len(bucket._buckets) == 2
