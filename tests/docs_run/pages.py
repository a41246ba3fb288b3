"""The commands of the documentation, in the one form that its pages keep to.

A command is a line `$ ...` of a fenced block without a language, gone on with a backslash at the end of a line; a
comment may follow it. What comes below it, up to the next command, is what it prints, shortened. A YAML block whose
first line is `# name.yaml` is that file. Blocks with other languages, and blocks without a `$ ` line, hold no command.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ops.console import ROOT

#: What a line of a block may not begin with unless it is a command, that is: follows `$ `.
PROGRAMS = re.compile(
    r"(sudo|apt-get|git|make|pew|python3?|\S*/python|\S*/pip|\S*/brownie|brownie|npm|npx|docker|pip|export|\.) [^ ]"
)
_FILE = re.compile(r"# (\S+\.yaml)$")


@dataclass(frozen=True)
class Command:
    """One command: where it stands, its words without the comment, and the lines that the page shows below it."""

    page: str
    line: int
    text: str
    shown: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.text}"


@dataclass(frozen=True)
class File:
    """A file that a page has its reader write."""

    page: str
    line: int
    name: str
    text: str


@dataclass(frozen=True)
class Block:
    """A fenced block: its first line's number, its language, its lines."""

    page: str
    line: int
    language: str
    lines: tuple[str, ...]


def names() -> list[str]:
    """All pages, by their paths below the project."""
    return ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]


def read(page: str) -> str:
    return (ROOT / page).read_text()


def blocks(page: str, text: str) -> Iterator[Block]:
    """The fenced blocks of a page; ValueError where one does not end."""
    begun: tuple[int, str, list[str]] | None = None
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            if begun is None:
                begun = (number + 1, line.strip().removeprefix("```"), [])
            else:
                yield Block(page, begun[0], begun[1], tuple(begun[2]))
                begun = None
        elif begun is not None:
            begun[2].append(line)
    if begun is not None:
        raise ValueError(f"{page}:{begun[0] - 1}: this block does not end")


def steps(page: str, text: str) -> list[Command | File]:
    """Commands and files of a page in their order."""
    found: list[Command | File] = []
    for block in blocks(page, text):
        if block.language == "yaml" and block.lines and (named := _FILE.match(block.lines[0])):
            found.append(File(page, block.line, named[1], "\n".join(block.lines) + "\n"))
        elif not block.language:
            found += _commands(block)
    return found


def commands(page: str, text: str) -> list[Command]:
    return [step for step in steps(page, text) if isinstance(step, Command)]


def every_command() -> list[Command]:
    """Those of all pages."""
    return [each for page in names() for each in commands(page, read(page))]


def hidden(page: str, text: str) -> list[str]:
    """Lines of plain blocks that look like a command and have no `$ `."""
    found = []
    for block in blocks(page, text):
        going_on = False
        for offset, line in enumerate(block.lines):
            if not block.language and not going_on and PROGRAMS.match(line.strip()):
                found.append(f"{page}:{block.line + offset}: {line}")
            going_on = line.endswith("\\") and (going_on or line.startswith("$ "))
    return found


def _commands(block: Block) -> Iterator[Command]:
    text, begun, shown, going_on = "", 0, list[str](), False
    for offset, line in enumerate([*block.lines, "$ "]):
        if going_on:
            text = f"{text} {line.strip()}"
        elif line.startswith("$ "):
            if text:
                yield Command(block.page, begun, without_comment(text), tuple(shown))
            text, begun, shown = line.removeprefix("$ "), block.line + offset, []
        else:
            shown.append(line)
            continue
        going_on = text.endswith("\\")
        text = text.removesuffix("\\").rstrip()


def without_comment(line: str) -> str:
    """A shell line without the comment at its end."""
    quote = ""
    for at, char in enumerate(line):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char == "#" and (at == 0 or line[at - 1] == " "):
            return line[:at].rstrip()
    return line.rstrip()


def links(text: str) -> list[str]:
    """Targets of a page's links and pictures, those of fenced blocks left out."""
    plain = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"\]\(([^)\s]+)\)", plain)


def anchors(text: str) -> set[str]:
    """The names by which a page's headings are linked, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower().replace("`", "")).replace(" ", "-") for heading in headings}


def spans(text: str) -> list[str]:
    """Inline code of a page, that of fenced blocks left out."""
    plain = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return re.findall(r"`([^`\n]+)`", plain)


def exists(page: str, target: str) -> str | None:
    """What is wrong with a relative link, or None."""
    path, _, anchor = target.partition("#")
    there = (ROOT / page).parent / path if path else ROOT / page
    if not there.exists():
        return f"{page}: {target} is not there"
    if anchor and there.suffix == ".md" and anchor not in anchors(Path(there).read_text()):
        return f"{page}: {target}: no such heading"
    return None
