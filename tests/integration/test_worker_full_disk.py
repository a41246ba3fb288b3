"""A disk that is full: what was there stays usable, and the way out is told. The disk is a tmpfs of 12 MB."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ops.console import ROOT
from tests.integration.runner_bench import NATIVE, Publisher

#: Pulls what fits, then what does not; trims, and pulls again.
PULLING = """
import json, sys
from pathlib import Path
from worker.config import DockerLimits
from worker.runner.errors import RunError
from worker.runner.store import ImageStore

folder, platform, (small, large, other) = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
store = ImageStore(folder, DockerLimits(images_keep_mb=0), platform)
kept = store.pull(*small, lambda: False)
try:
    store.pull(*large, lambda: False)
    failed = []
except RunError as error:
    failed = [error.cause, error.message, error.hint]
left = sorted(each.name for each in folder.iterdir())
usable = (store.image(kept).root / "probe").stat().st_size
gone = store.trim([kept])
second = store.pull(*other, lambda: False)
print(json.dumps({"kept": kept, "failed": failed, "left": left, "usable": usable, "gone": gone, "second": second}))
"""


@pytest.mark.bubblewrap
def test_a_pull_that_fills_the_disk(publisher: Publisher, probe: bytes, tmp_path: Path) -> None:
    small, large, other = (
        publisher.push(f"disk{size}", {NATIVE: probe + os.urandom(size)}) for size in (4_000_000, 20_000_000, 5_000_000)
    )
    assert shutil.which("bwrap"), "bubblewrap is missing: apt-get install bubblewrap, or leave out with -m"
    disk = ["bwrap", "--dev-bind", "/", "/", "--size", "12582912", "--tmpfs", str(tmp_path)]
    argv = [sys.executable, "-c", PULLING, str(tmp_path / "images"), NATIVE, json.dumps([small, large, other])]
    done = subprocess.run([*disk, "--", *argv], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    cause, message, hint = told["failed"]
    assert cause == "APP_IMAGE_DOWNLOAD_FAILED" and "No space left" in message
    assert "images_keep_mb" in hint
    assert told["left"] == [told["kept"].rpartition(":")[2]], "half an image is none"
    assert told["usable"] == len(probe) + 4_000_000
    assert told["gone"] == [told["kept"]] and told["second"], "what was trimmed makes room"
