"""One real worker process: what it costs idle and with a task, and what a task takes beyond container and blocks."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

import docker

from benchmarks.scale.figures import cpu_seconds, resident_mb, tree
from benchmarks.scale.ground import CATEGORY, PRICE, Ground
from oci.layout import BlobStore, ImageConfig, Tree, push_layout, write_image, write_index, write_layout
from oci.platform import parse
from oci.registry import RegistryClient
from poco.errors import PewError
from poco.orders import AppOrder, RequestOrder, WorkerpoolOrder
from poco.params import DealParams
from poco.states import ChainTaskStatus
from scripts.demo_run import SUN
from sdk.orders import new_salt
from sdk.preflight import Orders

PLATFORM = "linux/amd64"
SAMPLE_SECONDS = 0.1
TASK_SECONDS = 180

_PROGRAM = r"""
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv) {
  sleep(argc > 1 ? atoi(argv[1]) : 0);
  FILE *answer = fopen("/iexec_out/answer.txt", "w"), *said = fopen("/iexec_out/computed.json", "w");
  if (!answer || !said) return 1;
  fputs("42\n", answer);
  fputs("{\"deterministic-output-path\": \"/iexec_out/answer.txt\"}", said);
  return fclose(answer) | fclose(said);
}
"""


@dataclass(frozen=True, slots=True)
class Costs:
    """Resident MB (10^6 bytes), CPU in per cent of one core, seconds of overhead of a task (median)."""

    idle_rss_mb: float
    idle_cpu_pct: float
    task_rss_mb: float
    overhead_s: float


def measure(ground: Ground, *, idle_seconds: float, tasks: int) -> Costs:
    """Start a scheduler and a worker, look at the worker idle, let it do `tasks` tasks (and one before, unmeasured)."""
    name = "board"
    ground.make_wallet(name)
    ground.fund(name, rlc=100 * PRICE)
    ground.start_registry()
    multiaddr, digest = _push(ground)
    app = ground.client("app-owner").register_app("pause", multiaddr, digest)
    pool = ground.pool("real worker")
    ground.start_scheduler(pool, data_dir=str(ground.run_dir / "scheduler" / "real"))
    process = ground.start_worker(name, pool, PLATFORM, {**SUN, "speed": 1}, stake_nrlc=50 * PRICE)
    ground.wait_for_workers(1)
    time.sleep(min(5, idle_seconds))  # what it does once
    before, begun = cpu_seconds(process.pid), time.monotonic()
    time.sleep(idle_seconds)
    idle_cpu = (cpu_seconds(process.pid) - before) / (time.monotonic() - begun) * 100
    idle = sum(map(resident_mb, tree(process.pid)))
    _run(ground, app, pool, 1)  # fetches the image
    most, overheads = idle, []
    for _ in range(tasks):
        overhead, peak = _observe(ground, app, pool, process.pid)
        overheads.append(overhead)
        most = max(most, peak)
    ground.retire([name])
    ground.stack.stop_process("scheduler")
    return Costs(round(idle, 1), round(idle_cpu, 2), round(most, 1), round(statistics.median(overheads), 2))


def _observe(ground: Ground, app: str, pool: str, pid: int) -> tuple[float, float]:
    """(seconds from the deal's block to the last one beyond those its container ran, highest resident MB) of a task."""
    client = docker.DockerClient(base_url=ground.docker_host, timeout=60)
    since = int(time.time()) - 1
    peak, over = 0.0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(SAMPLE_SECONDS):
            peak = max(peak, sum(map(resident_mb, tree(pid))))

    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        took = _run(ground, app, pool, 3)
    finally:
        over.set()
        watching.join()
    ran: dict[str, float] = {}
    wanted = {"type": "container", "event": ["start", "die"]}
    for event in client.events(since=since, until=int(time.time()) + 1, filters=wanted, decode=True):
        if multiname(event) == ground.registry_host:
            ran[event["Action"]] = event["timeNano"] / 1e9
    client.close()
    if set(ran) != {"start", "die"}:
        raise PewError("the engine tells of no container of the task", hint=f"it told of {sorted(ran)}")
    return took - (ran["die"] - ran["start"]), peak


def multiname(event: dict[str, dict[str, dict[str, str]]]) -> str:
    """The registry of the image of an engine's event."""
    return event["Actor"]["Attributes"].get("image", "").partition("/")[0]


def _run(ground: Ground, app: str, pool: str, seconds: int) -> float:
    """Order one task; seconds until the chain shows it completed, counted from when its deal was mined."""
    requester, apps, pools = (ground.client(name) for name in ("requester", "app-owner", "scheduler"))
    me = requester.wallet.address
    request = RequestOrder(
        app, me, workerpoolmaxprice=PRICE, category=CATEGORY, trust=1, beneficiary=me, salt=new_salt(),
        params=DealParams(args=str(seconds)).dumps(),
    )  # fmt: skip
    orders = Orders(
        apps.sign(AppOrder(app, salt=new_salt())),
        pools.sign(WorkerpoolOrder(pool, PRICE, category=CATEGORY, trust=16, salt=new_salt())),
        request,
    )
    (task,) = requester.match(orders).task_ids
    begun = time.monotonic()
    while time.monotonic() - begun < TASK_SECONDS:
        ground.stack.check()
        status = ground.chain.task(task).status
        if status is ChainTaskStatus.COMPLETED:
            return time.monotonic() - begun
        time.sleep(0.02)
    raise PewError(f"task {task} is not completed after {TASK_SECONDS} s", hint=f"see the logs in {ground.stack.logs}")


def _push(ground: Ground) -> tuple[str, str]:
    """The program as an image in the registry: (multiaddr, digest)."""
    folder = ground.run_dir / "image"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    source, program = folder / "pause.c", folder / "pause"
    source.write_text(_PROGRAM)
    compiler = [sys.executable, "-m", "ziglang", "cc", "-target", "x86_64-linux-musl", "-static", "-Os"]
    subprocess.run([*compiler, str(source), "-o", str(program)], check=True)
    store, tree_ = BlobStore(folder / "blobs"), Tree()
    tree_.file("pause", program.read_bytes(), 0o755)
    manifest = write_image(store, parse(PLATFORM), [store.put_layer(tree_, 0)], ImageConfig(("/pause",), {}), 0)
    write_layout(folder / "layout", store, write_index(store, [manifest]), "pause:1")
    with RegistryClient(ground.registry_host) as client:
        digest = push_layout(folder / "layout", client, "pause", "1")
    return f"{ground.registry_host}/pause:1", "0x" + digest.removeprefix("sha256:")
