"""What counts as a fault of the crash campaign: only what met somebody, at the instant that it is named after."""

from __future__ import annotations

import random
import threading
from http.server import HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from ops.ports import HOST, free_port
from tests.chaos import faults
from tests.chaos.daemon import NODE_WAIT_SECONDS, Points
from tests.chaos.daemons import Daemon
from tests.chaos.links import Lines
from tests.unit.chaos.test_links import Answer


def test_a_line_that_nobody_used_while_it_was_broken_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "_long", lambda *_: 0.3)
    server = HTTPServer((HOST, 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    lines, over = Lines(random.Random(1)), threading.Event()  # noqa: S311
    world: Any = SimpleNamespace(lines=lines, random=random.Random(1))  # noqa: S311
    try:
        url = lines.open("a", free_port(), server.server_address[1])
        kinds = ("cut", "silence", "delay", "lose-answers", "repeat-requests")
        for kind in kinds:
            assert faults.FAULTS[kind][0](world) is None, kind

        def use() -> None:
            session = requests.Session()
            session.trust_env = False
            while not over.wait(0.02):
                try:
                    session.get(url, timeout=2)
                except requests.RequestException:
                    continue

        user = threading.Thread(target=use)
        user.start()
        for kind in kinds:
            # some are met by chance
            assert any(faults.FAULTS[kind][0](world) is not None for _ in range(20)), kind
        over.set()
        lines.mend()
        user.join()
    finally:
        over.set()
        lines.close()
        server.shutdown()
        server.server_close()


def test_who_waited_too_long_for_the_nodes_end_has_gone_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = Daemon("worker-1", "worker", tmp_path, [], None)  # type: ignore[arg-type]
    daemon.arm({"stage:PROVING": "node"})
    waiting = threading.Thread(target=Points(tmp_path).passed, args=(["stage:PROVING"],))
    waiting.start()
    while (hit := daemon.hit()) is None:
        pass
    assert hit == ("stage:PROVING", "node")
    assert daemon.waits
    daemon.go_on()
    waiting.join(NODE_WAIT_SECONDS / 2)
    assert not waiting.is_alive()
    monkeypatch.setattr("tests.chaos.daemon.NODE_WAIT_SECONDS", 0.05)
    daemon.arm({"stage:PROVING": "node"})
    Points(tmp_path).passed(["stage:PROVING"])
    assert daemon.hit() is not None
    assert not daemon.waits
