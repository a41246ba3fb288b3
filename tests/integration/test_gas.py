"""The gas benchmark with a small bag: the goals hold, and the original costs what is published of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from web3 import HTTPProvider, Web3

from benchmarks import gas
from ops.console import ROOT
from ops.ports import free_port
from ops.stack import Stack

PUBLISHED = {"trust1": 1_670_068, "fast": 1_402_100, "two_workers_dataset": 2_276_735}

pytestmark = pytest.mark.chain


def test_half_of_the_original(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run([Path(sys.executable).parent / "brownie", "compile"], cwd=ROOT, check=True, capture_output=True)
    monkeypatch.setattr(gas, "BAG", 2)
    with Stack(tmp_path, handle_signals=False) as stack:
        measured, _ = gas.compare(Web3(HTTPProvider(gas.start_other(stack, free_port()))))
    assert {name: row["ratio"] for name, row in gas.rows(measured).items() if row["ratio"] > 1} == {}
    for total in gas.TOTALS:
        assert measured["ours"][total] <= gas.GOAL * measured["real"][total], total
    for total, published in PUBLISHED.items():
        assert abs(measured["real"][total] - published) < published / 100, total
