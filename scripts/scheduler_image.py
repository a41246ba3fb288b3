"""Builds and pushes the image of the scheduler: `make scheduler-image` or `python -m scripts.scheduler_image`."""

from __future__ import annotations

import sys

from ops.console import ROOT
from scripts import worker_image

FOLDER = ROOT / "ops" / "scheduler-image"


def main(words: list[str] | None = None) -> int:
    """Build, and push where a registry is named; returns the exit code."""
    return worker_image.main(words, folder=FOLDER, program="scheduler_image")


if __name__ == "__main__":
    sys.exit(main())
