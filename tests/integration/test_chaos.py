"""The crash campaign's short profile: ten faults on a whole network, judged by the chain."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from ops.console import ROOT

pytestmark = [pytest.mark.docker, pytest.mark.chain, pytest.mark.long]


def test_ten_faults_cost_nobody_anything(tmp_path: Path) -> None:
    report = tmp_path / "chaos.json"
    argv = [sys.executable, "-m", "tests.chaos", "--seed", "1", "--faults", "10", "--chain", "anvil"]
    argv += ["--folder", str(tmp_path / "run"), "--output", str(report)]
    done = subprocess.run(argv, capture_output=True, text=True, cwd=ROOT, check=False, timeout=600)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    found = json.loads(report.read_text())
    assert found["faults"] >= 10
    assert found["tasks"].get("COMPLETED", 0) >= 3
    assert {found[name] for name in ("stakes_lost", "unpaid", "double_paid", "stuck", "orphans")} == {0}
