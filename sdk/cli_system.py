"""What runs beside the market: `pew up`, `pew demo`, `pew worker`, `pew scheduler`, `pew completion`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import click
from click.shell_completion import get_completion_class

from poco.errors import BadInputError, PewError

_AS_IS = {"ignore_unknown_options": True}
#: What each daemon cannot be without, beside its own code.
_NEEDS = {"worker": "docker", "scheduler": "fastapi"}
_words = click.argument("words", metavar="[OPTIONS]", nargs=-1, type=click.UNPROCESSED)


@click.command(context_settings=_AS_IS)
@_words
def up(words: tuple[str, ...]) -> None:
    """Start a whole network on this machine: chain, contracts, registry, a pool with three solar workers.

    It stays until Ctrl-C, and writes build/network/env, which tells pew in another terminal where all that is. Only in
    a checkout of the project. Options: --dir, --chain-port, --registry-port, --scheduler-port, --files-port.

    \b
    Examples:
      pew up
      pew up --scheduler-port 17301
    """
    _run_here("scripts.network", words)


@click.command(context_settings=_AS_IS)
@_words
def demo(words: tuple[str, ...]) -> None:
    """One paid task from the order to the picture, on a network that is made for it and ends with it.

    \b
    Examples:
      pew demo
      pew demo --trust 4
    """
    _run_here("scripts.demo", words)


@click.command(context_settings=_AS_IS)
@_words
def worker(words: tuple[str, ...]) -> None:
    """Run or look after a worker on this machine: run, status, doctor, ledger, sensors, export.

    All of them but sensors want --config FILE; docs/reference/worker.md has the file and every option.

    \b
    Examples:
      pew worker doctor --config worker.yaml
      pew worker run --config worker.yaml
      pew worker status --config worker.yaml
    """
    _daemon("worker", words)


@click.command(context_settings=_AS_IS)
@_words
def scheduler(words: tuple[str, ...]) -> None:
    """Run a pool's scheduler until SIGTERM; backup and restore copy its data. docs/reference/scheduler.md has the file.

    \b
    Examples:
      pew scheduler --config scheduler.yaml
      pew scheduler --config scheduler.yaml backup /media/backup
    """
    _daemon("scheduler", words)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print what makes SHELL complete commands, options and values of pew.

    \b
    Examples:
      pew completion bash >> ~/.bashrc
      pew completion zsh >> ~/.zshrc
      pew completion fish > ~/.config/fish/completions/pew.fish
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise BadInputError(f"nothing is known of {shell}", hint="bash, zsh or fish")
    click.echo(kind(ctx.find_root().command, {}, "pew", "_PEW_COMPLETE").source())


def checkout(start: Path) -> Path | None:
    """The checkout of this project that a folder lies in."""
    for folder in (start, *start.parents):
        if (folder / "scripts" / "network.py").is_file() and (folder / "dapps").is_dir():
            return folder
    return None


def _run_here(module: str, words: Sequence[str]) -> NoReturn:
    root = checkout(Path.cwd()) or checkout(Path(__file__).resolve().parent)
    if root is None:
        raise BadInputError(
            "this needs a checkout of the project, and here is none",
            hint="git clone it, `make setup` in it, and call pew there",
            code="NO_CHECKOUT",
        )
    os.chdir(root)
    done = subprocess.run([sys.executable, "-m", "ops.brownie_setup"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise PewError(f"this checkout is not set up: {done.stderr.strip()[-300:]}", hint="run `make setup` in it")
    _become(module, words)


def _daemon(name: str, words: Sequence[str]) -> NoReturn:
    if find_spec(name) is None or find_spec(_NEEDS[name]) is None:
        raise BadInputError(
            f"the {name} is not installed beside this pew",
            hint=f"pip install --require-hashes -r requirements-{name}.txt in the project's folder",
            code="NOT_INSTALLED",
        )
    _become(name, words)


def _become(module: str, words: Sequence[str]) -> NoReturn:
    """The program takes this process's place: signals, terminal and exit code are its own."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-m", module, *words])  # noqa: S606  (a module of ours, no shell)
