"""`python -m scripts.demo` as a user runs it: the whole chain of work, and every way to end it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from ops.console import ROOT
from ops.records import Record, start_mark, write_records
from ops.stack import RUN_LABEL, RUN_VARIABLE, run_id
from poco.result import digest as digest_of
from scripts.demo import arguments
from scripts.localstack import Ports
from sdk.results import opened

pytestmark = [pytest.mark.chain, pytest.mark.docker, pytest.mark.emulation, pytest.mark.long]
PORTS = Ports.free()
ARGUMENTS = [f"--{name}-port={getattr(PORTS, name)}" for name in ("chain", "registry", "scheduler", "files")]
ARCHITECTURES = {"linux/arm/v7", "linux/arm64", "linux/amd64"}


def demo(folder, *more):
    return [sys.executable, "-m", "scripts.demo", "--dir", str(folder), *ARGUMENTS, *more]


def start(folder, log):
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(demo(folder), cwd=ROOT, env=env, stdout=log, stderr=subprocess.STDOUT)


def left_running(folder):
    """Processes of the run that are still there, and its containers."""
    run = run_id(folder)
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(RUN_VARIABLE) == run:
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    listed = ["docker", "ps", "-aq", "--filter", f"label={RUN_LABEL}={run}"]
    return found + subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split()


def report_of(folder):
    return json.loads((folder / "report.json").read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def whole(folder):
    """One whole run: its output and its report."""
    done = subprocess.run(demo(folder), cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, report_of(folder)


def test_the_report_is_whole_and_true(whole):
    _, report = whole
    assert report["ok"] is True
    assert report["faults"] == []
    assert set(report["seconds"]) == {"setup", "deploy", "task"}
    assert report["task"]["status"] == "COMPLETED"
    contributors = report["task"]["contributors"]
    assert len(contributors) >= 2
    assert len({entry["arch"] for entry in contributors}) == len(contributors)
    assert {entry["arch"] for entry in contributors} <= ARCHITECTURES
    assert all(entry["score"] == 1 and entry["reward_nrlc"] > 0 for entry in contributors)


def test_the_books_balance(whole):
    _, report = whole
    paid = report["payments_nrlc"]
    assert sum(paid.values()) == 0
    assert paid["requester"] == min(paid.values()) < 0
    assert all(amount > 0 for name, amount in paid.items() if name != "requester")
    for entry in report["task"]["contributors"]:
        assert paid[entry["worker"]] == entry["reward_nrlc"]
    assert {"app-owner", "camera-owner", "scheduler"} <= set(paid)


def test_every_worker_lived_on_its_sun(whole):
    _, report = whole
    assert len(report["energy_wh"]) == 3
    for meter in report["energy_wh"].values():
        assert meter["harvested"] > 0
        assert meter["consumed"] > 0
    assert len({meter["harvested"] for meter in report["energy_wh"].values()}) == 3


def test_the_result_is_the_one_on_chain(whole):
    _, report = whole
    folder = Path(report["result_path"])
    events = json.loads((folder / "events.json").read_text())
    assert events
    assert list(folder.glob("*.jpg"))
    with opened(folder.parent / "result.zip") as tree:
        assert digest_of(tree, callback=False) == report["task"]["digest"]


def test_what_is_printed(whole):
    output, report = whole
    for words in ("leased to", "contributed", "consensus", "revealed", "uploaded the result", "finalized", "verified"):
        assert words in output
    for line in ("paid and earned", "harvested", "events.json", ".jpg", "report.json"):
        assert line in output
    assert "\x1b[" not in output
    assert report["task"]["contributors"][0]["worker"] in output


def test_nothing_is_left_running(whole, folder):
    assert left_running(folder) == []


def test_wallets_are_encrypted_and_private(whole, folder):
    keystores = sorted((folder / "wallets").glob("*.json"))
    assert len(keystores) == 7
    assert all("crypto" in json.loads(path.read_text()) for path in keystores)
    assert all(path.stat().st_mode & 0o077 == 0 for path in (folder / "wallets").iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_ended_midway_leaves_nothing(whole, folder, tmp_path, number):
    with (tmp_path / "log").open("w+") as log:
        process = start(folder, log)
        deadline = time.monotonic() + 120
        while "leased to" not in (tmp_path / "log").read_text() and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(number)
        code = process.wait(60)
    output = (tmp_path / "log").read_text()
    assert code == 128 + number, output
    assert "Traceback" not in output
    assert "error: " in output
    assert report_of(folder)["ok"] is False
    assert left_running(folder) == []


def test_a_port_that_is_taken(tmp_path):
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", PORTS.scheduler))
        holder.listen()
        done = subprocess.run(demo(tmp_path), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert f"port {PORTS.scheduler} for the scheduler is taken" in done.stderr
    assert f"pid {os.getpid()}" in done.stderr
    assert "--scheduler-port=" in done.stderr
    assert report_of(tmp_path)["ok"] is False
    assert left_running(tmp_path) == []


def test_what_an_earlier_run_left_is_ended_and_a_live_one_is_not(tmp_path):
    """The stale process holds the chain's port: only because it is ended does the run get to the port that is taken."""
    serve = [sys.executable, "-m", "http.server", str(PORTS.chain), "--bind", "127.0.0.1"]
    stale = subprocess.Popen(serve, cwd=tmp_path, start_new_session=True, stderr=subprocess.DEVNULL)
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", PORTS.files))
        holder.listen()
        record = Record("ganache", stale.pid, start_mark(stale.pid) or "", serve, psutil.Process(stale.pid).cmdline())
        write_records(tmp_path / "processes.json", [record])
        done = subprocess.run(demo(tmp_path), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert stale.wait(10) != 0
    assert f"ending ganache (pid {stale.pid}), left running by an earlier run" in done.stdout
    assert done.returncode == 2
    assert f"port {PORTS.files}" in done.stderr
    assert f"port {PORTS.chain}" not in done.stderr


@pytest.mark.parametrize("words", [["--trust=2"], ["--trust=9"], ["--chain-port=x"], ["--nonsense"]])
def test_options_that_cannot_be(words, capsys):
    with pytest.raises(SystemExit) as error:
        arguments(words)
    assert error.value.code == 2
    assert "error:" in capsys.readouterr().err
