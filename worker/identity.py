"""The worker's own wallet, made where it works: the key never leaves the device."""

from __future__ import annotations

import os
from pathlib import Path

from chain import keystores, wallet
from poco.errors import BadInputError
from worker.config import WorkerConfig


def ensure_wallet(config: WorkerConfig) -> tuple[str, bool]:
    """The address of the configured keystore, and whether it was made now, with a random password beside it.

    A power cut in between leaves a password without a keystore, which is taken up; never the other way round.

    Raises:
        BadInputError: there is a keystore, but no password that opens it; or a file cannot be written.
    """
    if config.keystore.exists():
        return wallet.load(config.keystore, wallet.read_password(config.password_file)).address, False
    try:
        for path in (config.password_file, config.keystore):
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        password = _password(config.password_file)
        return wallet.create(config.keystore, password).address, True
    except OSError as error:
        raise BadInputError(
            f"cannot write {error.filename}: {error.strerror}", hint="give the folder to the worker's user"
        ) from None


def _password(path: Path) -> str:
    """What the file holds; it is filled with a random password first where it is missing or empty."""
    if path.exists() and wallet.read_password(path):
        keystores.require_private(path, "password file")
        return wallet.read_password(path)
    made = wallet.new_password()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(made + "\n")
        file.flush()
        os.fsync(file.fileno())
    return made
