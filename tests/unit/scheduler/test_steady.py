"""The scheduler's clock under clocks that jump."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from scheduler.steady import JUMP_SECONDS, LASTING_SECONDS, SteadyClock

START = 1_700_000_000.0


@dataclass
class Machine:
    """A machine's clock, which may be wrong, and the time that really passes."""

    passed: float = 0.0
    wrong: float = 0.0

    def clock(self, ahead: float | None = None) -> SteadyClock:
        return SteadyClock(ahead, lambda: START + self.passed + self.wrong, lambda: 5.0 + self.passed)

    def error(self, clock: SteadyClock) -> float:
        return clock() - START - self.passed


_JUMPS = st.lists(st.tuples(st.floats(0.1, 30), st.sampled_from([-3600.0, -120.0, 0.0, 20.0, 3600.0])), max_size=12)


@given(_JUMPS)
def test_jumps_that_do_not_last_are_not_seen(jumps: list[tuple[float, float]]) -> None:
    machine = Machine()
    clock = machine.clock()
    for seconds, wrong in jumps:
        machine.wrong = wrong
        assert abs(machine.error(clock)) < 0.001
        machine.passed += seconds
        assert abs(machine.error(clock)) < 0.001
        machine.wrong = 0.0
        assert abs(machine.error(clock)) < 0.001


def test_a_clock_that_was_set_is_followed_when_it_has_stood() -> None:
    for wrong in (-3600.0, 3600.0):
        machine = Machine()
        clock = machine.clock()
        machine.wrong = wrong
        assert abs(machine.error(clock)) < 0.001
        machine.passed += LASTING_SECONDS - 1
        assert abs(machine.error(clock)) < 0.001
        machine.passed += 1
        assert abs(machine.error(clock) - wrong) < 0.001


def test_a_clock_that_is_steered_is_followed_at_once() -> None:
    machine = Machine()
    clock = machine.clock()
    for _ in range(10):
        machine.passed += 1
        machine.wrong += JUMP_SECONDS - 0.1
        assert abs(machine.error(clock) - machine.wrong) < 0.001


def test_the_chains_blocks_bound_a_clock_that_was_wrong_from_the_start() -> None:
    for wrong, shown in ((3600.0, 120.0), (-3600.0, 0.0), (60.0, 60.0)):
        machine = Machine(wrong=wrong)
        clock = machine.clock(ahead=120)
        assert abs(machine.error(clock) - wrong) < 0.001
        clock.saw(START)
        assert abs(machine.error(clock) - shown) < 0.001
    machine = Machine(wrong=3600.0)
    clock = machine.clock(ahead=120)
    clock.saw(START)
    machine.passed += 1000
    clock.saw(START)  # no new block: time goes on, though
    assert abs(machine.error(clock) - 120) < 0.001


def test_where_blocks_come_only_with_transactions_they_say_nothing() -> None:
    machine = Machine()
    clock = machine.clock()
    clock.saw(START - 5000)
    clock.saw(START + 5000)
    assert abs(machine.error(clock)) < 0.001
