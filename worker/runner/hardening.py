"""A stranger's container: nothing but its processor time, its memory and its two folders."""

from __future__ import annotations

from typing import Any

from docker.types import LogConfig, Mount, Ulimit

from oci.manifest import NETWORK_LABEL, NETWORK_REQUIRED
from worker.config import DockerLimits
from worker.runner.folders import container_user
from worker.runner.inside import CHECKPOINT, HOSTNAME, OPEN_FILES, SHM_BYTES, environment, volumes
from worker.runner.protocol import RunSpec

_MB = 1_048_576


def asks_for_network(labels: dict[str, str]) -> bool:
    """Whether an image is of an app that cannot work without the network."""
    return labels.get(NETWORK_LABEL) == NETWORK_REQUIRED


def options(spec: RunSpec, limits: DockerLimits, image: dict[str, Any]) -> dict[str, Any]:
    """Arguments for `containers.create`.

    Args:
        spec: what to run.
        limits: the operator's bounds.
        image: its config, as the engine tells it: what it declares as VOLUME, and whether it asks for the network.
    """
    uid, gid = container_user()
    tmp = f"rw,noexec,nosuid,nodev,size={limits.tmp_mb}m"
    tmpfs = {"/tmp": tmp}  # noqa: S108  (inside the container)
    tmpfs |= dict.fromkeys(volumes(image.get("Volumes") or {}), tmp)
    return {
        "command": spec.argv,
        "environment": environment(spec.env),
        "user": f"{uid}:{gid}",
        "hostname": HOSTNAME,
        "network_mode": "bridge" if spec.network and asks_for_network(image.get("Labels") or {}) else "none",
        "read_only": True,
        "tmpfs": tmpfs,
        "shm_size": SHM_BYTES,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "pids_limit": limits.pids,
        "mem_limit": limits.memory_mb * _MB,
        "memswap_limit": limits.memory_mb * _MB,
        "nano_cpus": int(limits.cpus * 1e9),
        "ulimits": [
            Ulimit(name="nofile", soft=OPEN_FILES, hard=OPEN_FILES),
            Ulimit(name="core", soft=0, hard=0),
            Ulimit(name="fsize", soft=limits.output_mb * _MB, hard=limits.output_mb * _MB),
        ],
        # of one file alone nothing would be left just after it was begun anew
        "log_config": LogConfig(type=LogConfig.types.JSON, config={"max-size": "1m", "max-file": "2"}),
        "mounts": [
            Mount("/iexec_in", str(spec.folder.inputs), type="bind", read_only=True),
            Mount("/iexec_out", str(spec.folder.out), type="bind"),
            Mount(CHECKPOINT, str(spec.folder.checkpoint), type="bind"),
        ],
    }
