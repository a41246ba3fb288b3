"""A scheduler or worker as it is, with two strings to pull: `python -m tests.chaos.daemon FOLDER ROLE ARGS...`.

In FOLDER, `armed` holds lines `<name of an instant> self|node`: the process that passes that instant kills itself with
SIGKILL, or says so in `hit` and waits until the campaign has killed the chain's node (`go`); if that took too long, it
goes on and says so (`late`). `clock` holds seconds (a double) that are added to every reading of the clock, and may
change at any time.
"""

from __future__ import annotations

import mmap
import os
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

NODE_WAIT_SECONDS = 4.0

Naming = Callable[..., Iterable[str] | str | None]


def shift_clock(path: Path) -> None:
    """Let `time.time` be wrong by what the file says."""
    with path.open("rb") as file:
        shared = mmap.mmap(file.fileno(), 8, prot=mmap.PROT_READ)
    real = time.time
    time.time = lambda: real() + struct.unpack("d", shared[:8])[0]


class Points:
    """The instants that a process passes."""

    def __init__(self, folder: Path) -> None:
        self._armed, self._hit, self._go = folder / "armed", folder / "hit", folder / "go"
        self._ready, self._late = folder / "ready", folder / "late"

    def ready(self) -> None:
        """It is at its work."""
        if not self._ready.exists():
            self._ready.touch()

    def passed(self, names: Iterable[str]) -> None:
        try:
            armed = dict(line.split() for line in self._armed.read_text().splitlines())
        except FileNotFoundError:
            return
        name = next((one for one in names if one in armed), None)
        if name is None:
            return
        try:
            self._armed.unlink()
        except FileNotFoundError:  # another thread was first
            return
        self._go.unlink(missing_ok=True)
        self._late.unlink(missing_ok=True)
        draft = self._hit.with_suffix(".draft")
        draft.write_text(f"{name} {armed[name]}")
        draft.rename(self._hit)
        if armed[name] == "self":
            os.kill(os.getpid(), signal.SIGKILL)
        end = time.monotonic() + NODE_WAIT_SECONDS
        while not self._go.exists() and time.monotonic() < end:
            time.sleep(0.005)
        if not self._go.exists():
            self._late.touch()


def around(
    points: Points, owner: Any, method: str, *, before: Naming | None = None, after: Naming | None = None
) -> None:
    """Let every call of `owner.method` pass the instants that `before` and `after` name from its arguments."""
    original = getattr(owner, method)

    def names(naming: Naming | None, given: tuple[Any, ...], named: dict[str, Any]) -> list[str]:
        found = naming(*given, **named) if naming else None
        return [found] if isinstance(found, str) else list(found or ())

    def watched(*given: Any, **named: Any) -> Any:
        coming = names(after, given, named)  # named before: what is passed may change
        points.passed(names(before, given, named))
        answer = original(*given, **named)
        points.passed(coming)
        return answer

    setattr(owner, method, watched)


@cache
def _selectors() -> dict[bytes, str]:
    from chain import abi
    from poco.hexes import keccak

    def kind(entry: dict[str, Any]) -> str:
        if entry["type"].startswith("tuple"):
            return "(" + ",".join(kind(one) for one in entry["components"]) + ")" + entry["type"][5:]
        return str(entry["type"])

    found = {}
    for contract in ("hub", "rlc"):
        for entry in abi.load(contract):
            if entry["type"] == "function":
                signature = f"{entry['name']}({','.join(kind(one) for one in entry['inputs'])})"
                found[keccak(signature.encode())[:4]] = entry["name"]
    return found


def step_of(prepared: Any) -> str:
    """Which of the contracts' functions a signed transaction calls; a deposit is an `approveAndCall`."""
    name = _selectors().get(prepared.data[:4], "other")
    return "deposit" if name == "approveAndCall" else name


def kind_of(prepared: Any) -> str:
    """Which of the scheduler's transactions it is; several tasks may share one."""
    return "claim" if "Claim" in (name := step_of(prepared)) else name.removesuffix("Array")


def watch_worker(points: Points) -> None:
    from chain.transactions import Sender
    from worker.journal import Journal
    from worker.link import Link
    from worker.runner.docker import DockerRunner
    from worker.table import Stage

    def stages(_self: Any, before: Any, after: Any, _reports: Any, _now: int) -> list[str]:
        old = {key: r.stage for key, r in before.replicates.items()}
        moved = [f"stage:{r.stage}" for key, r in after.replicates.items() if old.get(key) != r.stage]
        return moved + [f"stage:{Stage.ENDED}" for key in before.replicates if key not in after.replicates]

    def prepared(when: str) -> Naming:
        return lambda _self, _task, step, *_: f"journal:{when}-prepared-{step}"

    def container(when: str) -> Naming:
        return lambda _self, _task, _run, row: f"journal:{when}-container-{'ended' if row.verdict else 'made'}"

    def always(name: str) -> Naming:
        return lambda *_, **__: name

    around(points, Link, "poll", after=lambda *_: points.ready())
    around(points, Journal, "commit", after=stages)
    around(points, Journal, "transaction_prepared", before=prepared("before"), after=prepared("after"))
    around(points, Sender, "broadcast", after=lambda _self, one, *_: f"journal:sent-{step_of(one)}")
    around(
        points, Journal, "transaction_ended", before=always("journal:before-mined"), after=always("journal:after-mined")
    )
    around(points, Journal, "container_kept", before=container("before"), after=container("after"))
    around(points, Journal, "result_kept", before=always("journal:before-result"), after=always("journal:after-result"))
    for owner, method, name in (
        (Journal, "delivery_kept", "delivered"),
        (Journal, "image_pulled", "image-pulled"),
        (DockerRunner, "remove", "container-removed"),
        (Journal, "upload_begins", "upload-begins"),
        (Link, "upload", "uploaded"),
        (Journal, "earned", "earned"),
        (Journal, "report_done", "reported"),
    ):
        around(points, owner, method, after=always(f"journal:{name}"))


def watch_scheduler(points: Points) -> None:
    from chain.transactions import Sender
    from scheduler import results, store
    from scheduler.outbox import Outbox
    from scheduler.presence import Roll
    from scheduler.sending import StoreBook
    from scheduler.store import Store

    pending = threading.local()  # what the open transaction of this thread has changed

    def change(names: list[str]) -> None:
        if not hasattr(pending, "names"):
            pending.names = []
        pending.names += names

    def saved(db: Any, before: Any, after: Any, _now: int) -> list[str]:
        old = {r.worker: r.status for r in before.replicates}
        names = [f"task:{after.status}"] if after.status is not before.status else []
        names += [f"replicate:{r.status}" for r in after.replicates if old.get(r.worker) is not r.status]
        change(names)
        return [f"writing-{name}" for name in names]

    def added(_db: Any, tasks: Any, _now: int) -> list[str]:
        names = [f"task:{task.status}" for task in tasks]
        change(names)
        return [f"writing-{name}" for name in names]

    def queued(_db: Any, sends: Any, _now: int) -> None:
        change([f"outbox:{send.kind}:QUEUED" for send in sends])

    def notified(_db: Any, *_: Any) -> None:
        change(["notified"])

    original = Store.write

    @contextmanager
    def write(self: Store) -> Any:
        with original(self) as db:
            yield db
        names, pending.names = getattr(pending, "names", []), []
        points.passed(names)

    def signed(when: str) -> Naming:
        return lambda _self, *given: f"outbox:{kind_of(given[-1] if when == 'broadcast' else given[1])}:{when}"

    def done(_self: Any, rows: Any, **values: Any) -> list[str]:
        return [f"outbox:{row['kind']}:DONE" for row in rows if values.get("status") == store.DONE]

    Store.write = write  # type: ignore[method-assign,assignment]
    around(points, Roll, "heard", before=lambda *_: points.ready())
    around(points, store, "save_task", after=saved)
    around(points, store, "add_tasks", after=added)
    around(points, store, "queue_transactions", after=queued)
    around(points, store, "add_notification", after=notified)
    around(points, StoreBook, "keep", after=signed("SENT"))
    around(points, Sender, "broadcast", after=signed("broadcast"))
    around(points, Outbox, "_set", after=done)
    around(points, results, "keep", after=lambda *_, **__: "upload:stored")


def main() -> int:
    folder, role, *rest = sys.argv[1:]
    shift_clock(Path(folder) / "clock")
    points = Points(Path(folder))
    if role == "worker":
        watch_worker(points)
        from worker.__main__ import main as work

        return work(rest)
    watch_scheduler(points)
    from scheduler.__main__ import main as schedule

    sys.argv[1:] = rest
    return schedule()


if __name__ == "__main__":
    sys.exit(main())
