"""Prometheus over a pool's schedulers, for trials and tests: Debian's program with the rules of this folder."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests
import yaml

from ops.ports import HOST, require_ports
from ops.stack import Stack
from ops.unpacked import Program, ensure_program
from poco.errors import PewError

FOLDER = Path(__file__).parent
RULES = (FOLDER / "records.yml", FOLDER / "alerts.yml")


def ensure_prometheus() -> Program:
    """The server's program; SetupError where it cannot be had."""
    return ensure_program("prometheus", "usr/bin/prometheus", ["prometheus"])


def promtool(*words: str | Path) -> str:
    """Run promtool; what it says. PewError where it finds something wrong."""
    program = ensure_program("prometheus", "usr/bin/promtool", ["prometheus"])
    env = {"PATH": "/usr/bin:/bin", **program.env}
    done = subprocess.run(
        [program.path, *words], env=env, capture_output=True, text=True, check=False, timeout=120, cwd=FOLDER
    )
    if done.returncode:
        raise PewError(f"promtool {words[0]} {words[1]}:\n{done.stdout}{done.stderr}")
    return done.stdout


class Prometheus:
    """A running server.

    Args:
        stack: the run it belongs to.
        port: for its HTTP interface, on loopback.
        targets: by job, ports on loopback.
        every: seconds between two looks, and between two evaluations of the rules.
        quick: alerts fire as soon as they hold; what they wait for in truth is tested with `promtool test rules`.
    """

    def __init__(
        self, stack: Stack, port: int, targets: dict[str, Sequence[int]], *, every: int = 15, quick: bool = False
    ) -> None:
        require_ports({"prometheus": (port, "port")})
        program = ensure_prometheus()
        home = stack.run_dir / "prometheus"
        shutil.rmtree(home, ignore_errors=True)
        (home / "targets").mkdir(parents=True)
        for rules in RULES:
            said = yaml.safe_load(rules.read_text())
            for rule in (rule for group in said["groups"] for rule in group["rules"] if quick):
                rule.pop("for", None)
            (home / rules.name).write_text(yaml.safe_dump(said))
        config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": f"{every}s", "evaluation_interval": f"{every}s"}
        for job in config["scrape_configs"]:
            for discovery in job["file_sd_configs"]:
                for name in discovery["files"]:
                    asked = [f"{HOST}:{number}" for number in targets.get(job["job_name"], ())]
                    (home / name).write_text(json.dumps([{"targets": asked}]))
        (home / "prometheus.yml").write_text(yaml.safe_dump(config))
        self.url = f"http://{HOST}:{port}"
        argv: list[str | Path] = [
            program.path,
            f"--config.file={home / 'prometheus.yml'}",
            f"--storage.tsdb.path={home / 'data'}",
        ]
        argv += [f"--web.listen-address={HOST}:{port}", "--storage.tsdb.retention.size=256MB", "--log.level=warn"]
        stack.start("prometheus", argv, env=program.env, ready=f"{self.url}/-/ready")

    def query(self, expression: str) -> list[dict[str, Any]]:
        """An instant query's samples. PewError where the expression is refused."""
        answer = requests.get(f"{self.url}/api/v1/query", params={"query": expression}, timeout=20).json()
        if answer["status"] != "success":
            raise PewError(f"{expression}: {answer.get('error')}")
        return list(answer["data"]["result"])

    def series(self) -> set[str]:
        """Names of all metrics that it has."""
        answer = requests.get(f"{self.url}/api/v1/label/__name__/values", timeout=20).json()
        return set(answer["data"])

    def firing(self) -> set[str]:
        """Names of the alerts that fire now."""
        answer = requests.get(f"{self.url}/api/v1/alerts", timeout=20).json()
        return {alert["labels"]["alertname"] for alert in answer["data"]["alerts"] if alert["state"] == "firing"}
