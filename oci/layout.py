"""OCI images on disk that come out the same bit for bit: trees of files, layers, configs, indexes, layouts.

What a tar file usually tells about its maker (names, ids, times, order) is fixed; the compressor is libdeflate at a
version the lock pins, because zlib's output differs between the systems that carry it.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from oci.manifest import (
    OCI_CONFIG,
    OCI_INDEX,
    OCI_LAYER,
    OCI_MANIFEST,
    Descriptor,
    Document,
    Manifest,
    parse_document,
    sha256_digest,
)
from oci.platform import Platform
from oci.registry import RegistryClient
from poco.errors import BadInputError

_GZIP_LEVEL = 6


@dataclass(frozen=True)
class Node:
    """A file (with content), a symbolic link (with target) or a directory; owned by root unless said otherwise."""

    kind: Literal["file", "link", "directory"]
    mode: int
    content: bytes = b""
    target: str = ""
    owner: int = 0


@dataclass
class Tree:
    """A file system: normalised relative paths to nodes."""

    nodes: dict[str, Node] = field(default_factory=dict)

    def file(self, path: str, content: bytes, mode: int = 0o644) -> None:
        """Add or replace a file."""
        self.nodes[_clean(path)] = Node("file", mode, content=content)

    def link(self, path: str, target: str) -> None:
        """Add or replace a symbolic link."""
        self.nodes[_clean(path)] = Node("link", 0o777, target=target)

    def directory(self, path: str, mode: int = 0o755, owner: int = 0) -> None:
        """Add or replace a directory."""
        self.nodes[_clean(path)] = Node("directory", mode, owner=owner)

    def tar(self, mtime: int) -> bytes:
        """The tree as a tar: sorted, every parent present, one time (Unix seconds) for all."""
        nodes = dict(self.nodes)
        for path in self.nodes:
            for parent in PurePosixPath(path).parents:
                if str(parent) != ".":
                    nodes.setdefault(str(parent), Node("directory", 0o755))
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
            for path in sorted(nodes, key=lambda name: name.split("/")):
                node = nodes[path]
                entry = tarfile.TarInfo(path)
                entry.mode, entry.mtime, entry.uid, entry.gid = node.mode, mtime, node.owner, node.owner
                entry.type = {"file": tarfile.REGTYPE, "link": tarfile.SYMTYPE, "directory": tarfile.DIRTYPE}[node.kind]
                entry.linkname, entry.size = node.target, len(node.content)
                tar.addfile(entry, io.BytesIO(node.content))
        return out.getvalue()


@dataclass(frozen=True)
class Layer:
    """A compressed layer; `diff_id` is the digest of the tar inside."""

    descriptor: Descriptor
    diff_id: str
    unpacked_bytes: int


class BlobStore:
    """A folder of content under its own digest, `<root>/sha256/<hex>`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, digest: str) -> Path:
        """Where the blob lies, or would."""
        return self.root / "sha256" / digest.removeprefix("sha256:")

    def put(self, content: bytes, media_type: str, platform: Platform | None = None) -> Descriptor:
        """Store content and return its descriptor."""
        digest = sha256_digest(content)
        path = self.path(digest)
        if not path.exists():
            write_whole(path, content)
        return Descriptor(media_type, digest, len(content), platform)

    def put_layer(self, tree: Tree, mtime: int) -> Layer:
        """Make a layer of a tree and store it."""
        # The builder alone compresses: workers and schedulers read images without this package.
        from deflate import gzip_compress

        tar = tree.tar(mtime)
        descriptor = self.put(bytes(gzip_compress(tar, _GZIP_LEVEL)), OCI_LAYER)
        return Layer(descriptor, sha256_digest(tar), sum(len(node.content) for node in tree.nodes.values()))


@dataclass(frozen=True)
class ImageConfig:
    """What a container of the image runs."""

    entrypoint: tuple[str, ...]
    environment: Mapping[str, str]
    user: str = "65532:65532"
    working_dir: str = "/"
    labels: Mapping[str, str] = field(default_factory=dict)


def write_image(
    store: BlobStore, platform: Platform, layers: list[Layer], config: ImageConfig, mtime: int
) -> Descriptor:
    """Write config and manifest of one platform; returns the manifest's descriptor with its platform."""
    variant = {"variant": platform.variant} if platform.variant else {}
    if platform.architecture == "arm64":
        variant = {"variant": "v8"}
    document = {
        "created": datetime.fromtimestamp(mtime, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "architecture": platform.architecture,
        "os": platform.os,
        **variant,
        "config": {
            "User": config.user,
            "Env": [f"{name}={value}" for name, value in sorted(config.environment.items())],
            "Entrypoint": list(config.entrypoint),
            "WorkingDir": config.working_dir,
            "Labels": dict(sorted(config.labels.items())),
        },
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
    }
    config_blob = store.put(_json(document), OCI_CONFIG)
    manifest = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": config_blob.to_json(),
        "layers": [layer.descriptor.to_json() for layer in layers],
    }
    return store.put(_json(manifest), OCI_MANIFEST, platform)


def write_index(store: BlobStore, manifests: list[Descriptor]) -> Descriptor:
    """Write the image index over manifests of several platforms."""
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [manifest.to_json() for manifest in manifests],
    }
    return store.put(_json(document), OCI_INDEX)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that others see all of it or nothing; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, part = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".part", dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    Path(part).chmod(0o644)
    Path(part).replace(path)


def write_layout(folder: Path, store: BlobStore, index: Descriptor, name: str) -> None:
    """Write an OCI image layout (`oci-layout`, `index.json`, `blobs/`) that holds the index and all it names."""
    if folder.exists():
        shutil.rmtree(folder)
    blobs = BlobStore(folder / "blobs")
    for digest in dict.fromkeys(_reachable(store, index.digest)):  # platforms may share layers
        target = blobs.path(digest)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(store.path(digest), target)
        except OSError:
            shutil.copyfile(store.path(digest), target)
    entry = {**index.to_json(), "annotations": {"org.opencontainers.image.ref.name": name}}
    (folder / "index.json").write_bytes(_json({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [entry]}))
    (folder / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))


def push_layout(folder: Path, client: RegistryClient, repository: str, tag: str) -> str:
    """Push the index of a layout and all it names; returns the digest of the index.

    Raises:
        BadInputError: the folder is no layout of one image index.
        RegistryUnreachableError, ImageUnknownError: the registry does not take it.
    """
    try:
        entries = json.loads((folder / "index.json").read_bytes())["manifests"]
        digest = str(entries[0]["digest"])
        store = BlobStore(folder / "blobs")
        index = _read(store, digest)
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise BadInputError(f"{folder} is not an OCI layout: {error}", hint="build the image first") from error
    assert not isinstance(index.meaning, Manifest)  # noqa: S101  (write_layout writes indexes only)
    for entry in index.meaning.manifests:
        manifest = _read(store, entry.digest)
        assert isinstance(manifest.meaning, Manifest)  # noqa: S101
        for blob in (manifest.meaning.config, *manifest.meaning.layers):
            client.push_blob(repository, blob.digest, store.path(blob.digest))
        client.push_manifest(repository, manifest.digest, manifest)
    client.push_manifest(repository, tag, index)
    return digest


def _reachable(store: BlobStore, digest: str) -> list[str]:
    found, document = [digest], _read(store, digest)
    if isinstance(document.meaning, Manifest):
        return [*found, document.meaning.config.digest, *(layer.digest for layer in document.meaning.layers)]
    for manifest in document.meaning.manifests:
        found += _reachable(store, manifest.digest)
    return found


def _read(store: BlobStore, digest: str) -> Document:
    return parse_document(store.path(digest).read_bytes())


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def _clean(path: str) -> str:
    """A relative path without `.`; `..` may not be in a layer."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if not parts or ".." in parts:
        raise BadInputError(f"'{path}' cannot be a path in an image", hint="use an absolute path without '..'")
    return "/".join(parts)
