"""From `dapps/<name>/` to an OCI layout with one index over all its platforms, and to a registry."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import oci.layout
import oci.platform
from oci.layout import BlobStore, ImageConfig, Layer, Tree
from oci.manifest import NETWORK_LABEL, NETWORK_REQUIRED, Descriptor, Manifest, parse_document
from oci.reference import parse as parse_reference
from oci.registry import RegistryClient
from poco.errors import BadInputError
from sdk.builder import locks, native, packages, rootfs, sources, wheels
from sdk.builder.description import LAYERS, Description, Image, PackageLayer, load

PUSH_TIMEOUT_S = 300.0
#: What makes the layers of a kind.
_MAKERS = {"packages": (packages, rootfs), "wheels": (wheels,)}
#: The user that tasks run as.
STRANGER = "65532:65532"
#: What a tar's field for times can hold.
LATEST = 8**11
Report = Callable[[str], None]


@dataclass(frozen=True)
class PlatformImage:
    """One platform of a built image."""

    digest: str
    compressed_bytes: int
    unpacked_bytes: int


@dataclass(frozen=True)
class BuiltImage:
    """A built image; `digest` is that of the index."""

    name: str
    version: str
    digest: str
    layout: Path
    platforms: dict[str, PlatformImage]


@dataclass(frozen=True)
class PushedImage:
    """A pushed image: `reference` is the app's multiaddr, `checksum` what goes on chain."""

    reference: str
    digest: str
    checksum: str
    platforms: dict[str, str]


class Builder:
    """Builds dapps of a project folder.

    Args:
        root: the folder that holds `dapps/` and takes `build/`.
        report: called with a line for each step that takes time.
    """

    def __init__(self, root: Path, report: Report = lambda _: None) -> None:
        self.root = root.resolve()
        self.shared = self.root / "dapps" / LAYERS
        self._cache = self.root / "build" / "cache"
        self._store = BlobStore(self._cache / "blobs")
        self._report = report
        self._mtime = _source_date()

    def build(self, name: str, refresh_lock: bool = False) -> BuiltImage:
        """Build all platforms of a dapp.

        Raises:
            BadInputError: the dapp's description, lock or sources are wrong.
            PewError: packages cannot be had.
        """
        folder = self.root / "dapps" / name
        return self.build_image(load(folder), folder, folder, refresh_lock)

    def build_image(self, image: Image, folder: Path, source: Path, refresh_lock: bool = False) -> BuiltImage:
        """Build an image as `build` does.

        Args:
            image: its description.
            folder: where its `packages.lock` lies.
            source: what paths in the description start from.
            refresh_lock: resolve the packages anew first.
        """
        if refresh_lock:
            self._report(f"{image.name}: asking apt for its packages")
            for path in locks.refresh(image, folder, self.shared, self._cache):
                self._report(f"{image.name}: {path.relative_to(self.root)} is new")
        lock = locks.read(image, folder, self.shared)
        with ThreadPoolExecutor(max(2, os.cpu_count() or 2)) as pool:
            built = list(pool.map(lambda platform: self._platform(source, image, lock, platform), image.platforms))
        index = oci.layout.write_index(self._store, [manifest for manifest, _ in built])
        layout = self.root / "build" / "images" / image.name
        oci.layout.write_layout(layout, self._store, index, f"{image.name}:{image.version}")
        platforms: dict[str, PlatformImage] = {
            platform: PlatformImage(
                manifest.digest, self._compressed(manifest), sum(layer.unpacked_bytes for layer in layers)
            )
            for platform, (manifest, layers) in zip(image.platforms, built, strict=True)
        }
        return BuiltImage(image.name, image.version, index.digest, layout, platforms)

    def push(self, built: BuiltImage, registry: str) -> PushedImage:
        """Push an image as `<registry>/<name>:<version>`.

        Raises:
            RegistryUnreachableError, ImageUnknownError: the registry does not take it.
        """
        reference = parse_reference(f"{registry}/{built.name}:{built.version}")
        self._report(f"{built.name}: pushing to {reference}")
        with RegistryClient(reference.host, PUSH_TIMEOUT_S) as client:
            digest = oci.layout.push_layout(built.layout, client, reference.repository, built.version)
        manifests = {platform: image.digest for platform, image in built.platforms.items()}
        return PushedImage(str(reference), digest, f"0x{digest.removeprefix('sha256:')}", manifests)

    def _platform(
        self, source: Path, image: Image, lock: list[packages.Locked], platform: str
    ) -> tuple[Descriptor, list[Layer]]:
        layers = [
            self._package_layer(image, number, layer, locked[platform], platform)
            for number, (layer, locked) in enumerate(zip(image.layers, lock, strict=True))
        ]
        if image.wheels:
            paths = [source / lock for lock in image.wheels.locks]
            layers.append(self._wheel_layer(image.name, paths, image.wheels.target, platform))
        layers.append(self._program_layer(source, image, platform))
        labels = {
            "org.opencontainers.image.title": image.name,
            "org.opencontainers.image.version": image.version,
            "org.opencontainers.image.description": image.summary,
        }
        if isinstance(image, Description) and image.network:
            labels[NETWORK_LABEL] = NETWORK_REQUIRED
        config = ImageConfig(
            entrypoint=tuple(image.entrypoint),
            environment={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **image.environment},
            user=STRANGER if isinstance(image, Description) else "",
            labels=labels,
        )
        target = oci.platform.parse(platform)
        return oci.layout.write_image(self._store, target, layers, config, self._mtime), layers

    def _package_layer(
        self, image: Image, number: int, layer: PackageLayer, locked: list[packages.Package], platform: str
    ) -> Layer:
        def make() -> Tree:
            tree = rootfs.unpack(packages.fetch(locked, self._cache), layer.drop)
            if number == 0:
                rootfs.merged_usr(tree, with_lib64=platform == "linux/amd64")
            return tree

        what = f"{image.name}: {len(locked)} packages for {platform}"
        return self._cached(("packages", [asdict(each) for each in locked], layer.drop, number == 0), make, what)

    def _wheel_layer(self, name: str, paths: list[Path], target: str, platform: str) -> Layer:
        texts = [path.read_text() if path.is_file() else "" for path in paths]
        what = f"{name}: Python packages for {platform}"
        return self._cached(
            ("wheels", texts, target, platform), lambda: wheels.tree(paths, platform, target, self._cache), what
        )

    def _program_layer(self, source: Path, image: Image, platform: str) -> Layer:
        tree = Tree()
        rootfs.base_files(tree)
        if isinstance(image, Description):
            rootfs.task_folders(tree)
        for origin, target in sorted(image.files.items()):
            sources.copy(tree, source, origin, target)
        for unit in image.native:
            texts = [source / name for name in unit.sources]
            tree.file(unit.output, native.compile_shared(texts, platform, unit.flags, self._cache), 0o755)
        return self._store.put_layer(tree, self._mtime)

    def _cached(self, parts: tuple[Any, ...], make: Callable[[], Tree], what: str) -> Layer:
        """The layer of a tree that its parts determine; `what` is told when it had to be made."""
        note = self._cache / "layers" / f"{_key(*parts, self._mtime)}.json"
        try:
            fields = json.loads(note.read_text())
            layer = Layer(Descriptor(**fields["descriptor"]), fields["diff_id"], fields["unpacked_bytes"])
            if self._store.path(layer.descriptor.digest).exists():
                return layer
        except (OSError, ValueError, KeyError, TypeError):
            pass  # not made yet, or by hand: make it
        started = time.monotonic()
        layer = self._store.put_layer(make(), self._mtime)
        oci.layout.write_whole(note, json.dumps(asdict(layer)).encode())
        self._report(f"{what} in {time.monotonic() - started:.1f} s")
        return layer

    def _compressed(self, manifest: Descriptor) -> int:
        meaning = parse_document(self._store.path(manifest.digest).read_bytes()).meaning
        assert isinstance(meaning, Manifest)  # noqa: S101  (write_image writes manifests)
        return meaning.compressed_bytes


def _source_date() -> int:
    """SOURCE_DATE_EPOCH (https://reproducible-builds.org/specs/source-date-epoch/), else 0; Unix seconds."""
    text = os.environ.get("SOURCE_DATE_EPOCH", "0")
    if not text.isascii() or not text.isdigit() or int(text) >= LATEST:
        raise BadInputError(f"SOURCE_DATE_EPOCH is '{text[:30]}'", hint="unset it, or give seconds since 1970")
    return int(text)


def _key(kind: str, *parts: object) -> str:
    """A cache key that changes with its parts and with the code that makes layers of them."""
    code = b"".join(Path(str(module.__file__)).read_bytes() for module in (*_MAKERS[kind], oci.layout))
    return hashlib.sha256(json.dumps((kind, *parts), sort_keys=True).encode() + code).hexdigest()
