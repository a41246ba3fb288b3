"""The programs' own parsers, asked whether they take a line; nothing is run."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from io import StringIO

import click

from ops.console import ROOT
from sdk.cli import cli
from sdk.cli_common import Settings

ADDRESS, ID = "0x" + "12" * 20, "0x" + "34" * 32
#: Commands of pew that become another program, which parses the rest.
BECOMES = {"up": "scripts.network", "demo": "scripts.demo", "worker": "worker", "scheduler": "scheduler"}
_PLACEHOLDERS = ((r"0x<[^>]*>|0x\.\.\w*|0x\.\.\.", ADDRESS), (r"\b(TASK|DEAL)\b", ID))


class ParsedError(Exception):
    """A parser took the line; which."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__(parser.prog)
        self.parser = parser


def trouble(text: str) -> str | None:
    """What the program's parser says against a shell line; None where it takes it, or is none of ours."""
    for pattern, value in _PLACEHOLDERS:
        text = re.sub(pattern, value, text)
    words = shlex.split(text)
    words = words[: next((at for at, word in enumerate(words) if word in {">", "&&", "|", ";"}), len(words))]
    while words and re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    if words[:1] == ["pew"]:
        return _pew(words[1:])
    if words[:1] == ["make"]:
        return _make(words[1:])
    module = _module(words)
    return _other(module, words[3:]) if module else None


def _module(words: Sequence[str]) -> str | None:
    ours = {"worker", "scheduler"}
    if len(words) >= 3 and words[0].endswith("python") and words[1] == "-m":
        return words[2] if words[2] in ours or words[2].startswith("scripts.") else None
    return None


def _pew(words: list[str]) -> str | None:
    try:
        ctx = cli.make_context("pew", words, obj=Settings())
        while isinstance(ctx.command, click.Group):
            name, command, rest = ctx.command.resolve_command(ctx, [*ctx._protected_args, *ctx.args])
            if command is None or name is None:
                return f"no command {rest}"
            ctx = command.make_context(name, rest, parent=ctx)
            if name in BECOMES:
                return _other(BECOMES[name], ctx.params["words"])
    except click.ClickException as error:
        return error.format_message()
    except click.exceptions.Exit:
        return None
    return None


def _make(words: list[str]) -> str | None:
    targets = re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    return next((f"no target {word}" for word in words if "=" not in word and word not in targets), None)


def _other(module: str, words: Sequence[str]) -> str | None:
    name = f"{module}.__main__" if module in {"worker", "scheduler"} else module
    main = importlib.import_module(name).main
    said = StringIO()
    with parsing_only(words), redirect_stderr(said):
        try:
            main()
        except ParsedError:
            return None
        except SystemExit as error:
            return said.getvalue().strip() if error.code else None
    return f"{module} parses nothing"


@contextmanager
def parsing_only(words: Sequence[str]) -> Iterator[None]:
    """As long as this lasts a program that parses `words` with argparse ends there."""
    real, argv = argparse.ArgumentParser.parse_args, sys.argv

    def parse(parser: argparse.ArgumentParser, args: Sequence[str] | None = None, namespace: object = None) -> object:
        real(parser, args, namespace)
        raise ParsedError(parser)

    argparse.ArgumentParser.parse_args = parse  # type: ignore[assignment,method-assign]
    sys.argv = ["program", *words]
    try:
        yield
    finally:
        argparse.ArgumentParser.parse_args, sys.argv = real, argv  # type: ignore[method-assign]


def span_trouble(span: str) -> str | None:
    """What is wrong with `pew ...` or `make ...` inside a sentence: a command or an option that does not exist."""
    words = span.replace("\\|", "|").split()
    if words[0] == "make":
        return _make([word for word in words[1:2] if re.fullmatch(r"[a-z0-9-]+", word)])
    command: click.Command = cli
    options = _options(cli)
    left = iter(words[1:])
    for word in left:
        if isinstance(command, click.Group) and re.fullmatch(r"[a-z]+", word):
            found = command.commands.get(word) or command.get_command(click.Context(command), word)
            if found is None:
                return f"`{span}`: no command {word}"
            command = found
            options |= _options(command)
            if word in BECOMES:
                return None
        option = re.match(r"\[?(--[a-z-]+)", word)
        if option and option[1] not in options:
            return f"`{span}`: no option {option[1]}"
        if option and options[option[1]]:
            next(left, None)
    return None


def _options(command: click.Command) -> dict[str, bool]:
    """The command's options, and whether a value follows."""
    found = {"--help": False}
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            found |= dict.fromkeys((*parameter.opts, *parameter.secondary_opts), not parameter.is_flag)
    return found
