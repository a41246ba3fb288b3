"""What `pew fleet` remembers beside fleet.yaml: addresses, declarations, the release in force, tokens by their hash."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from poco.errors import BadInputError
from poco.wire import Address, Declaration


class Device(BaseModel):
    """What is known of one device."""

    model_config = ConfigDict(extra="forbid")

    wallet: Address
    declaration: Declaration | None = None


class Token(BaseModel):
    """A card's token: `hash` of its nonce; the token itself is only on the card."""

    model_config = ConfigDict(extra="forbid")

    hash: str
    expires: int


class Kept(BaseModel):
    """The file `state.json`. `release`: the archive's digest, once there was one."""

    model_config = ConfigDict(extra="forbid")

    release: str = ""
    devices: dict[str, Device] = {}
    tokens: dict[str, Token] = {}


class State:
    """The folder `<fleet>.state` beside the fleet's file; only its owner can read it."""

    def __init__(self, fleet_file: Path) -> None:
        self.folder = fleet_file.resolve().with_suffix(".state")
        self.folder.mkdir(mode=0o700, exist_ok=True)
        self._path = self.folder / "state.json"
        self.kept = Kept()
        if self._path.exists():
            try:
                self.kept = Kept.model_validate_json(self._path.read_bytes())
            except (OSError, ValidationError) as error:
                raise BadInputError(
                    f"{self._path} cannot be read: {str(error).splitlines()[0]}",
                    hint="restore it, or move it away: addresses are asked of the devices again",
                ) from None

    @property
    def releases(self) -> Path:
        return self.folder / "releases"

    def save(self) -> None:
        """All of it or nothing, on disk when it returns."""
        self.write("state.json", self.kept.model_dump_json(indent=1) + "\n")

    def write(self, name: str, text: str) -> Path:
        """A file of the folder, mode 0600."""
        new = self.folder / f"{name}.new"
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.folder / name)
        return self.folder / name

    def write_json(self, name: str, data: Any) -> Path:
        return self.write(name, json.dumps(data, indent=1, sort_keys=True) + "\n")
