"""A stranger's container: nothing but its processor time, its memory and its two folders."""

from __future__ import annotations

import posixpath
from typing import Any

from docker.types import LogConfig, Mount, Ulimit

from worker.config import DockerLimits
from worker.runner.folders import container_user
from worker.runner.protocol import RunSpec

#: Where a program finds its checkpoint folder: the value of IEXEC_CHECKPOINT.
CHECKPOINT = "/iexec_checkpoint"
_MB = 1_048_576
_MAX_VOLUMES = 16


def options(spec: RunSpec, limits: DockerLimits, volumes: dict[str, Any] | None) -> dict[str, Any]:
    """Arguments for `containers.create`.

    Args:
        spec: what to run.
        limits: the operator's bounds.
        volumes: what the image declares as VOLUME; each becomes a small tmpfs, since a volume would be written as root
            and outlive the read-only root.
    """
    uid, gid = container_user()
    tmp = f"rw,noexec,nosuid,nodev,size={limits.tmp_mb}m"
    tmpfs = {"/tmp": tmp}  # noqa: S108  (inside the container)
    for path in sorted(volumes or {})[:_MAX_VOLUMES]:
        clean = posixpath.normpath("/" + path.lstrip("/"))
        if clean not in ("/", "/iexec_in", "/iexec_out", CHECKPOINT):
            tmpfs[clean] = tmp
    return {
        "command": spec.argv,
        "environment": {**spec.env, "IEXEC_CHECKPOINT": CHECKPOINT},
        "user": f"{uid}:{gid}",
        "hostname": "worker",
        "network_mode": "bridge" if spec.network else "none",
        "read_only": True,
        "tmpfs": tmpfs,
        "shm_size": _MB,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "pids_limit": limits.pids,
        "mem_limit": limits.memory_mb * _MB,
        "memswap_limit": limits.memory_mb * _MB,
        "nano_cpus": int(limits.cpus * 1e9),
        "ulimits": [
            Ulimit(name="nofile", soft=256, hard=256),
            Ulimit(name="core", soft=0, hard=0),
            Ulimit(name="fsize", soft=limits.output_mb * _MB, hard=limits.output_mb * _MB),
        ],
        "log_config": LogConfig(type=LogConfig.types.JSON, config={"max-size": "1m", "max-file": "1"}),
        "mounts": [
            Mount("/iexec_in", str(spec.folder.inputs), type="bind", read_only=True),
            Mount("/iexec_out", str(spec.folder.out), type="bind"),
            Mount(CHECKPOINT, str(spec.folder.checkpoint), type="bind"),
        ],
    }
