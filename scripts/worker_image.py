"""Builds and pushes the image of the worker itself for ARM: `make worker-image` or `python -m scripts.worker_image`.

The same cross-builder as for dapps: Debian's Python, the wheels that requirements-worker.txt locks, our own packages.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from ops.console import ROOT
from poco.errors import PewError
from sdk.builder.description import Image, load_image
from sdk.builder.image import Builder, BuiltImage

FOLDER = ROOT / "ops" / "worker-image"


def build(root: Path = ROOT, *, folder: Path = FOLDER, refresh_lock: bool = False, quiet: bool = False) -> BuiltImage:
    """Build `build/images/pew-worker`, or what another folder describes.

    Raises:
        BadInputError, PewError: a lock or a package cannot be had.
    """
    builder = Builder(root, (lambda _: None) if quiet else print)
    return builder.build_image(load_image(folder / "image.yaml", Image, builder.shared), folder, root, refresh_lock)


def main(words: list[str] | None = None, *, folder: Path = FOLDER, program: str = "worker_image") -> int:
    """Build, and push where a registry is named; returns the exit code."""
    said = f"Builds and pushes the image that ops/{folder.name}/image.yaml describes"
    parser = argparse.ArgumentParser(prog=f"python -m scripts.{program}", description=said)
    parser.add_argument("--push", metavar="HOST:PORT", help="push to this registry")
    parser.add_argument("--refresh-lock", action="store_true", help="resolve the Debian packages anew")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(words)
    try:
        built = build(folder=folder, refresh_lock=options.refresh_lock, quiet=options.json)
        pushed = Builder(ROOT).push(built, options.push) if options.push else None
    except PewError as error:
        print(f"error: {error.message}\nhint:  {error.hint}", file=sys.stderr)
        return error.exit_code
    if options.json:
        print(json.dumps({**asdict(built), "layout": str(built.layout), "pushed": pushed and asdict(pushed)}, indent=2))
        return 0
    for platform, image in built.platforms.items():
        print(f"{platform:13} {image.digest}  {image.compressed_bytes / 1e6:.1f} MB")
    print(f"{pushed.reference}@{pushed.digest}" if pushed else f"{built.layout}  {built.digest}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
