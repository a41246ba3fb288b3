"""What `make test` says and returns; its phases are small real commands here."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections import Counter

import pytest

from ops import check
from ops.check import Phase
from ops.console import ROOT, SetupError


def phase(group: str, code: int) -> Phase:
    return Phase(group, f"{group} {code}", [sys.executable, "-c", f"import sys; sys.exit({code})"])


@pytest.fixture
def without_engine(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    trouble = SetupError("no Docker Engine answers", "start one")
    monkeypatch.delenv("ALLOW_NO_DOCKER", raising=False)
    monkeypatch.setattr(check, "look_for_engine", lambda: (None, "docker or emulation", trouble))
    monkeypatch.setattr(check, "look_for_bubblewrap", lambda: (None, None))
    monkeypatch.setattr(check, "tests_left_out", lambda *_: Counter({"tests/integration/test_a.py": 3}))
    monkeypatch.setattr(check, "phases", lambda *_: [phase("unit", 0), phase("integration", 0), phase("e2e", 5)])
    return monkeypatch


def test_all_phases_run_and_the_failed_one_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check, "phases", lambda *_: [phase("lint", 1), phase("unit", 0), phase("contracts", 5)])
    assert check.check(["lint", "unit", "contracts"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  ")] == ["FAILED", "ok", "FAILED"]
    assert lines[-1].startswith("FAILED: lint 1, contracts 5 (")


def test_a_phase_whose_port_is_taken_does_not_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ports = {"the chain": (port, "networks.yaml: port")}
        monkeypatch.setattr(check, "phases", lambda *_: [Phase("contracts", "brownie test", ["/nonexistent"], ports)])
        assert check.check(["contracts"]) == 1
    out = capsys.readouterr().out
    assert f"error: port {port} for the chain is taken by pid {os.getpid()}" in out
    assert "hint:  end that process, or choose another port: networks.yaml: port=" in out
    assert check.brownie_ports() == {"Brownie's chain": (8545, "networks.yaml: development: cmd_settings: port")}


def test_tests_without_bubblewrap_are_named(
    without_engine: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trouble = SetupError("bubblewrap is not installed", "install it")
    without_engine.setattr(check, "look_for_engine", lambda: (None, None, None))
    without_engine.setattr(check, "look_for_bubblewrap", lambda: ("bubblewrap", trouble))
    assert check.check(["integration"]) == 1
    out = capsys.readouterr().out
    assert "bubblewrap is not installed" in out
    assert "3 tests that need bubblewrap:" in out
    assert "FAILED: bubblewrap (" in out
    without_engine.setenv("ALLOW_NO_BUBBLEWRAP", "1")
    assert check.check(["integration"]) == 0


def test_success_is_one_plain_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(check, "phases", lambda *_: [phase("unit", 0)])
    assert check.check(["unit"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("All checks passed (")


def test_a_missing_engine_is_named_and_fails(
    without_engine: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check.check(["unit", "integration", "e2e"]) == 1
    out = capsys.readouterr().out
    assert "no Docker Engine answers" in out
    assert "FAILED  3 tests that need docker or emulation:" in out
    assert "   3  tests/integration/test_a.py" in out
    assert "accept this with ALLOW_NO_DOCKER=1" in out
    assert out.splitlines()[-1].startswith("FAILED: Docker Engine (")


def test_a_missing_engine_can_be_accepted(
    without_engine: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without_engine.setenv("ALLOW_NO_DOCKER", "1")
    assert check.check(["unit", "integration", "e2e"]) == 0
    out = capsys.readouterr().out
    assert "left out  3 tests that need docker or emulation:" in out
    assert out.splitlines()[-1].startswith("All checks passed (")


def test_what_is_left_out_is_deselected_in_every_pytest_phase() -> None:
    for each in check.phases("docker or emulation"):
        if each.argv[1:3] == ["-m", "pytest"]:
            assert each.argv[-2:] == ["-m", "not (docker or emulation)"]


def test_every_group_has_its_phases() -> None:
    for group in check.GROUPS:
        assert {each.group for each in check.phases(None, [group])} == {group}
    together = check.phases(None)
    assert together[-1].name == "integration and e2e tests"
    assert together[-1].argv[-3:] == check.WAITING["integration"] + check.WAITING["e2e"]


def test_tests_that_need_an_engine_are_counted_by_file() -> None:
    counts = check.tests_left_out("emulation", dict(os.environ), ["tests/integration/test_engine.py"])
    assert counts == {"tests/integration/test_engine.py": 4}


def test_an_unknown_group_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["check", "units"])
    with pytest.raises(SetupError, match="unknown group units"):
        check.main()


def test_ctrl_c_lets_the_phase_clean_up() -> None:
    slow = "import time\ntry:\n    print('ready', flush=True); time.sleep(60)\n"
    slow += "finally:\n    time.sleep(0.7); print('clean', flush=True)"
    program = "import sys\nfrom ops import check\nfrom ops.check import Phase\n"
    program += f"check.phases = lambda *_: [Phase('unit', 'slow', [sys.executable, '-c', {slow!r}])]\n"
    program += "from ops.console import guarded\nsys.exit(guarded(lambda: check.check(['unit'])))"
    running = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    assert running.stdout is not None
    assert "ready\n" in iter(running.stdout.readline, "")
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does
    out, errors = running.communicate(timeout=20)
    assert "clean" in out
    assert running.returncode == 130
    assert "error: interrupted" in errors
