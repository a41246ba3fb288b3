"""Bubblewrap, the worker's runtime where there is no Docker Engine (standard library only)."""

from __future__ import annotations

import shutil

from ops.console import CommandError, SetupError, run, step
from ops.engine import apt_install, is_debian, is_root


def ensure_bubblewrap() -> None:
    """Have bubblewrap, the worker's runtime where there is no engine, and prove it by a run.

    Raises:
        SetupError: it cannot be had, or makes no sandbox here; and what to do.
    """
    if shutil.which("bwrap") is None:
        if not (is_root() and is_debian()):
            raise SetupError("bubblewrap is not installed", "install it: `sudo apt-get install bubblewrap`")
        with step("engine", "bubblewrap"):
            apt_install("bubblewrap")
    try:
        seen = ["--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev"]
        run(["bwrap", "--unshare-all", "--unshare-user", *seen, "--", "/bin/true"])
    except CommandError as error:
        raise SetupError(
            f"bubblewrap makes no sandbox here: {error.message}",
            "allow user namespaces (docs/reference/worker.md, section Runtimes)",
        ) from None
