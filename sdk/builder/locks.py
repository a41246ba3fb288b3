"""Lock files of Debian packages: `packages.lock` beside a `dapp.yaml`, and one beside each shared layer."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from oci.layout import write_whole
from poco.errors import BadInputError
from sdk.builder import packages
from sdk.builder.description import PLATFORMS, Image, PackageLayer
from sdk.builder.packages import SUITE, Locked, Package

HINT = "run: pew dapp build {name} --refresh-lock"


def path_of(layer: PackageLayer, folder: Path, shared: Path) -> Path:
    """Where a layer of the image described in `folder` is locked; `shared` is the folder of shared layers."""
    return shared / f"{layer.shared}.lock" if layer.shared else folder / "packages.lock"


def read(image: Image, folder: Path, shared: Path) -> list[Locked]:
    """The locked packages of an image's layers, in their order.

    Raises:
        BadInputError: a lock is missing, broken, or for another list of packages.
    """
    own = [layer for layer in image.layers if not layer.shared]
    rest = iter(_load(folder / "packages.lock", own, image) if own else [])
    return [
        _load(path_of(layer, folder, shared), [layer], image)[0] if layer.shared else next(rest)
        for layer in image.layers
    ]


def refresh(image: Image, folder: Path, shared: Path, cache: Path) -> list[Path]:
    """Resolve an image's layers anew; returns the lock files written.

    A shared layer is resolved alone and for all platforms, so that it is the same whoever refreshes it.

    Raises:
        PewError: apt cannot satisfy the request.
    """
    written = []
    for layer in image.layers:
        if layer.shared:
            (found,) = packages.resolve([layer], PLATFORMS, cache)
            written.append(path_of(layer, folder, shared))
            save(written[-1], [layer], [found])
    own = [number for number, layer in enumerate(image.layers) if not layer.shared]
    if own:
        all_of_them = packages.resolve(image.layers, image.platforms, cache)
        written.append(folder / "packages.lock")
        save(written[-1], [image.layers[number] for number in own], [all_of_them[number] for number in own])
    return written


def save(path: Path, layers: list[PackageLayer], locked: list[Locked]) -> None:
    """Write a lock, one package a line."""
    lines = ['{"suite": ' + json.dumps(SUITE) + ', "layers": [']
    for number, (layer, found) in enumerate(zip(layers, locked, strict=True)):
        lines.append(f'{"," if number else ""}{{"request": {json.dumps(_request(layer))}, "platforms": {{')
        for position, (platform, entries) in enumerate(sorted(found.items())):
            rows = ",\n".join("  " + json.dumps(asdict(entry)) for entry in entries)
            lines.append(f'{"," if position else ""}"{platform}": [\n{rows}\n]')
        lines.append("}}")
    lines.append("]}")
    write_whole(path, ("\n".join(lines) + "\n").encode())


def _load(path: Path, layers: list[PackageLayer], image: Image) -> list[Locked]:
    hint = HINT.format(name=image.name)
    try:
        document = json.loads(path.read_text())
        locked = [
            {platform: [Package(**package) for package in found] for platform, found in layer["platforms"].items()}
            for layer in document["layers"]
        ]
        asked = [layer["request"] for layer in document["layers"]]
    except FileNotFoundError as error:
        raise BadInputError(f"{path.name} is missing", hint=hint) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInputError(f"{path.name} cannot be read: {error}", hint=hint) from error
    if asked != [_request(layer) for layer in layers] or any(not set(image.platforms) <= set(each) for each in locked):
        raise BadInputError(f"{path.name} is for other packages or platforms than are asked for", hint=hint)
    return locked


def _request(layer: PackageLayer) -> dict[str, list[str]]:
    return {"packages": layer.packages, "exclude": layer.exclude}
