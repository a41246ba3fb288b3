"""A failing sequence becomes as short as it can be."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from tests.contracts.differential.shrink import shrink


@given(length=st.integers(1, 200), seed=st.integers(0, 2**32))
def test_what_is_needed_is_left(length, seed):
    """It fails where all of some items are there, in their order."""
    random = Random(seed)  # noqa: S311
    needed = sorted(random.sample(range(length), random.randint(1, min(5, length))))
    assert shrink(range(length), lambda items: [each for each in items if each in needed] == needed) == needed


def test_nothing_can_be_left_out_of_the_result():
    """Three of a kind, whichever they are."""
    left = shrink([1, 2, 1, 3, 1, 2, 1, 2], lambda items: items.count(1) >= 3 or items.count(2) >= 3)
    assert left in ([1, 1, 1], [2, 2, 2])


def test_attempts_are_bounded():
    asked = []

    def fails(items):
        asked.append(items)
        return 999 in items and 0 in items

    left = shrink(range(1000), fails, attempts=12)
    assert len(asked) == 12
    assert fails(left)
    assert len(left) < 1000
