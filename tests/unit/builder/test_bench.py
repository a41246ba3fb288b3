"""What `make bench-dapps` counts as a missed goal."""

import pytest

from benchmarks import dapps

GOOD = {
    "reproducible": True,
    "same_digest_on_all_architectures": True,
    "from_nothing_s": 60.0,
    "unchanged_s": 3.0,
    "dapps": {
        "motion-detection": {"linux/arm64": {"compressed_bytes": 20_000_000}},
        "template": {"linux/arm64": {"compressed_bytes": 99_000_000}},
    },
}


def test_every_goal_met():
    assert dapps.faults(GOOD) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"reproducible": False}, "two clones"),
        ({"same_digest_on_all_architectures": False}, "golden input"),
        ({"from_nothing_s": 60.1}, "from nothing"),
        ({"unchanged_s": 3.1}, "nothing changed"),
        ({"dapps": {"weather-station": {"linux/arm/v7": {"compressed_bytes": 18_000_001}}}}, "weather-station for"),
    ],
)
def test_a_missed_goal_is_named(change, said):
    (fault,) = dapps.faults({**GOOD, **change})
    assert said in fault


def test_a_folder_that_is_none(tmp_path, capsys):
    assert dapps.main(["--sequences", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.startswith("error: ")
