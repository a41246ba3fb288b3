"""`python -m scheduler --config scheduler.yaml`; `backup` and `restore` copy its data."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from poco.errors import PewError


def main() -> int:
    """Exit code: 0 after SIGTERM, 2 for what is wrong in the settings, 1 for another failure, 130 for Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m scheduler", description="Runs a workerpool.")
    parser.add_argument("--config", required=True, type=Path, help="the pool's settings, a YAML file")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", help="none: run until SIGTERM")
    for name, text in (
        ("backup", "copy the data into a folder, also while schedulers run"),
        ("restore", "put such a copy back where no data are"),
    ):
        commands.add_parser(name, help=text, description=text).add_argument("folder", type=Path)
    given = parser.parse_args()
    from scheduler import log

    log.set_up()
    try:
        if given.command is None:
            from scheduler import service

            service.run(given.config)
        else:
            from scheduler import backup, config

            work = {"backup": backup.backup, "restore": backup.restore}[given.command]
            done = work(config.load(given.config), given.folder)
            print(f"{given.command}: {done['bytes']} bytes of database, {done['files']} files")  # noqa: T201
    except PewError as error:
        print(f"error: {error.message}", file=sys.stderr)  # noqa: T201
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
