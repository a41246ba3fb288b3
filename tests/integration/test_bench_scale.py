"""The scale benchmark in small, so that it does not rot: its figures are not judged here, only that they are there."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.scale.figures import exponent, line, percentile
from ops.console import ROOT


@pytest.mark.docker
@pytest.mark.chain
@pytest.mark.long
def test_every_row_is_measured(tmp_path: Path, docker_client: object) -> None:
    out = tmp_path / "scale.json"
    words = ["--sizes", "8", "--warm", "4", "--seconds", "6", "--tasks-per-worker", "6", "--poll-seconds", "2"]
    words += ["--idle-seconds", "1", "--tasks", "1"]
    argv = [sys.executable, "-m", "benchmarks.scale", *words, "--dir", str(tmp_path / "run")]
    done = subprocess.run(
        [*argv, "--output", str(out)], cwd=ROOT, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    found = json.loads(out.read_text())
    assert set(found) == {"scheduler", "worker", "overhead_s"}
    assert set(found["worker"]) == {"idle_rss_mb", "idle_cpu_pct", "task_rss_mb"}
    assert set(found["scheduler"]) == {"8"}
    for row in found["scheduler"].values():
        assert set(row) == {"p50_ms", "p99_ms", "cpu_pct", "rss_mb", "tasks_per_min"}
        assert all(math.isfinite(value) and value > 0 for value in row.values()), row
    assert found["overhead_s"] > 0
    assert "not as wanted" not in done.stdout


def test_figures() -> None:
    assert [percentile(range(1, 101), share) for share in (0.5, 0.99, 1)] == [50, 99, 100]
    assert math.isnan(percentile([], 0.5))
    sizes = [100.0, 1000.0, 5000.0]
    assert exponent(sizes, [3 * n**2 for n in sizes]) == pytest.approx(2)
    assert line(sizes, [7 + 0.5 * n for n in sizes]) == pytest.approx((7, 0.5))
