"""Commands as a person types them: each in bash on a terminal, questions answered, variables and folder kept."""

from __future__ import annotations

import os
import pty
import re
import select
import shlex
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")
#: What a program asks at the end of a line, and what is typed.
ANSWERS = {r"\[y/N\]: ?$": "y", r"(Password of|Repeat for confirmation|New password)[^\n]*: ?$": "a long password"}

_TERMINAL = {"TERM": "dumb", "NO_COLOR": "1", "LANG": "C.UTF-8", "COLUMNS": "200", "PYTHONUNBUFFERED": "1"}

#: Variables that say how this machine reaches the world; no other reaches the terminal.
_OF_THE_MACHINE = re.compile(
    r"PATH$|DOCKER_HOST$|(UV|PIP|SSL|npm_config)_|REQUESTS_CA_BUNDLE$|\w+_proxy$", re.IGNORECASE
)


@dataclass(frozen=True)
class Ended:
    """How a command ended: its exit code, and all it printed."""

    code: int
    output: str


class Shell:
    """One reader's terminal.

    Args:
        folder: where it stands at first.
        home: the reader's home; also keeps the variables between commands.
        env: variables to begin with.
    """

    def __init__(self, folder: Path, home: Path, env: dict[str, str]) -> None:
        self._state = home / ".state"
        lines = [f"export {name}={shlex.quote(value)}" for name, value in env.items()]
        self._state.write_text("\n".join([*lines, f"cd {shlex.quote(str(folder))}"]) + "\n")
        self._home = home

    def run(self, text: str, seconds: float = 240) -> Ended:
        """Run one command to its end; TimeoutError with what it printed where it does not come."""
        child, terminal = self.start(text)
        output, end = "", time.monotonic() + seconds
        answered = 0
        try:
            while True:
                if time.monotonic() > end:
                    raise TimeoutError(f"{text}: no end after {seconds} s:\n{output[-3000:]}")
                if not select.select([terminal], [], [], 0.2)[0]:
                    continue
                try:
                    read = os.read(terminal, 65536)
                except OSError:  # Linux says so where nobody holds the other side any more
                    read = b""
                if not read:
                    break
                output += _ESCAPES.sub("", read.decode(errors="replace"))
                for question, answer in ANSWERS.items():
                    if re.search(question, output[answered:]):
                        os.write(terminal, f"{answer}\n".encode())
                        answered = len(output)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            return Ended(code, output)
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(child, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(child, 0)
            raise
        finally:
            os.close(terminal)

    def background(self, text: str, log: Path) -> subprocess.Popen[bytes]:
        """Begin a command that goes on until it is told to end, as in a terminal of its own."""
        script = f". {shlex.quote(str(self._state))}\nexec {text}"
        with log.open("wb") as out:
            argv = ["bash", "--noprofile", "--norc", "-c", script]
            return subprocess.Popen(
                argv, env=self._clean(), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip

    def _clean(self) -> dict[str, str]:
        machine = {name: value for name, value in os.environ.items() if _OF_THE_MACHINE.match(name)}
        return {**machine, "HOME": str(self._home), **_TERMINAL}

    def start(self, text: str) -> tuple[int, int]:
        """Begin a command; its process and the terminal that it talks to."""
        state = shlex.quote(str(self._state))
        keep = f'{{ export -p; declare -f; printf "cd %q\\n" "$PWD"; }} > {state}'
        script = f". {state}\n{text}\ncode=$?\n{keep}\nexit $code"
        child, terminal = pty.fork()
        if child == 0:
            os.execve("/bin/bash", ["bash", "--noprofile", "--norc", "-c", script], self._clean())  # noqa: S606
        return child, terminal
