"""`dapp.yaml`: what an image is made of and how its program is called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from poco.errors import BadInputError

PlatformName = Literal["linux/arm/v7", "linux/arm64", "linux/amd64"]
PLATFORMS: tuple[PlatformName, ...] = get_args(PlatformName)
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", max_length=60)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^0x[0-9a-f]{64}$")]
#: The folder beside the dapps whose `<name>.yaml` are layers that several of them use.
LAYERS = "layers"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PackageLayer(_Model):
    """Debian packages that share a layer; what they depend on comes with them unless excluded.

    `shared` names a layer of `dapps/layers/`, which says the rest.
    """

    shared: Name | Literal[""] = ""
    packages: list[str] = []
    exclude: list[str] = []
    drop: list[str] = []

    @model_validator(mode="after")
    def _has_content(self) -> PackageLayer:
        if not self.packages and not self.shared:
            raise ValueError("a layer has 'packages', or names a 'shared' one")
        return self


class Native(_Model):
    """C sources of the dapp that become one shared object."""

    sources: list[str] = Field(min_length=1)
    output: str
    flags: list[str] = []


class Wheels(_Model):
    """Python packages: locks with hashes, beside what is in `files`, and where they go in the image."""

    locks: list[str] = Field(min_length=1)
    target: str


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


class Image(_Model):
    """What any image is made of."""

    name: Name
    version: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$")]
    summary: str
    platforms: list[PlatformName] = Field(min_length=1)
    layers: list[PackageLayer] = []
    wheels: Wheels | None = None
    native: list[Native] = []
    files: dict[str, str]
    entrypoint: list[str] = Field(min_length=1)
    environment: dict[str, str] = {}


class Description(Image):
    """The whole of `dapp.yaml`."""

    arguments: list[Argument] = []
    memory_mb: int = Field(gt=0)
    network: bool = False
    golden: Golden


_Read = TypeVar("_Read", bound=BaseModel)


def load(folder: Path) -> Description:
    """Read `<folder>/dapp.yaml`, with the shared layers it names.

    Raises:
        BadInputError: there is none, or it says what it may not.
    """
    if not (folder / "dapp.yaml").is_file():
        there = ", ".join(names(folder.parent))
        raise BadInputError(f"There is no dapp '{folder.name}'", hint=f"dapps here: {there or 'none'}")
    return load_image(folder / "dapp.yaml", Description, folder.parent / LAYERS)


def names(dapps: Path) -> list[str]:
    """The dapps in a folder."""
    return sorted(path.parent.name for path in dapps.glob("*/dapp.yaml"))


_AnyImage = TypeVar("_AnyImage", bound=Image)


def load_image(path: Path, kind: type[_AnyImage], layers: Path) -> _AnyImage:
    """Read the description of an image; `layers` is the folder of shared layers.

    Raises:
        BadInputError: there is none, or it says what it may not.
    """
    image = _read(path, kind)
    return image.model_copy(update={"layers": [_whole(layer, layers) for layer in image.layers]})


def _whole(layer: PackageLayer, layers: Path) -> PackageLayer:
    if not layer.shared:
        return layer
    if layer.packages or layer.exclude or layer.drop:
        raise BadInputError(
            f"The shared layer '{layer.shared}' says itself what is in it", hint="put more packages into another layer"
        )
    path = layers / f"{layer.shared}.yaml"
    if not path.is_file():
        there = ", ".join(sorted(other.stem for other in layers.glob("*.yaml")))
        raise BadInputError(f"There is no shared layer '{layer.shared}'", hint=f"those there are: {there or 'none'}")
    return _read(path, PackageLayer).model_copy(update={"shared": layer.shared})


def _read(path: Path, kind: type[_Read]) -> _Read:
    try:
        content: Any = yaml.safe_load(path.read_text())
        return kind.model_validate(content)
    except OSError as error:
        raise BadInputError(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path} is not YAML: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadInputError(f"{path}: {where}: {first['msg']}", hint="see docs/reference/images.md") from error
