"""The reference pages say what the programs have: every command, every HTTP call, every key of the configuration."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from types import UnionType
from typing import Any, Union, get_args, get_origin
from unittest.mock import MagicMock

import pytest
import yaml
from pydantic import BaseModel
from starlette.routing import Route

from ops.console import ROOT
from scheduler import api
from scheduler.config import Config
from tests.docs_run import pages, reference
from worker.config import WorkerConfig


def test_commands(monkeypatch):
    for name in [name for name in os.environ if name.startswith("PEW_")]:
        monkeypatch.delenv(name)
    assert reference.PAGE.read_text() == reference.text(), "run: python -m tests.docs_run.reference"


def routes(of: Any) -> Iterator[Route]:
    """Of an application, those of its routers too: these are kept whole inside it."""
    for each in of.routes:
        if isinstance(each, Route):
            yield each
        elif (inner := getattr(each, "original_router", None)) is not None:
            yield from routes(inner)


def test_http_calls():
    """Routes of the application against those of the page; nothing is asked of the services."""
    served = {(method, route.path) for route in routes(api.build(MagicMock())) for method in route.methods or ()}
    rows = [line for line in pages.read("docs/reference/http.md").splitlines() if line.startswith("| `")]
    calls = [re.findall(r"`(GET|HEAD|POST|PUT|DELETE) (/[^`?]*)`", row.split(" | ")[0]) for row in rows]
    written = [call for found in calls for call in found]
    assert len(written) == len(set(written)) > 40
    assert set(written) == served


@pytest.mark.parametrize(("page", "model"), [("worker", WorkerConfig), ("scheduler", Config)])
def test_keys_of_the_configuration(page, model):
    text = pages.read(f"docs/reference/{page}.md")
    example = next(block for block in pages.blocks(page, text) if block.language == "yaml")
    compare(yaml.safe_load("\n".join(example.lines)), model, page)


def compare(shown: dict[str, Any], model: type[BaseModel], where: str) -> None:
    """The same keys, in sections that the page does not leave to another one too."""
    assert set(shown) == set(model.model_fields), where
    for name, value in shown.items():
        section = section_of(model.model_fields[name].annotation)
        if section is not None and value:
            compare(value, section, f"{where}: {name}")


def section_of(annotation: Any) -> type[BaseModel] | None:
    options = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return next((each for each in options if isinstance(each, type) and issubclass(each, BaseModel)), None)


@pytest.mark.parametrize("page", ["docs/explanation/poco.md", "docs/explanation/actors.md"])
def test_diagrams_name_who_takes_part(page):
    """Every arrow of a sequence diagram begins and ends at a participant, every diagram says what it is."""
    drawn = [block for block in pages.blocks(page, pages.read(page)) if block.language == "mermaid"]
    assert drawn
    for block in drawn:
        assert block.lines[0] in {"sequenceDiagram", "flowchart LR"}
        if block.lines[0] == "sequenceDiagram":
            known = {line.split()[1] for line in block.lines if line.strip().startswith("participant ")}
            arrows = [re.fullmatch(r"\s+(\w+)-?->>(\w+): .+", line) for line in block.lines if "->>" in line]
            assert arrows and all(each and set(each.groups()) <= known for each in arrows), block.line
            rest = [line.split()[0] for line in block.lines[1:] if "->>" not in line]
            assert set(rest) <= {"participant", "Note"}


def test_contracts_named_in_the_reference_exist():
    text = pages.read("docs/reference/contracts.md")
    abi = (ROOT / "poco" / "abi" / "hub.json").read_text()
    calls = re.search(r"## Which call does what\n(.*?)\n## ", text, flags=re.DOTALL)
    assert calls is not None
    named = [
        name
        for row in calls[1].splitlines()
        if row.startswith("| ")
        for name in re.findall(r"`(\w+)`", row.split("|")[2])
    ]
    assert len(named) > 20
    assert [name for name in named if f'"name": "{name}"' not in abi and f'"name":"{name}"' not in abi] == []
    for path in re.findall(r"`((?:contracts|poco)/[\w/.]+)`", text):
        assert (ROOT / path).exists(), path
