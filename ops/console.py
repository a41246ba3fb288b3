"""Words for people and commands for the machine, shared by the programs of this package (standard library only)."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


class SetupError(Exception):
    """The machine cannot be prepared: what is wrong, then the way out.

    Args:
        message: what is wrong.
        hint: what to do about it.
        exit_code: 2: the user must act; 1: a failure.
    """

    def __init__(self, message: str, hint: str = "", *, exit_code: int = 2) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code


class CommandError(SetupError):
    """A command ended with a non-zero code; `output` holds all it printed."""

    def __init__(self, argv: Sequence[str], code: int, output: str) -> None:
        tail = "\n".join("    " + line for line in output.strip().splitlines()[-12:])
        super().__init__(f"`{' '.join(argv)}` ended with code {code}" + (f":\n{tail}" if tail else ""), exit_code=1)
        self.output = output


def say(topic: str, text: str) -> None:
    """Print one line of progress."""
    print(f"{topic:<8}{text}", flush=True)


@contextmanager
def step(topic: str, what: str) -> Iterator[None]:
    """Print `topic  what ... 6.3 s`; the time is added when the block ends."""
    print(f"{topic:<8}{what} ... ", end="", flush=True)
    started = time.monotonic()
    try:
        yield
    except BaseException:
        print("failed", flush=True)
        raise
    print(f"{time.monotonic() - started:.1f} s", flush=True)


def run(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float | None = None,
) -> str:
    """Run a command and return what it printed (stdout and stderr together).

    Args:
        argv: the command; nothing is read from the terminal.
        env: added to this process's environment.
        cwd: where it runs.
        timeout: seconds.

    Raises:
        CommandError: it ended with a non-zero code, or is not there (127), or took too long (124).
    """
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    except FileNotFoundError as error:
        raise CommandError(words, 127, str(error)) from error
    except subprocess.TimeoutExpired as error:
        raise CommandError(words, 124, f"no answer in {timeout:.0f} s") from error
    if done.returncode != 0:
        raise CommandError(words, done.returncode, done.stdout)
    return done.stdout


def guarded(main: Callable[[], int]) -> int:
    """Run a program's `main`; a `SetupError` becomes `error:` and `hint:` on stderr, Ctrl-C becomes 130."""
    try:
        return main()
    except SetupError as error:
        print(f"error: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"hint:  {error.hint}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("\nerror: interrupted; run it again, it goes on where it stopped", file=sys.stderr)
        return 130
