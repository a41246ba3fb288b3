"""kill -9 at every point of the journal: one task goes through all of them, and ends as if nothing had been."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import docker
import pytest

from chain.client import Chain
from ops.console import ROOT
from poco.states import ContributionStatus
from tests.integration.worker_net import PRICE, RLC, Process, finish, network, processes

pytestmark = [pytest.mark.docker, pytest.mark.chain, pytest.mark.long]

#: The worker, with a kill -9 of itself at each point that was not killed at before.
CRASHING = """
import os, signal, sys
from pathlib import Path
import rlp
from chain.transactions import Sender
from worker.__main__ import main
from worker.journal import Journal
from worker.link import Link
from worker.runner.docker import DockerRunner

passed = Path(sys.argv[1])

def point(name):
    with passed.open("a+") as file:
        file.seek(0)
        if name in file.read().split():
            return
        file.write(name + "\\n")
        file.flush()
        os.fsync(file.fileno())
    os.kill(os.getpid(), signal.SIGKILL)

def around(kind, method, naming, when):
    original = getattr(kind, method)
    def crashing(self, *given, **named):
        name = naming(*given)
        if name and "before" in when:
            point("before-" + name)
        answer = original(self, *given, **named)
        if name and "after" in when:
            point("after-" + name)
        return answer
    setattr(kind, method, crashing)

def stages(before, after, reports, now):
    old = {k: r.stage for k, r in before.replicates.items()}
    moved = [r.stage for k, r in after.replicates.items() if old.get(k) != r.stage]
    ended = ["ENDED" for k in before.replicates if k not in after.replicates]
    return "-".join(["stage", *moved, *ended]) if moved or ended else ""

around(Journal, "commit", stages, ("after",))
around(Journal, "transaction_prepared", lambda task, step, *_: "prepared-" + step, ("before", "after"))
around(Journal, "transaction_ended", lambda tx, state, *_: "mined-" + state, ("before",))
around(Sender, "broadcast", lambda prepared: "sent-" + rlp.decode(prepared.raw)[0].hex(), ("after",))
around(Journal, "container_kept", lambda task, run, row: f"container-{bool(row.verdict)}", ("before", "after"))
around(DockerRunner, "remove", lambda *_: "removed", ("after",))
around(Journal, "result_kept", lambda *_: "result", ("before", "after"))
around(Journal, "upload_begins", lambda *_: "upload", ("after",))
around(Link, "upload", lambda *_: "uploaded", ("after",))
around(Journal, "earned", lambda *_: "earned", ("after",))
sys.exit(main(sys.argv[2:]))
"""


class Crashing(Process):
    """A worker that dies often, and a supervisor that starts it again."""

    def supervise(self) -> None:
        self.passed = self.folder / "passed"
        self.passed.touch()
        self.over = False
        self.deaths = 0
        self.thread = threading.Thread(target=self._supervise, daemon=True)
        self.thread.start()

    def _supervise(self) -> None:
        while not self.over:
            with self.log.open("ab") as log:
                self.process = subprocess.Popen(
                    [sys.executable, "-c", CRASHING, str(self.passed), "--config", str(self.config)],
                    stderr=log, cwd=ROOT,
                )  # fmt: skip
            self.process.wait()
            self.deaths += not self.over

    def points(self) -> list[str]:
        return self.passed.read_text().split()


def test_a_task_survives_a_kill_at_every_point(
    hub: Chain, registry: str, docker_client: docker.DockerClient, tmp_path: Path
) -> None:
    with network(hub, registry, tmp_path) as net, processes(net, docker_client) as make:
        plain = make(energy={"soc": 0.95, "battery_wh": 2000, "speed": 1})
        worker = Crashing.__new__(Crashing)
        worker.__dict__.update(plain.__dict__)
        me, scheduler = worker.wallet.address, net.scheduler
        worker.supervise()
        try:
            scheduler.free(me, 120)
            deal = net.deal("sleep 8")
            task_id = scheduler.start(me, deal)
            scheduler.reported(me, task_id, "CONTRIBUTED", 400)
            files = finish(net, worker, task_id, 300)
            assert files["result.txt"] == b"hello"
            scheduler.until(lambda: worker.stage(task_id) == "ENDED", "the end", 60)
            scheduler.until(lambda: "after-earned" in worker.points(), "the last point", 60)
            time.sleep(1)
        finally:
            worker.over = True
            if worker.process is not None:
                worker.process.kill()
            worker.thread.join(10)
        points = worker.points()
        assert {
            "before-prepared-contribute", "after-prepared-contribute", "after-prepared-reveal",
            "after-sent-01", "after-sent-02", "before-mined-MINED",
            "after-container-False", "after-container-True", "after-result", "after-upload", "after-uploaded",
            "after-stage-RUNNING", "after-stage-CONTRIBUTED", "after-stage-REVEALING", "after-stage-SETTLING",
            "after-stage-ENDED", "after-earned",
        } <= set(points)  # fmt: skip
        assert worker.deaths >= len(points)
        # the chain: everything once, nothing lost
        assert hub.contribution(task_id, me).status is ContributionStatus.PROVED
        assert hub.web3.eth.get_transaction_count(me) == 3, "deposit, contribute, reveal"
        account = hub.account(me)
        assert (account.stake, account.locked) == (RLC + PRICE * 99 // 100, 0)
        told = worker.tell("status")
        assert told["earnings"] == {
            "tasks": 1, "reward_nrlc": PRICE * 99 // 100, "seized_nrlc": 0, "gas_wei": told["earnings"]["gas_wei"],
        }  # fmt: skip
        assert told["earnings"]["gas_wei"] > 0
        # this machine: nothing left behind
        assert not docker_client.containers.list(all=True, filters={"label": f"pew.worker={me}"})
        assert not list((worker.data / "tasks").iterdir())
