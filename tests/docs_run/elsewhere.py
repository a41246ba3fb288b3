"""Commands of the documentation that other tests run: which command, and which file runs it.

A command that no entry here fits is typed on a real network by the pages' own run (tests/docs_run/test_pages.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.docs_run.pages import Command

_NEWCOMER = "tests/e2e/test_newcomer.py"
_LEDGER = "tests/integration/test_energy_ledger.py"
_CLIENT = "tests/interop/work.py"
_MACHINE = "tests/docs_run/test_machine.py"
_COMPOSE = "tests/fleet/operate/test_compose.py"
_OPERATE = "docs/how-to/operate-the-scheduler.md"


@dataclass(frozen=True)
class Elsewhere:
    """Commands that match `pattern`, of the pages whose path begins with `page`.

    `by`: the files that run them, each with words that stand in it. `not_here`: why no test can run them as they are.
    """

    pattern: str
    by: dict[str, str]
    page: str = ""
    not_here: str = ""

    def fits(self, command: Command) -> bool:
        return command.page.startswith(self.page) and re.fullmatch(self.pattern, command.text) is not None


TABLE = (
    # a machine
    Elsewhere(r"(apt-get update && )?(sudo )?apt-get install (-y )?[a-z0-9. -]+", {_MACHINE: "apt-get"}),
    Elsewhere(r"git clone <this repository> .*", {_MACHINE: '"clone"'}),
    Elsewhere(r"make (setup|engine|test)", {".ci/run": "make test", "Makefile": "test: setup"}),
    Elsewhere(r"make demo", {"tests/e2e/test_demo.py": "scripts.demo", "Makefile": "-m scripts.demo"}),
    Elsewhere(r"make network", {"tests/e2e/test_docs.py": "scenes.SHORT", "Makefile": "-m scripts.network"}),
    Elsewhere(
        r"\.venv/bin/python -m pytest -p no:pytest-brownie tests/unit/.*", {"ops/check.py": '"no:pytest-brownie"'}
    ),
    Elsewhere(r"\.venv/bin/brownie test tests/contracts/.*", {"ops/check.py": '"brownie"), "test"'}),
    # the worker's image, and a Pi
    Elsewhere(r"make worker-image", {_NEWCOMER: "worker_image.build", "Makefile": "-m scripts.worker_image"}),
    Elsewhere(r"\.venv/bin/python -m scripts\.worker_image --push \S+", {_NEWCOMER: ".push(built"}),
    Elsewhere(r"docker run -d --name pew-worker .*", {_NEWCOMER: '"docker", "run"'}),
    Elsewhere(
        r"(python3 -m venv /opt/pew/venv|(/opt/pew/venv|\.venv)/bin/pip install --require-hashes .*)",
        {"tests/integration/test_worker_image.py": '"--require-hashes"'},
    ),
    Elsewhere(r"sudo (raspi-config|usermod) .*", {}, not_here="Raspberry Pi OS alone has it"),
    # a worker with sensors
    Elsewhere(r"python -m worker --config worker\.yaml", {"scripts/localstack.py": '"-m", "worker"'}),
    Elsewhere(
        r"python -m worker (status|doctor) --config .*",
        {"tests/integration/test_duty.py": 'tell("doctor")'},
        "docs/how-to/iot-device.md",
    ),
    Elsewhere(r"python -m worker export .*", {"tests/integration/test_duty.py": '"export"'}),
    Elsewhere(r'pew run 0x<.*> --input-file "sensor://.*', {"tests/integration/test_duty.py": "sensor://weather"}),
    # energy: a ledger of more than a day
    Elsewhere(r"pew energy verify 0x\S+", {_LEDGER: '"energy", "verify"'}),
    Elsewhere(r"pew energy verify ledger\.jsonl --offline", {"tests/unit/sdk/test_energy.py": '"--offline"'}),
    Elsewhere(r"pew energy (plot|page) .*", {"tests/unit/sdk/test_energy.py": '"plot"'}),
    Elsewhere(r"pew run \S+ \S+ --green", {_LEDGER: "tag=GREEN"}),
    # iExec's own client
    Elsewhere(r"npm install iexec@8\.24\.0", {"tests/interop/client/package.json": "8.24.0"}),
    Elsewhere(r"npx iexec (wallet|account) .*", {"tests/interop/commands.py": '"wallet", "create"'}),
    Elsewhere(r"npx iexec (app run|deal show|task debug) .*", {_CLIENT: '"debug"'}),
    Elsewhere(r"(NODE_OPTIONS=.* )?npx iexec task show .*", {_CLIENT: "REMEDY"}),
    # a testnet
    Elsewhere(
        r"pew .*rollout (plan|apply|status|verify) .*",
        {"tests/rollout/journey.py": 'rig.run("plan")', "tests/integration/test_rollout.py": "Rig("},
    ),
    # a pool's page
    Elsewhere(
        r"pew --scheduler http://127\.0\.0\.1:8400 fleet login",
        {"tests/fleet/page/test_page.py": '"fleet", "login"'},
        "docs/how-to/watch-a-pool.md",
    ),
    # the scheduler at scale
    Elsewhere(r"make scheduler-image", {_COMPOSE: "scheduler_image.FOLDER", "Makefile": "-m scripts.scheduler_image"}),
    Elsewhere(r"\.venv/bin/python -m scripts\.scheduler_image --push \S+", {_COMPOSE: ".push(built"}),
    Elsewhere(r"export PEW_SCHEDULER_IMAGE=.*", {_COMPOSE: '"PEW_SCHEDULER_IMAGE"'}, _OPERATE),
    Elsewhere(r"\.venv/bin/python -m ops\.pool_home .*", {_COMPOSE: "pool_home.m"}, _OPERATE),
    Elsewhere(r"docker compose -f ops/compose\.yaml .*", {_COMPOSE: 'compose("up", "-d")'}, _OPERATE),
    Elsewhere(
        r"sudo (install|cp|systemctl|python3 -m venv|/opt/pew-scheduler/venv/bin/pip) .*",
        {"tests/fleet/operate/test_units.py": '"verify"'},
        _OPERATE,
    ),
    Elsewhere(
        r"python -m scheduler --config scheduler\.yaml (backup|restore) .*",
        {"tests/fleet/operate/test_restore.py": '"restore", tmp_path'},
        _OPERATE,
    ),
    Elsewhere(r"promtool test rules .*", {"tests/fleet/operate/test_prometheus.py": '"test", "rules"'}),
    # a fleet of devices
    Elsewhere(
        r"pew .*fleet (init|add|plan|apply|upgrade|drain|remove) ?.*",
        {"tests/fleet/provision/test_fleet.py": 'roofs.pew("apply")', "tests/fleet/provision/test_card.py": '"--card"'},
        "docs/how-to/run-a-fleet.md",
    ),
    Elsewhere(r"git pull", {}, "docs/how-to/run-a-fleet.md", not_here="the project's next version is not here yet"),
    Elsewhere(r"pew .*fleet (ask|commands) .*", {"tests/unit/fleet/test_messaging_cli.py": '"ask", "pause"'}),
    # a fleet on virtual time
    Elsewhere(r"pew fleet simulate .*", {"tests/unit/fleet/test_simulate_settings.py": '"pew", "fleet", "simulate"'}),
    # programs that fail on purpose
    Elsewhere(r"pew run 0x\.\. --args fail --yes", {"tests/integration/test_sdk_market.py": "APP_COMPUTE_FAILED"}),
)


def run_by(command: Command) -> Elsewhere | None:
    """The entry for a command, or None where the pages' own run types it."""
    return next((entry for entry in TABLE if entry.fits(command)), None)
