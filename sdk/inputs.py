"""A requester's own files as inputs of tasks: kept by the pool's scheduler for some days, under their hash."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from chain.wallet import Wallet
from poco.challenge import GATEWAY
from poco.errors import BadInputError
from poco.result import cid_of
from sdk.challenge import authorization
from sdk.service import Service

#: Files of one folder that are run at once.
MAX_FILES = 1000


@dataclass(frozen=True, slots=True)
class Input:
    """A local file; `name` tells it from the others of its run."""

    name: str
    path: Path
    cid: str
    size: int

    def url(self, service: Service) -> str:
        """Where workers fetch it once it is published."""
        return f"{service.url}/ipfs/{self.cid}"


def collect(paths: tuple[Path, ...]) -> list[Input]:
    """The files named, and those of the folders named (hidden ones and folders in them are left out), in order.

    Raises:
        BadInputError: none, too many, one that cannot be read, or two of one name.
    """
    files: list[Path] = []
    for path in paths:
        try:
            files += (
                sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
                if path.is_dir()
                else [path]
            )
        except OSError as error:
            raise BadInputError(f"cannot read {path}: {error.strerror}", hint="check the folder") from None
    if not files or len(files) > MAX_FILES:
        hint = f"name 1 to {MAX_FILES} files, or folders that hold as many"
        raise BadInputError(f"there are {len(files)} files to work on", hint=hint)
    names = [path.name for path in files]
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise BadInputError(f"two files are called {double}", hint="run one folder after the other")
    return [_input(path) for path in files]


def _input(path: Path) -> Input:
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").digest()
            return Input(path.name, path, cid_of(sha256), file.tell())
    except OSError as error:
        raise BadInputError(f"cannot read {path}: {error.strerror}", hint="check the path") from None


def require_size(service: Service, given: list[Input]) -> None:
    """BadInputError where the scheduler would not take one of the files for its size."""
    config = service.get("/config")
    limit = config.get("max_result_bytes") if isinstance(config, dict) else None
    largest = max(given, key=lambda one: one.size)
    if isinstance(limit, int) and largest.size > limit:
        raise BadInputError(
            f"{largest.path} has {largest.size} bytes, {service.url} takes at most {limit}",
            hint="put it on a server of your own and name its address: --input-file URL",
        )


def publish(service: Service, wallet: Wallet, chain_id: int, given: Input) -> str:
    """Send a file to the scheduler unless it has it; its address. Whoever knows the address can read the file.

    Raises:
        sdk.service.ServiceError: it is not taken (too large, no room, nothing in the escrow).
    """
    if not service.holds(f"/ipfs/{given.cid}"):
        header = {"Authorization": authorization(service, "/challenge", GATEWAY, wallet, chain_id)}
        service.upload(f"/inputs/{given.cid}", given.path, header)
    return given.url(service)
