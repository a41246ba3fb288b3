"""`python -m sdk.builder build|push|test <name> [--registry HOST:PORT] [--json]`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from poco.errors import PewError
from sdk.builder import golden
from sdk.builder.image import Builder

_MB = 1_000_000


def main(arguments: list[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        started = time.monotonic()
        answer, ok = _run(options)
        answer["seconds"] = round(time.monotonic() - started, 2)
    except PewError as error:
        click.echo(f"error: {error.message}", err=True)
        if error.hint:
            click.echo(f"hint: {error.hint}", err=True)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    if options.json:
        click.echo(json.dumps(answer, indent=2))
    return 0 if ok else 1


def _run(options: argparse.Namespace) -> tuple[dict[str, Any], bool]:
    def tell(line: str) -> None:
        if not options.json:
            click.echo(line)

    builder = Builder(options.root, tell)
    if options.command == "build":
        built = builder.build(options.name, refresh_lock=options.refresh_lock)
        for platform, image in built.platforms.items():
            tell(f"{platform:14} {image.digest}  {image.compressed_bytes / _MB:.1f} MB")
        tell(f"{'index':14} {built.digest}")
        return {**asdict(built), "layout": str(built.layout)}, True
    pushed = builder.push(options.name, options.registry)
    if options.command == "push":
        tell(f"{pushed.reference}  {pushed.digest}")
        return asdict(pushed), True
    runs = golden.run_all(options.root, pushed, options.name)
    for run in runs:
        tell(f"{run.platform:14} {'ok  ' if run.ok else 'DIFFERS'} {run.digest}  {run.seconds:.1f} s")
    return {"runs": [asdict(run) for run in runs]}, all(run.ok for run in runs)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sdk.builder", description="Build dapps for ARM and amd64.")
    commands = parser.add_subparsers(dest="command", required=True)
    for command, text in (
        ("build", "build build/images/<name>, an OCI layout"),
        ("push", "build and push"),
        ("test", "build, push, run the golden input on every platform"),
    ):
        sub = commands.add_parser(command, help=text)
        sub.add_argument("name", help="folder below dapps/")
        sub.add_argument("--root", type=Path, default=Path(), help="the project's folder (default: this one)")
        sub.add_argument("--json", action="store_true", help="print one JSON document")
        if command == "build":
            sub.add_argument("--refresh-lock", action="store_true", help="resolve the packages anew")
        else:
            sub.add_argument("--registry", default="127.0.0.1:5000", help="host:port (default: %(default)s)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
