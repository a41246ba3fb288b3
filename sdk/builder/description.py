"""`dapp.yaml`: what an image is made of and how its program is called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from poco.errors import BadInputError

PlatformName = Literal["linux/arm/v7", "linux/arm64", "linux/amd64"]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-f]{64}$")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PackageLayer(_Model):
    """Debian packages that share a layer; what they depend on comes with them unless excluded."""

    packages: list[str] = Field(min_length=1)
    exclude: list[str] = []
    drop: list[str] = []


class Native(_Model):
    """C sources of the dapp that become one shared object."""

    sources: list[str] = Field(min_length=1)
    output: str
    flags: list[str] = []


class Argument(_Model):
    """One argument of the program, for people and forms."""

    name: str
    default: str
    help: str


class Golden(_Model):
    """An input in the dapp's folder, arguments, and the result digest every platform must reach."""

    input: str
    arguments: str = ""
    digest: Sha256


class Description(_Model):
    """The whole of `dapp.yaml`."""

    name: Name
    version: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")]
    summary: str
    platforms: list[PlatformName] = Field(min_length=1)
    layers: list[PackageLayer] = []
    native: list[Native] = []
    files: dict[str, str]
    entrypoint: list[str] = Field(min_length=1)
    environment: dict[str, str] = {}
    arguments: list[Argument] = []
    memory_mb: int = Field(gt=0)
    golden: Golden


def load(folder: Path) -> Description:
    """Read `<folder>/dapp.yaml`.

    Raises:
        BadInputError: there is none, or it says what it may not.
    """
    path = folder / "dapp.yaml"
    try:
        return Description.model_validate(yaml.safe_load(path.read_text()))
    except FileNotFoundError as error:
        there = ", ".join(sorted(other.parent.name for other in folder.parent.glob("*/dapp.yaml")))
        raise BadInputError(f"There is no dapp '{folder.name}'", hint=f"dapps here: {there or 'none'}") from error
    except yaml.YAMLError as error:
        raise BadInputError(f"{path} is not YAML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadInputError(f"{path}: {where}: {first['msg']}", hint="see docs/reference/images.md") from error
