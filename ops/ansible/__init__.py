"""Ansible for fleets: playbook and roles of this folder, and the program itself in an environment of its own.

`ansible-core` comes from requirements-ansible.txt with hashes, below build/tools/, on the operator's machine alone; the
devices get the same lock for `ansible-pull`.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import sys
from pathlib import Path

from ops.console import ROOT, CommandError, SetupError, run, step
from ops.engine import TOOLS

LOCK = ROOT / "requirements-ansible.txt"


def find_ansible() -> Path | None:
    """The folder of the locked version's programs; None where it is not installed."""
    programs = _folder() / "bin"
    return programs if (_folder() / ".complete").exists() else None


def ensure_ansible() -> Path:
    """As `find_ansible`; installs it where it is missing.

    Raises:
        SetupError: PyPI cannot be reached, or this Python makes no environments.
    """
    TOOLS.mkdir(parents=True, exist_ok=True)
    with (TOOLS / "ansible.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if find_ansible() is None:
            with step("ansible", "ansible-core"):
                _install()
    return _folder() / "bin"


def _folder() -> Path:
    """A place of the lock's content and of the interpreter."""
    python = os.path.realpath(sys.executable)
    digest = hashlib.sha256(LOCK.read_bytes() + python.encode()).hexdigest()
    return TOOLS / f"ansible-{digest[:12]}"


def _install() -> None:
    folder = _folder()
    shutil.rmtree(folder, ignore_errors=True)
    try:
        run([os.path.realpath(sys.executable), "-m", "venv", folder], timeout=300)
        pip: list[str | Path] = [folder / "bin" / "python", "-m", "pip", "install", "-q", "--disable-pip-version-check"]
        run([*pip, "--require-hashes", "-r", LOCK], timeout=900)
    except CommandError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise SetupError(
            f"ansible-core cannot be installed: {error.message}",
            "it comes from PyPI: check the network, then try again (Debian: python3-venv must be installed)",
        ) from error
    (folder / ".complete").touch()
