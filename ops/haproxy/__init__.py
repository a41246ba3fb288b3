"""HAProxy before the schedulers of a pool, for trials and tests: Debian's program with `haproxy.cfg` of this folder."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ops.ports import HOST, require_ports
from ops.process import Process
from ops.stack import Stack
from ops.unpacked import Program, ensure_program

CONFIG = Path(__file__).with_name("haproxy.cfg")
_PACKAGES = ("haproxy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1")


def ensure_haproxy() -> Program:
    """The program; SetupError where it cannot be had."""
    return ensure_program("haproxy", "usr/sbin/haproxy", _PACKAGES)


def settings(port: int, first: int, second: int, metrics: int) -> dict[str, str]:
    """The environment of `haproxy.cfg` on loopback: where it listens, its two schedulers, its own figures."""
    named = {"PEW_BIND": port, "PEW_SCHEDULER_1": first, "PEW_SCHEDULER_2": second, "PEW_BALANCER_METRICS": metrics}
    return {name: f"{HOST}:{value}" for name, value in named.items()}


def start_haproxy(stack: Stack, port: int, schedulers: tuple[int, int], metrics: int) -> Process:
    """Start a balancer on loopback.

    Args:
        stack: the run it belongs to.
        port: for workers and requesters.
        schedulers: ports of the two replicas.
        metrics: port of its own figures.
    """
    require_ports({"the balancer": (port, "port"), "the balancer's figures": (metrics, "metrics")})
    program = ensure_haproxy()
    env = {**program.env, **settings(port, *schedulers, metrics)}
    return stack.start("haproxy", [program.path, "-db", "-f", CONFIG], env=env, ready=metrics)


def check(config: Path = CONFIG) -> str:
    """What HAProxy finds wrong in a configuration; empty where it is valid."""
    program = ensure_haproxy()
    env = {**program.env, **settings(8400, 8401, 8402, 8405)}
    done = subprocess.run(
        [program.path, "-c", "-f", config], env=env, capture_output=True, text=True, check=False, timeout=30
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr
