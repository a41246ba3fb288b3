"""Docker Compose for `ops/compose.yaml`: the plugin of the engine's client where it has it, else Debian's program."""

from __future__ import annotations

import shutil
import subprocess

from ops.console import ROOT, SetupError
from ops.engine import apt_install, is_debian, is_root

FILE = ROOT / "ops" / "compose.yaml"


def ensure_compose() -> list[str]:
    """The words that begin a command.

    Raises:
        SetupError: there is none, and the way to one.
    """
    asked = subprocess.run(["docker", "compose", "version"], capture_output=True, check=False, timeout=30)
    if asked.returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose") is None and is_debian() and is_root():
        apt_install("docker-compose")
    if shutil.which("docker-compose") is None:
        raise SetupError(
            "Docker Compose is not installed", "install the package docker-compose-plugin, or docker-compose (1.29)"
        )
    return ["docker-compose"]
