"""The scheduler's systemd units, by systemd's own judgement."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ops.console import ROOT

UNITS = ROOT / "ops" / "systemd"
#: 0 is shut, 10 is open; a worker's browser is at 9.
MOST_EXPOSED = 1.5


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """As they are installed; programs that this machine lacks replaced by one that it has."""
    for path in UNITS.glob("pew-scheduler*"):
        if path.is_dir():
            shutil.copytree(path, tmp_path / path.name)
            continue
        text = path.read_text().replace("/opt/pew-scheduler/venv/bin/python", os.path.realpath(sys.executable))
        (tmp_path / path.name).write_text(text)
        (tmp_path / path.name.replace("@", "@1")).write_text(text)
    return tmp_path


def analyze(units: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "SYSTEMD_UNIT_PATH": f"{units}:"}
    return subprocess.run(["systemd-analyze", *words], env=env, capture_output=True, text=True, check=False, timeout=60)


def test_systemd_finds_nothing_wrong(units: Path) -> None:
    names = ["pew-scheduler@1.service", "pew-scheduler-backup@1.service", "pew-scheduler-backup@1.timer"]
    done = analyze(units, "verify", *(units / name for name in names))
    said = [line for line in (done.stdout + done.stderr).splitlines() if "pew-" in line or str(units) in line]
    assert not said, said
    (units / names[0]).write_text((units / names[0]).read_text().replace("Restart=always", "Restart=perhaps"))
    done = analyze(units, "verify", units / names[0])
    assert "perhaps" in done.stdout + done.stderr, "what is wrong would be told"


@pytest.mark.parametrize("name", ["pew-scheduler@1.service", "pew-scheduler-backup@1.service"])
def test_they_can_do_little(units: Path, name: str) -> None:
    done = analyze(units, "security", "--offline=true", "--no-pager", units / name)
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    assert float(found[1]) <= MOST_EXPOSED


def test_the_scheduler_needs_no_memory_that_is_written_and_run() -> None:
    """`MemoryDenyWriteExecute` would end a program whose libraries make code as they run."""
    program = (
        "import ctypes, mmap\n"
        "assert ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) == 0\n"  # PR_SET_MDWE, linux/prctl.h
        "try:\n    mmap.mmap(-1, 4096, prot=7)\nexcept PermissionError:\n    pass\n"
        "else:\n    raise SystemExit('not denied')\n"
        "import coincurve, psycopg, uvloop, scheduler.service\n"
        "from eth_account import Account\n"
        "Account.create().unsafe_sign_hash(b'x' * 32)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
