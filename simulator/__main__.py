"""`python -m simulator`; `pew fleet simulate` starts it."""

from __future__ import annotations

import sys


def main(argv: list[str] | None = None) -> int:
    """The program; its exit code. Ctrl-C ends it at once, also while it is still being loaded."""
    try:
        from simulator.command import run

        return run(argv)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
