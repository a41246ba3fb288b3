"""`pew fleet init` and `add` as they are typed, and what is wrong said before anything is touched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sdk.cli import main
from sdk.fleet import inventory

POOL = "0x4e39aB2E570d38DCe002B1473f7646f776F1027b"


@pytest.fixture
def fleet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    path = tmp_path / "fleet.yaml"
    words = ["--scheduler", "https://pool.example", "--deployment", str(tmp_path / "d.json"), "fleet", "init"]
    assert main([*words, "--file", str(path), "--pool", POOL]) == 0
    capsys.readouterr()
    return path


def test_a_fleet_begins_empty_and_grows(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert inventory.load(fleet).hosts == {}
    words = ["fleet", "add", "--file", str(fleet)]
    assert main([*words, "roof-1", "10.0.0.1", "--site", "48.14,11.58", "--panel", "100", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["site"] == {"latitude": 48.14, "longitude": 11.58}
    assert main([*words, "roof-2", "10.0.0.2", "--user", "debian"]) == 0
    found = inventory.load(fleet)
    assert list(found.hosts) == ["roof-1", "roof-2"] and found.hosts["roof-2"].user == "debian"
    assert (found.hosts["roof-1"].panel_wp, found.hosts["roof-2"].panel_wp) == (100, 60)
    assert "# of the devices at a time" in fleet.read_text(), "its comments stay"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["init", "--pool", POOL], "needs its scheduler"),
        (["add", "roof-1"], "how is roof-1 reached"),
        (["add", "roof-1", "10.0.0.1", "--card", "x"], "how is roof-1 reached"),
        (["add", "Roof", "10.0.0.1"], "Roof"),
        (["add", "roof-1", "10.0.0.1", "--site", "here"], "no place"),
        (["add", "roof-1", "--card", "x"], "a place to fetch from"),
        (["plan", "roof-9"], "there is no roof-9"),
        (["drain"], "which devices"),
        (["remove"], "which devices"),
    ],
)
def test_what_is_wrong_is_said(
    fleet: Path, words: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PEW_SCHEDULER", raising=False)
    before = fleet.read_text()
    assert main(["fleet", *words, "--file", str(fleet)]) == 2
    shown = capsys.readouterr().err
    assert said in shown and "hint:" in shown
    assert fleet.read_text() == before


def test_nothing_is_overwritten(fleet: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = fleet.read_text()
    assert main(["--scheduler", "http://h", "fleet", "init", "--pool", POOL, "--file", str(fleet)]) == 2
    assert "exists already" in capsys.readouterr().err and fleet.read_text() == before
