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
    "weather": {"faults": {"all": {"f1": 0.8, "clean_flagged": 0.0049}}},
    "sequences": {
        "street": {
            "ours": {"f_measure": 0.91, "fps": 200.0, "rss_mb": 20.0},
            "mog2": {"f_measure": 0.8, "fps": 100.0, "rss_mb": 60.0},
            "knn": {"f_measure": 0.9, "fps": 500.0, "rss_mb": 30.0},
        }
    },
    "emulated": {
        "linux/arm64": {"ours": {"fps": 30.0, "rss_mb": 20.0}, "mog2": {"fps": 10.0, "rss_mb": 60.0}},
        "linux/arm/v7": {"ours": {"fps": 30.0, "rss_mb": 20.0}},
    },
}


def ours(group, name, **figures):
    """GOOD with other figures of our method."""
    methods = GOOD[group][name]
    return {group: {**GOOD[group], name: {**methods, "ours": {**methods["ours"], **figures}}}}


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
        ({"weather": {"faults": {"all": {"f1": 0.79, "clean_flagged": 0.0}}}}, "weather: F1 0.79"),
        ({"weather": {"faults": {"all": {"f1": 0.9, "clean_flagged": 0.005}}}}, "0.50% of clean values"),
        (ours("sequences", "street", fps=199.0), "street: 199.0 frames/s"),
        (ours("sequences", "street", rss_mb=20.1), "street: 20.1 MB"),
        (ours("sequences", "street", f_measure=0.9), "another method has 0.9"),
        (ours("emulated", "linux/arm64", fps=29.0), "linux/arm64: 29.0 frames/s, not 3 times"),
    ],
)
def test_a_missed_goal_is_named(change, said):
    (fault,) = dapps.faults({**GOOD, **change})
    assert said in fault


def test_a_folder_that_is_none(tmp_path, capsys):
    assert dapps.main(["--sequences", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.startswith("error: ")
