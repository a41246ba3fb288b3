"""docs/how-to/build-a-dapp.md as it is written, with a fourth worker that runs from our ARM image, emulated."""

import hashlib
import json
import shlex
import shutil
import subprocess
import sys

import pytest

from ops.console import ROOT
from ops.stack import RUN_LABEL, Stack
from scripts import network, worker_image
from scripts.demo_run import HASTE, RLC, SUN
from scripts.localstack import LocalStack, Ports
from sdk.builder.image import Builder
from sdk.cli import main as pew
from sdk.progress import Progress

pytestmark = [pytest.mark.chain, pytest.mark.docker, pytest.mark.emulation, pytest.mark.long]
PORTS = Ports.free()
ARM_WORKER = "pi-image"
#: The emulated interpreter compiles and loads web3 in half a minute; on a busy machine in more.
START_SECONDS = 600
#: With new workers no three of them reach it: all four have to contribute.
TRUST = 16


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    with Stack(tmp_path_factory.mktemp("newcomer"), handle_signals=False) as stack:
        found = LocalStack(stack, PORTS)
        network.start(found, Progress(sys.stderr))
        yield found


@pytest.fixture(scope="module")
def arm_worker(local):
    """A worker in a container of the arm64 image, beside the others; its address."""
    built = worker_image.build(quiet=True)
    pushed = Builder(ROOT).push(built, local.registry_host)
    image = f"{pushed.reference.rpartition(':')[0]}@{pushed.platforms['linux/arm64']}"
    local.make_wallet(ARM_WORKER)
    local.fund(ARM_WORKER, rlc=200 * RLC)
    folder, socket = local.run_dir, local.docker_host.removeprefix("unix://")
    program = [
        "docker", "run", "--rm", "--network=host", f"--label={RUN_LABEL}={local.stack.run_id}",
        # a task's folders are mounted by the engine: they have one path inside and outside
        f"--volume={folder}:{folder}", f"--volume={socket}:{socket}", image,
    ]  # fmt: skip
    pool = local.status()["workerpool"]
    record = folder / "noon.csv"  # the records of the other workers come with a package that is not in the image
    rows = [f"2001-06-21T{hour:02}:00Z,700" for hour in range(6, 20)]
    header = "# latitude: 45\n# longitude: 0\n# interval_s: 3600\n# utc_offset_hours: 0\ntime,ghi\n"
    record.write_text(header + "\n".join(rows) + "\n")
    energy = {**SUN, "board": "pi-4b", "speed": 1, "record": str(record)}
    local.start_worker(ARM_WORKER, pool, "linux/arm64", energy, program, stake_nrlc=100 * RLC, **HASTE)
    local.wait_for_workers(4, START_SECONDS)
    yield local.wallets[ARM_WORKER].address
    local.stack.stop_process(ARM_WORKER)
    subprocess.run(["docker", "image", "rm", image], capture_output=True, check=False)


@pytest.fixture
def run(local, monkeypatch, capsys):
    """`pew --json` in the terminal of a newcomer who has read `build/network/env`: what it says, or its error."""
    for line in (local.run_dir / "env").read_text().splitlines():
        name, _, value = line.removeprefix("export ").partition("=")
        if name != "PATH":
            monkeypatch.setenv(name, shlex.split(value)[0])

    def call(*words, code=0):
        capsys.readouterr()
        ended = pew(["--json", *words])
        said = capsys.readouterr()
        assert ended == code, said.err
        return json.loads(said.out) if code == 0 else said.err

    return call


def test_files_are_run_by_name_and_paid_once(local, tmp_path, monkeypatch, run):
    """docs/how-to/run-a-task.md: a dapp that is not deployed, a folder, a stop before the note, a bad file."""
    monkeypatch.chdir(ROOT)
    given, output = tmp_path / "texts", tmp_path / "results"
    given.mkdir()
    golden = ROOT / "dapps" / "template" / "golden"
    shutil.copy(golden / "input.txt", given / "one.txt")
    (given / "two.txt").write_text("other words, other words")
    words = ("run", "template", str(given), "--args", "--top 5", "--output", str(output))

    assert run("account", "deposit", "10", "--dry-run")["gas"] > 21_000
    assert run("account", "show")["escrow_nrlc"] == 0
    run("account", "deposit", "10")
    assert all(finding["ok"] for finding in run("doctor"))

    planned = run(*words, "--dry-run")
    assert (planned["total_nrlc"], planned["tasks"]) == (2 * RLC, 2)
    assert planned["registration"]["gas"] > 100_000
    assert not output.exists()
    assert "say --yes" in run(*words, code=2)

    begun = run(*words, "--yes", "--detach")["files"]
    journal = output / ".pew-run.json"
    noted = json.loads(journal.read_text())
    for entry in noted["entries"]:
        entry["deal"] = entry["task"] = ""
    journal.write_text(json.dumps(noted))
    done = run(*words, "--yes")["files"]
    assert [(one["state"], one["deal"]) for one in done] == [("DONE", one["deal"]) for one in begun]
    expected = (golden / "result.json").read_bytes()
    assert (output / "one.txt" / "iexec_out" / "result.json").read_bytes() == expected
    assert (output / "two.txt" / "iexec_out" / "result.json").read_bytes() != expected
    assert run("account", "show")["escrow_nrlc"] == 8 * RLC

    alone = ("run", "template", str(given / "two.txt"), "--args")
    failed = run(*alone, "--top -1", "--output", str(tmp_path / "failed"), "--yes", code=1)
    assert "1 of 1 files failed" in failed and "--retry-failed" in failed
    assert "another arguments" in run(*words[:4], "--top 7", *words[5:], "--yes", code=2)
    assert [worker["presence"] for worker in run("fleet", "status")["workers"]] == ["WAITING"] * 3


def test_from_a_copy_to_a_paid_run(local, arm_worker, tmp_path, run):
    (tmp_path / "dapps").mkdir()
    for name in ("template", "layers"):
        shutil.copytree(ROOT / "dapps" / name, tmp_path / "dapps" / name)
    (tmp_path / "build").mkdir()
    (tmp_path / "build" / "cache").symlink_to(ROOT / "build" / "cache")

    run("dapp", "new", "bird-words", "--root", str(tmp_path))
    image = run("dapp", "push", "bird-words", "--root", str(tmp_path))["bird-words"]
    app = run("app", "register", "bird-words", image["reference"])["app"]
    run("order", "publish", "app", app, "--price", "0.1", "--volume", "10")
    golden = ROOT / "dapps" / "template" / "golden"
    shutil.copy(golden / "input.txt", local.run_dir / "files")
    run("account", "deposit", "10")
    done = run(
        "run", app, "--input-file", f"{local.files_url}/input.txt", "--args", "--top 5", "--trust", str(TRUST), "--yes",
        "--output", str(tmp_path / "result"),
    )  # fmt: skip

    expected = (golden / "result.json").read_bytes()
    assert (tmp_path / "result" / "iexec_out" / "result.json").read_bytes() == expected
    task = local.chain.task(done["tasks"][0])
    assert task.digest == "0x" + hashlib.sha256(expected).hexdigest()
    assert arm_worker in task.contributors and len(task.contributors) == 4
    assert local.chain.score(arm_worker) == 1
    seen = {worker["wallet"]: worker["platforms"] for worker in local.status()["workers"]}
    assert seen[arm_worker] == ["linux/arm64"]
