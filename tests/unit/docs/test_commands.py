"""The pages' commands: all of them are run somewhere, all can be parsed, all links lead somewhere."""

from __future__ import annotations

import re

import pytest

from ops.console import ROOT
from tests.docs_run import elsewhere, pages, parsers, scenes

PAGES = pages.names()
COMMANDS = pages.every_command()


@pytest.mark.parametrize("page", PAGES)
def test_commands_have_the_one_form(page):
    assert pages.hidden(page, pages.read(page)) == []


def test_every_command_is_run():
    """Typed by the pages' own run, or named with the test that runs it."""
    typed = {*scenes.SHORT, *scenes.LONG}
    assert len(COMMANDS) > 100
    assert [str(each) for each in COMMANDS if elsewhere.run_by(each) is None and each.page not in typed] == []


@pytest.mark.parametrize("entry", elsewhere.TABLE, ids=lambda entry: entry.pattern)
def test_what_other_tests_run_is_in_them(entry):
    assert any(elsewhere.run_by(each) is entry for each in COMMANDS), "no page has it any more"
    assert bool(entry.by) is not bool(entry.not_here)
    for path, words in entry.by.items():
        assert words in (ROOT / path).read_text(), path


def test_pages_that_are_typed_have_something_to_type():
    for page in (*scenes.SHORT, *scenes.LONG):
        assert [each for each in pages.commands(page, pages.read(page)) if elsewhere.run_by(each) is None], page


@pytest.mark.parametrize("command", COMMANDS, ids=str)
def test_the_programs_own_parsers_take_it(command):
    assert parsers.trouble(command.text) is None


def test_commands_within_sentences_exist():
    found = [
        (page, span) for page in PAGES for span in pages.spans(pages.read(page)) if re.match(r"(pew|make) \S", span)
    ]
    assert len(found) > 50
    assert [(page, wrong) for page, span in found if (wrong := parsers.span_trouble(span))] == []


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    inner = [target for target in pages.links(pages.read(page)) if not re.match(r"[a-z]+:", target)]
    assert [wrong for target in inner if (wrong := pages.exists(page, target))] == []


def test_every_page_is_reached_from_the_readme():
    seen, left = set(), ["README.md"]
    while left:
        page = left.pop()
        if page in seen:
            continue
        seen.add(page)
        for target in pages.links(pages.read(page)):
            path = ((ROOT / page).parent / target.partition("#")[0]).resolve()
            if path.suffix == ".md" and path.is_relative_to(ROOT / "docs"):
                left.append(str(path.relative_to(ROOT)))
    assert seen == set(PAGES)


# the tests' own tools


TEXT = """
```
$ pew run app \\
    --args "# no comment" # a comment
what it prints
$ ls
```
```yaml
# x/worker.yaml
a: 1
```
```
pew hidden
```
"""


def test_commands_and_files_are_found():
    command, other, file = pages.steps("x", TEXT)
    assert (command.text, command.line, command.shown) == ('pew run app --args "# no comment"', 3, ("what it prints",))
    assert isinstance(other, pages.Command) and other.shown == ()
    assert (file.name, file.text) == ("x/worker.yaml", "# x/worker.yaml\na: 1\n")
    assert pages.hidden("x", TEXT) == ["x:13: pew hidden"]


def test_a_command_that_nobody_runs_is_found():
    assert elsewhere.run_by(pages.Command("docs/reference/gas.md", 1, "pew account deposit 10")) is None
    assert "docs/reference/gas.md" not in (*scenes.SHORT, *scenes.LONG)


@pytest.mark.parametrize(
    "text",
    [
        "pew run 0x..app --no-such-option", "pew nothing", "pew account deposit", "make nothing",
        "python -m worker dance",
        "pew up --nonsense", "pew scheduler backup", "python -m scripts.network --chain-port x", "pew task show 0x12",
    ],
)  # fmt: skip
def test_what_no_parser_takes_is_told(text):
    assert parsers.trouble(text)


def test_sentences_that_say_what_is_not_there():
    assert parsers.span_trouble("pew run --green") is None
    assert parsers.span_trouble("pew run --nonsense")
    assert parsers.span_trouble("pew nothing here")
    assert parsers.span_trouble("make nothing")
