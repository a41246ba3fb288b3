"""Writes docs/reference/commands.md from the programs' own parsers: `python -m tests.docs_run.reference`."""

from __future__ import annotations

import argparse
import importlib
import inspect
from collections.abc import Iterator

import click

from ops.console import ROOT
from sdk.cli import cli
from tests.docs_run.parsers import BECOMES, ParsedError, parsing_only

PAGE = ROOT / "docs" / "reference" / "commands.md"
HEAD = """# Commands

Written by `tests/docs_run/reference.py` from the programs' own parsers; a test compares. What belongs to all commands
of `pew` (wallets, exit codes, what is checked) stands in [the `pew` command](sdk.md). `--help` of each has examples,
and `--json` goes with all that print something. `make` alone lists its targets.
"""
_OF_ALL = {"--help", "--json", "--version"}
#: The programs that commands of pew become, as they are called without pew.
_CALLED = {"up": "python -m scripts.network", "demo": "python -m scripts.demo"}


def text() -> str:
    """The page."""
    parts = [HEAD, *_command(cli, ["pew"])]
    return "\n".join(parts).rstrip() + "\n"


def _command(command: click.Command, path: list[str]) -> Iterator[str]:
    ctx = click.Context(command, info_name=path[-1])
    pieces = [piece for piece in command.collect_usage_pieces(ctx) if not piece.startswith(("[OPTIONS]", "COMMAND"))]
    becomes = BECOMES.get(path[1]) if len(path) == 2 else None
    level = min(len(path) + 1, 3)
    yield f"{'#' * level} `{' '.join([*path, *([] if becomes else pieces)])}`"
    yield _first(command.help) + "\n"
    if becomes:
        yield from _program(path[1], becomes)
        return
    rows = [(opts, said) for parameter in command.params if (row := _option(parameter, ctx)) for opts, said in [row]]
    yield from _table(rows)
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            found = command.get_command(ctx, name)
            if found is not None and not found.hidden:
                yield from _command(found, [*path, name])


def _option(parameter: click.Parameter, ctx: click.Context) -> tuple[str, str] | None:
    if not isinstance(parameter, click.Option) or _OF_ALL & set(parameter.opts):
        return None
    return parameter.get_help_record(ctx)


def _program(name: str, module: str) -> Iterator[str]:
    """The options of a program that has a parser of its own."""
    parser = _parser(module)
    actions = [action for action in parser._actions if not isinstance(action, argparse._HelpAction)]
    yield f"Becomes `{_CALLED.get(name, f'python -m {module}')}`, which can be called without `pew` too.\n"
    formatter = parser._get_formatter()
    rows = []
    for action in actions:
        if isinstance(action, argparse._SubParsersAction):
            rows += [
                (_subcommand(each.dest, action.choices[each.dest]), each.help or "") for each in action._choices_actions
            ]
            continue
        value = "" if action.nargs == 0 else f" {action.metavar or (action.dest or '').upper()}"
        said = formatter._expand_help(action) if action.help else ""
        named = "|".join(map(str, action.choices)) if action.choices else action.dest.upper()
        rows.append((", ".join(action.option_strings) + value if action.option_strings else f"[{named}]", said))
    yield from _table(rows)


def _subcommand(name: str, parser: argparse.ArgumentParser) -> str:
    return " ".join([name, *(each.dest.upper() for each in parser._actions if not each.option_strings)])


def _parser(module: str) -> argparse.ArgumentParser:
    name = f"{module}.__main__" if module in {"worker", "scheduler"} else module
    words = ["--config", "x"] if module in {"worker", "scheduler"} else []
    with parsing_only(words):
        try:
            importlib.import_module(name).main()
        except ParsedError as found:
            return found.parser
    raise AssertionError(f"{module} parses nothing")


def _first(help_text: str | None) -> str:
    """The first paragraph, as one line."""
    return " ".join(inspect.cleandoc(help_text or "").split("\n\n")[0].replace("\b", "").split())


def _table(rows: list[tuple[str, str]]) -> Iterator[str]:
    if rows:
        yield "| option | |\n|---|---|"
        for option, said in rows:
            yield f"| `{_cell(option)}` | {_cell(' '.join(said.split()))} |"
        yield ""


def _cell(words: str) -> str:
    return words.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(text())
