"""The supervisor of local processes, with real processes and real signals."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ops.console import ROOT
from ops.ports import answers, free_port, is_free
from ops.records import Record, observe, read_records, start_mark, write_records
from ops.stack import Stack, run_id, stop_stale
from poco.errors import BadInputError, PewError

SLEEPER = [sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready', flush=True)\ntime.sleep(600)",
]

#: Outlives the kernel's signals at its parent's death (one for each thread), and obeys a later one.
SURVIVOR = [
    sys.executable,
    "-c",
    "import signal, sys, time\n"
    "first = []\n"
    "def end(*_):\n"
    "    first.append(time.monotonic())\n"
    "    if first[-1] - first[0] > 0.2: sys.exit(0)\n"
    "signal.signal(signal.SIGTERM, end)\n"
    "print('ready', flush=True)\n"
    "while True: time.sleep(1)",
]


def server(port: int, delay: float = 0) -> list[str]:
    """A web server that starts to listen after `delay` seconds."""
    program = f"import time; time.sleep({delay}); import http.server as h; "
    program += f"h.ThreadingHTTPServer(('127.0.0.1', {port}), h.SimpleHTTPRequestHandler).serve_forever()"
    return [sys.executable, "-c", program]


def eventually(condition: Callable[[], bool], seconds: float = 15) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def log_has(stack: Stack, name: str, text: str) -> Callable[[], bool]:
    return lambda: text in (stack.logs / f"{name}.log").read_text()


def test_start_waits_until_ready_and_stop_ends_in_reverse_order(tmp_path: Path) -> None:
    port = free_port()
    told = tmp_path / "order"
    last_words = (
        "import signal, sys, time\n"
        "def end(*_):\n"
        "    open({path!r}, 'a').write({name!r} + '\\n')\n"
        "    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "print('ready', flush=True)\n"
        "time.sleep(600)\n"
    )
    with Stack(tmp_path / "run") as stack:
        for name in ("first", "second"):
            program = last_words.format(path=str(told), name=name)
            stack.start(name, [sys.executable, "-c", program], ready=log_has(stack, name, "ready"))
        web = stack.start("web", server(port, delay=0.3), ready=port, timeout=20)
        assert answers(port)
        assert [each.name for each in read_records(stack.run_dir / "processes.json")] == ["first", "second", "web"]
        stack.check()
    assert not web.alive
    assert is_free(port)
    assert told.read_text().split() == ["second", "first"]
    assert read_records(tmp_path / "run" / "processes.json") == []


def test_a_url_is_ready_when_it_answers_without_a_server_error(tmp_path: Path) -> None:
    port = free_port()
    with Stack(tmp_path) as stack:
        stack.start("web", server(port, delay=0.2), ready=f"http://127.0.0.1:{port}/missing", timeout=20)


def test_a_process_that_dies_while_starting_is_shown_with_its_last_lines(tmp_path: Path) -> None:
    with Stack(tmp_path) as stack, pytest.raises(PewError) as failure:
        stack.start(
            "broken", [sys.executable, "-c", "import sys; print('no such file: x'); sys.exit(3)"], ready=free_port()
        )
    assert "broken ended while it was starting, with exit code 3" in failure.value.message
    assert "no such file: x" in failure.value.message
    assert failure.value.hint.endswith("broken.log")


def test_a_process_that_is_never_ready_is_ended(tmp_path: Path) -> None:
    with Stack(tmp_path) as stack:
        with pytest.raises(PewError, match="slow was not ready after 0 s"):
            stack.start("slow", SLEEPER, ready=free_port(), timeout=0.3)
        assert stack.processes == {}


def test_a_process_that_dies_later_is_noticed(tmp_path: Path) -> None:
    with Stack(tmp_path) as stack:
        process = stack.start("short", [sys.executable, "-c", "print('that was it')"])
        process.wait(10)
        with pytest.raises(PewError, match=r"short ended unexpectedly, with exit code 0\n.*that was it"):
            stack.check()


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    with Stack(tmp_path) as stack, pytest.raises(PewError, match="ghost cannot be started"):
        stack.start("ghost", ["/nonexistent/program"])


def test_a_taken_port_is_refused_with_its_holder(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, Stack(tmp_path) as stack:
        port = taken.getsockname()[1]
        with pytest.raises(PewError, match=rf"port {port} for web is taken by pid {os.getpid()}"):
            stack.start("web", server(port), ready=port)


def test_a_name_is_used_once_until_it_is_stopped(tmp_path: Path) -> None:
    with Stack(tmp_path) as stack:
        first = stack.start("one", SLEEPER)
        with pytest.raises(PewError, match="one was started already"):
            stack.start("one", SLEEPER)
        stack.stop_process("one", kill=True)
        assert first.exit_code == -signal.SIGKILL
        assert stack.start("one", SLEEPER).alive


def test_all_that_a_process_started_ends_with_it(tmp_path: Path) -> None:
    program = (
        "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); "
    )
    program += "print(p.pid, flush=True); time.sleep(600)"
    with Stack(tmp_path) as stack:
        stack.start("parent", [sys.executable, "-c", program], ready=log_has(stack, "parent", "\n"))
        grandchild = int((stack.logs / "parent.log").read_text())
    assert eventually(lambda: start_mark(grandchild) is None)


def test_a_process_that_ignores_the_polite_signal_is_killed(tmp_path: Path) -> None:
    with Stack(tmp_path) as stack:
        process = stack.start("stubborn", STUBBORN, ready=log_has(stack, "stubborn", "ready"))
        process.stop(timeout=0.3)
        assert process.exit_code == -signal.SIGKILL


def test_processes_get_the_run_and_the_environment(tmp_path: Path) -> None:
    program = "import os; print(os.environ['PEW_RUN'], os.environ['COLOUR'])"
    with Stack(tmp_path) as stack:
        stack.start("env", [sys.executable, "-c", program], env={"COLOUR": "blue"}).wait(10)
        assert (stack.logs / "env.log").read_text().split() == [run_id(tmp_path), "blue"]


def test_a_run_in_use_is_refused(tmp_path: Path) -> None:
    with Stack(tmp_path):
        for take in (Stack, stop_stale):
            with pytest.raises(BadInputError, match=rf"another run \(pid {os.getpid()}\) is using") as refused:
                take(tmp_path)
            assert refused.value.hint.endswith(f"kill {os.getpid()}")
    with Stack(tmp_path):
        pass


# --- the parent's end, in a program of its own ---


PARENT = textwrap.dedent(
    """
    import sys, time
    from pathlib import Path
    from ops.stack import Stack
    child = [sys.executable, "-c", {child!r}]
    with Stack(Path(sys.argv[1])) as stack:
        ready = lambda: "ready" in (stack.logs / "child.log").read_text()
        process = stack.start("child", child, ready=ready)
        print(process.pid, flush=True)
        {then}
    """
)


def run_parent(
    tmp_path: Path, then: str = "time.sleep(600)", child: list[str] = SLEEPER
) -> tuple[subprocess.Popen[str], int]:
    program = PARENT.format(child=child[2], then=then)
    parent = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    return parent, int(parent.stdout.readline())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_the_processes_in_order(tmp_path: Path, number: signal.Signals) -> None:
    parent, child = run_parent(tmp_path)
    parent.send_signal(number)
    parent.communicate(timeout=20)
    assert start_mark(child) is None
    assert parent.returncode == (-number if number == signal.SIGINT else 128 + number)
    assert read_records(tmp_path / "processes.json") == []


def test_ctrl_c_works_where_the_shell_ignores_it(tmp_path: Path) -> None:
    program = PARENT.format(child=SLEEPER[2], then="time.sleep(600)")
    shell = 'trap "" INT; exec "$@"'
    parent = subprocess.Popen(
        ["/bin/sh", "-c", shell, "sh", sys.executable, "-c", program, str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.send_signal(signal.SIGINT)
    parent.communicate(timeout=20)
    assert start_mark(child) is None


def test_an_exception_ends_the_processes(tmp_path: Path) -> None:
    parent, child = run_parent(tmp_path, then="raise RuntimeError('boom')")
    _, errors = parent.communicate(timeout=20)
    assert "boom" in errors
    assert start_mark(child) is None


def test_a_killed_parent_leaves_nothing(tmp_path: Path) -> None:
    parent, child = run_parent(tmp_path)
    parent.kill()
    parent.communicate(timeout=20)
    if sys.platform != "linux":  # there the kernel does it
        stop_stale(tmp_path)
    assert eventually(lambda: start_mark(child) is None)


def test_what_survives_a_killed_parent_is_ended_by_the_next_run(tmp_path: Path) -> None:
    parent, child = run_parent(tmp_path, child=SURVIVOR)
    parent.kill()
    parent.communicate(timeout=20)
    time.sleep(0.4)
    assert start_mark(child) is not None
    said: list[str] = []
    with Stack(tmp_path, say=said.append):
        assert start_mark(child) is None
    assert said == [f"ending child (pid {child}), left running by an earlier run"]
    assert stop_stale(tmp_path) == 0


def test_stop_command_ends_what_an_earlier_run_left(tmp_path: Path) -> None:
    run_dir = ROOT / "build" / f"test-stop-{os.getpid()}"
    parent, child = run_parent(run_dir, child=SURVIVOR)
    parent.kill()
    parent.communicate(timeout=20)
    time.sleep(0.4)
    done = subprocess.run(
        [sys.executable, "-m", "ops.stack", "stop"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert f"ending child (pid {child})" in done.stderr
    assert start_mark(child) is None
    for each in sorted(run_dir.rglob("*"), reverse=True):
        each.unlink() if each.is_file() else each.rmdir()
    run_dir.rmdir()


# --- records ---


def test_a_recycled_pid_is_never_touched(tmp_path: Path) -> None:
    bystander = subprocess.Popen(SLEEPER, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        real = observe("old", bystander.pid, SLEEPER)
        assert real.is_running()
        later = replace(real, started=real.started + "1")
        other = replace(real, argv=["ganache", "--port", "1"], cmdline=["node", "ganache", "--port", "1"])
        for record in (later, other):
            write_records(tmp_path / "processes.json", [record])
            assert stop_stale(tmp_path) == 0
            assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
    assert not real.is_running()


@pytest.mark.parametrize("content", ["", "[", "{}", '[{"pid": 1}]', '["x"]', "null", "7"])
def test_a_damaged_record_file_names_nobody(tmp_path: Path, content: str) -> None:
    path = tmp_path / "processes.json"
    path.write_text(content)
    assert read_records(path) == []
    assert stop_stale(tmp_path) == 0


def test_records_come_back_as_they_were_written(tmp_path: Path) -> None:
    record = Record("a", 12, "boot:1", ["x", "ü"], ["sh", "x", "ü"])
    write_records(tmp_path / "r.json", [record])
    assert read_records(tmp_path / "r.json") == [record]
    assert json.loads((tmp_path / "r.json").read_text())[0]["pid"] == 12


def test_a_process_that_never_was_has_no_start() -> None:
    assert start_mark(2**22 + 1) is None
    assert start_mark(os.getpid()) == start_mark(os.getpid())
