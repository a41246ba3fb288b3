"""The key with which an operator signs what devices fetch, and git with it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from poco.errors import BadInputError, PewError
from sdk.fleet.state import State

SIGNER = "operator"


def ensure_key(state: State) -> str:
    """The public half of the fleet's signing key (OpenSSH, one line); it is made where there is none."""
    key = state.folder / "publish.key"
    if not key.exists():
        if shutil.which("ssh-keygen") is None:
            raise BadInputError("this machine has no ssh-keygen", hint="sudo apt-get install openssh-client")
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", SIGNER, "-f", str(key)])
    return key.with_name("publish.key.pub").read_text().strip()


def allowed_signers(state: State) -> str:
    """What a device needs to check a commit: ssh-keygen's ALLOWED SIGNERS."""
    kind, key = ensure_key(state).split()[:2]
    return f'{SIGNER} namespaces="git" {kind} {key}\n'


def git(folder: Path, state: State, words: Sequence[str]) -> str:
    """What a git command prints; what it commits is signed."""
    settings = {
        "user.name": SIGNER,
        "user.email": "operator@localhost",
        "gpg.format": "ssh",
        "user.signingkey": str(state.folder / "publish.key"),
        "safe.directory": "*",
    }
    options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
    return run(["git", *options, *words], folder)


def run(words: Sequence[str], folder: Path | None = None) -> str:
    """What a command prints; PewError where it fails."""
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_TERMINAL_PROMPT": "0"}
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PewError(
            f"{words[0]} failed: {(done.stderr or done.stdout).strip()[-400:]}", hint="see the words of the program"
        )
    return done.stdout
