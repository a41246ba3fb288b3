"""`python -m scheduler --config scheduler.yaml`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from poco.errors import PewError


def main() -> int:
    """Exit code: 0 after SIGTERM, 2 for what is wrong in the settings, 1 for another failure, 130 for Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m scheduler", description="Runs a workerpool.")
    parser.add_argument("--config", required=True, type=Path, help="the pool's settings, a YAML file")
    arguments = parser.parse_args()
    from scheduler import log, service

    log.set_up()
    try:
        service.run(arguments.config)
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
