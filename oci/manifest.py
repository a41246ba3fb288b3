"""OCI and Docker manifests: what is read from a registry is checked before it is used."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from oci.errors import ImageInvalidError, PlatformUnsupportedError
from oci.platform import Platform, normalise
from oci.reference import check_digest
from poco.errors import BadInputError

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
#: A label of an image's config, and its value where the program cannot work without the network.
NETWORK_LABEL, NETWORK_REQUIRED = "pew.network", "required"
INDEX_TYPES = (OCI_INDEX, DOCKER_INDEX)
MANIFEST_TYPES = (OCI_MANIFEST, DOCKER_MANIFEST)

MAX_MANIFEST_BYTES = 4 * 1024 * 1024
MAX_LAYERS = 512


def sha256_digest(content: bytes) -> str:
    """`sha256:<hex>` of bytes."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


@dataclass(frozen=True)
class Descriptor:
    """A reference to content: media type, digest, size in bytes, and the platform in an index."""

    media_type: str
    digest: str
    size: int
    platform: Platform | None = None

    def to_json(self) -> dict[str, Any]:
        """The descriptor as OCI writes it."""
        document: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.platform:
            variant = {"variant": self.platform.variant} if self.platform.variant else {}
            if self.platform.architecture == "arm64":
                variant = {"variant": "v8"}
            document["platform"] = {"architecture": self.platform.architecture, "os": self.platform.os, **variant}
        return document


@dataclass(frozen=True)
class Manifest:
    """The manifest of one image."""

    config: Descriptor
    layers: tuple[Descriptor, ...]

    @property
    def compressed_bytes(self) -> int:
        """What a pull transfers at most: config and layers, compressed."""
        return self.config.size + sum(layer.size for layer in self.layers)


@dataclass(frozen=True)
class Index:
    """An image index (Docker: manifest list)."""

    manifests: tuple[Descriptor, ...]

    @property
    def platforms(self) -> tuple[Platform, ...]:
        """The platforms there are images for, in the index's order."""
        return tuple(entry.platform for entry in self.manifests if entry.platform and entry.platform.os != "unknown")


@dataclass(frozen=True)
class Document:
    """A manifest or index as it came: its bytes, digest and meaning."""

    content: bytes
    media_type: str
    digest: str
    meaning: Manifest | Index


def parse_document(content: bytes, media_type: str = "") -> Document:
    """Read a manifest or an index; `media_type` is the registry's word, the document's own goes before.

    Raises:
        ImageInvalidError: neither of the two, or with impossible values.
    """
    try:
        fields = json.loads(content)
        if not isinstance(fields, dict) or fields.get("schemaVersion") != 2:
            raise ImageInvalidError(
                "The registry's manifest is not of schema version 2", hint="push the image with a current tool"
            )
        kind = str(fields.get("mediaType") or media_type.partition(";")[0].strip())
        if kind in INDEX_TYPES or "manifests" in fields:
            meaning: Manifest | Index = Index(tuple(_descriptor(entry) for entry in _list(fields["manifests"])))
            kind = kind if kind in INDEX_TYPES else OCI_INDEX
        else:
            meaning = Manifest(
                _descriptor(fields["config"]), tuple(_descriptor(entry) for entry in _list(fields["layers"]))
            )
            kind = kind if kind in MANIFEST_TYPES else OCI_MANIFEST
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, BadInputError) as error:
        raise ImageInvalidError(
            f"The registry's manifest cannot be read: {error}", hint="check the image's address, push it again"
        ) from error
    return Document(content, kind, sha256_digest(content), meaning)


def pick(index: Index, platform: Platform) -> Descriptor:
    """The entry of an index that fits the platform best.

    Raises:
        PlatformUnsupportedError: there is none.
    """
    return index.manifests[_best([entry.platform for entry in index.manifests], platform)]


def require_platform(found: Platform, wanted: Platform) -> None:
    """Check that an image without an index runs on the platform.

    Raises:
        PlatformUnsupportedError: it does not.
    """
    _best([found], wanted)


def _best(found: Sequence[Platform | None], wanted: Platform) -> int:
    fits = [wanted.runs(platform) if platform else 0 for platform in found]
    if not any(fits):
        there = ", ".join(sorted({str(platform) for platform in found if platform and platform.os != "unknown"}))
        raise PlatformUnsupportedError(
            f"The image has no version for {wanted}; it has {there or 'none that says its platform'}",
            hint=f"build and push it for {wanted} too",
        )
    return fits.index(max(fits))


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) > MAX_LAYERS:
        raise TypeError(f"expected a list of at most {MAX_LAYERS} entries")
    return value


def _descriptor(entry: dict[str, Any]) -> Descriptor:
    size = entry["size"]
    if isinstance(size, bool) or not isinstance(size, int) or size < 0:
        raise TypeError("a size is not a number of bytes")
    platform = None
    if fields := entry.get("platform"):
        platform = normalise(str(fields["os"]), str(fields["architecture"]), str(fields.get("variant") or ""))
    return Descriptor(str(entry.get("mediaType", "")), check_digest(str(entry["digest"])), size, platform)
