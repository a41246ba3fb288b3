"""What a run does, as lines for people on stdout and as JSON lines in the file that PEW_EVENTS names.

Nothing of a task with `no_log` is told but its name.
"""

from __future__ import annotations

import difflib
import json
import os
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: pew
type: stdout
short_description: lines for people, events for pew fleet
description: Prints what changes and what fails; writes every outcome to the file that PEW_EVENTS names.
"""
_DIFF_LINES = 40


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible-core has no types
    """One event for each task and host."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "pew"

    def __init__(self) -> None:
        super().__init__()
        where = os.environ.get("PEW_EVENTS")
        self._events = open(where, "a", encoding="utf-8") if where else None  # noqa: SIM115, PTH123  (until the end)

    def v2_runner_on_ok(self, result: Any) -> None:
        data = result._result
        kind = "changed" if data.get("changed") else "ok"
        self._tell(kind, result, facts=_facts(result._task, data))

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._tell("ignored" if ignore_errors else "failed", result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._tell("unreachable", result)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        for host in sorted(stats.processed):
            self._write({"kind": "stats", "host": host, **stats.summarize(host)})

    def _tell(self, kind: str, result: Any, facts: dict[str, Any] | None = None) -> None:
        data, host, name = result._result, result._host.get_name(), result._task.get_name()
        hidden = bool(data.get("_ansible_no_log")) or result._task.no_log
        said = "" if hidden or kind == "changed" else _said(data)
        diff = [] if hidden or kind != "changed" else _diff(data)
        event = {"kind": kind, "host": host, "task": name, "said": said, "diff": diff}
        self._write(event if hidden or not facts else {**event, "facts": facts})
        if kind in ("ok", "ignored"):
            return
        self._display.display(f"{host:<16} {kind:<11} {name.rpartition(' : ')[2]}" + (f": {said}" if said else ""))
        for line in diff:
            self._display.display(f"    {line}")

    def _write(self, event: dict[str, Any]) -> None:
        if self._events is not None:
            self._events.write(json.dumps(event) + "\n")
            self._events.flush()


def _facts(task: Any, data: dict[str, Any]) -> dict[str, Any]:
    """What a task says to the operator's program: those of `debug` whose message is an object."""
    said = data.get("msg")
    return said if task.action.endswith("debug") and isinstance(said, dict) else {}


def _said(data: dict[str, Any]) -> str:
    parts = [data.get(key) for key in ("msg", "stderr")]
    return " ".join(str(each).strip() for each in parts if isinstance(each, str) and each.strip())[-1500:]


def _diff(data: dict[str, Any]) -> list[str]:
    """Lines that go and lines that come."""
    lines: list[str] = []
    found = data.get("diff") or []
    for one in found if isinstance(found, list) else [found]:
        before, after = (_text(one.get(side)) for side in ("before", "after"))
        lines += [
            line
            for line in difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=0)
            if not line.startswith(("---", "+++", "@@"))
        ]
    return lines[:_DIFF_LINES]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value, indent=1, sort_keys=True)
