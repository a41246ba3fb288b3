"""The threshold of the device's own work: hysteresis, and the worker's own thresholds above it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from worker.energy.sensing import may_sense
from worker.energy.situation import GateConfig, Mode

CONFIG = GateConfig(duty_above=0.5, hysteresis=0.05)


@given(st.booleans(), st.sampled_from(Mode), st.one_of(st.none(), st.floats(0, 1)))
def test_the_whole_table(was: bool, mode: Mode, soc: float | None) -> None:
    answer = may_sense(was, mode, soc, CONFIG)
    assert answer.reason and answer.until
    if mode in (Mode.ASLEEP, Mode.PAUSED) or soc is None or soc < 0.45:
        assert not answer.allowed
    elif soc >= 0.5:
        assert answer.allowed
    else:
        assert answer.allowed is was, "between the two it stays as it was"


def test_the_words_name_the_threshold() -> None:
    assert may_sense(False, Mode.WILLING, 0.47, CONFIG).until == "the battery is above 50%"
    assert may_sense(True, Mode.WILLING, 0.47, CONFIG).until == "the battery is below 45%"
    assert "unknown" in may_sense(True, Mode.WILLING, None, CONFIG).reason
