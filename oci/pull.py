"""An image from a registry into a folder, without an engine: layer by layer, each checked before it is opened."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from oci.errors import BadChecksumError, ImageInvalidError, RegistryUnreachableError
from oci.manifest import Descriptor, Manifest, require_platform
from oci.platform import normalise
from oci.platform import parse as parse_platform
from oci.reference import Reference
from oci.registry import MAX_CONFIG_BYTES, RegistryClient
from oci.unpack import Bounds, unpack_layer
from poco.params import is_plain

_TRIES = 3
_MAX_TEXTS = 1024


class PullStoppedError(Exception):
    """The pull was given up on purpose."""


@dataclass(frozen=True)
class PulledImage:
    """What an image's config says about running it; `unpacked_bytes` is what its files hold."""

    entrypoint: tuple[str, ...]
    command: tuple[str, ...]
    environment: dict[str, str]
    working_dir: str
    volumes: tuple[str, ...]
    unpacked_bytes: int


@dataclass(frozen=True)
class _Config:
    document: dict[str, Any]
    diff_ids: tuple[str, ...]


def pull(
    client: RegistryClient,
    image: Reference,
    platform: str,
    folder: Path,
    *,
    max_compressed: int,
    max_unpacked: int,
    stop: Callable[[], bool],
) -> PulledImage:
    """Fetch the manifest, the config and all layers of one platform's image and unpack them.

    Args:
        client: of the image's registry; its deadline is the pull's.
        image: by the digest of the platform's own manifest.
        platform: what the config must say it is for.
        folder: an empty folder; `rootfs` is made in it.
        max_compressed: bytes that may be transferred.
        max_unpacked: bytes that all files of the layers may hold.
        stop: asked between pieces.

    Raises:
        ImageError: not there, not in time, too large, broken, not what its digests say; see `oci.errors`.
        PullStoppedError: `stop` said yes.
        OSError: the disk does not take it.
    """
    found = client.manifest(image.repository, image.selector).meaning
    if not isinstance(found, Manifest):
        raise ImageInvalidError(f"{image} is an index, not an image", hint="give the digest of one platform's manifest")
    if found.compressed_bytes > max_compressed:
        raise ImageInvalidError(
            f"{image} has {found.compressed_bytes} bytes compressed, {max_compressed} are allowed",
            hint="use a smaller image",
        )
    config = _config(client.blob(image.repository, found.config.digest, MAX_CONFIG_BYTES), platform, len(found.layers))
    root, blob, bounds = folder / "rootfs", folder / "layer", Bounds(max_unpacked)
    root.mkdir()
    for layer, diff_id in zip(found.layers, config.diff_ids, strict=True):
        _download(client, image.repository, layer, blob, stop)
        unpack_layer(blob, layer, diff_id, root, bounds)
        blob.unlink()
    return _told(config.document, max_unpacked - bounds.bytes_left)


def _download(
    client: RegistryClient, repository: str, layer: Descriptor, where: Path, stop: Callable[[], bool]
) -> None:
    for attempt in range(_TRIES):
        try:
            _download_once(client, repository, layer, where, stop)
            return
        except RegistryUnreachableError:
            if attempt == _TRIES - 1:
                raise


def _download_once(
    client: RegistryClient, repository: str, layer: Descriptor, where: Path, stop: Callable[[], bool]
) -> None:
    state, size = hashlib.sha256(), 0
    with where.open("wb") as file:
        for piece in client.blob_pieces(repository, layer.digest):
            if stop():
                raise PullStoppedError
            size += len(piece)
            if size > layer.size:
                raise ImageInvalidError(
                    f"The registry sends more than the {layer.size} bytes that {layer.digest} has",
                    hint="the registry is broken or hostile: use another",
                )
            state.update(piece)
            file.write(piece)
    if f"sha256:{state.hexdigest()}" != layer.digest:
        raise BadChecksumError(
            f"The registry sent {size} bytes that are not the layer {layer.digest}",
            hint="the registry or something on the way to it changes content: use another",
        )


def _config(content: bytes, platform: str, layers: int) -> _Config:
    try:
        document = json.loads(content)
        own = normalise(str(document["os"]), str(document["architecture"]), str(document.get("variant") or ""))
        diff_ids = tuple(str(each) for each in document["rootfs"]["diff_ids"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ImageInvalidError(f"The image's config cannot be read: {error}", hint="push the image again") from error
    require_platform(own, parse_platform(platform))
    if len(diff_ids) != layers:
        raise ImageInvalidError(
            f"The image's config names {len(diff_ids)} layers, its manifest {layers}", hint="push the image again"
        )
    return _Config(document, diff_ids)


def _told(document: dict[str, Any], unpacked_bytes: int) -> PulledImage:
    inner = document.get("config") or {}
    if not isinstance(inner, dict):
        raise ImageInvalidError("The image's config says nothing about what to run", hint="build the image again")
    named = (text.partition("=") for text in _texts(inner.get("Env")))
    environment = {name: value for name, _, value in named if name}
    volumes = inner.get("Volumes") or {}
    return PulledImage(
        entrypoint=_texts(inner.get("Entrypoint")),
        command=_texts(inner.get("Cmd")),
        environment=environment,
        working_dir="".join(_texts([inner.get("WorkingDir") or "/"])),
        volumes=_texts(sorted(volumes) if isinstance(volumes, dict) else volumes),
        unpacked_bytes=unpacked_bytes,
    )


def _texts(value: object) -> tuple[str, ...]:
    """A list of texts that a program can be given, at most `_MAX_TEXTS` of them; nothing is an empty one."""
    if value is None:
        return ()
    if (
        not isinstance(value, list)
        or len(value) > _MAX_TEXTS
        or not all(isinstance(text, str) and is_plain(text) for text in value)
    ):
        raise ImageInvalidError("The image's config has a list that is none of texts", hint="build the image again")
    return tuple(value)
