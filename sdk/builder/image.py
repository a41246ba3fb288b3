"""From `dapps/<name>/` to an OCI layout with one index over all its platforms."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import oci.layout
import oci.platform
from oci.layout import BlobStore, ImageConfig, Layer, Tree
from oci.manifest import Descriptor, Manifest, parse_document
from oci.reference import parse as parse_reference
from oci.registry import RegistryClient
from poco.errors import BadInputError
from sdk.builder import native, packages, rootfs
from sdk.builder.description import Description, load

PUSH_TIMEOUT_S = 300.0
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
        self._cache = self.root / "build" / "cache"
        self._store = BlobStore(self._cache / "blobs")
        self._report = report
        self._mtime = int(os.environ.get("SOURCE_DATE_EPOCH", "0"))

    def build(self, name: str, refresh_lock: bool = False) -> BuiltImage:
        """Build all platforms of a dapp.

        Raises:
            BadInputError: the dapp's description, lock or sources are wrong.
            PewError: packages cannot be had.
        """
        folder = self.root / "dapps" / name
        description = load(folder)
        lock_path = folder / "packages.lock"
        if refresh_lock:
            self._report(f"{name}: asking apt for the packages of {len(description.platforms)} platforms")
            packages.save_lock(lock_path, description, packages.resolve(description, self._cache))
        lock = packages.load_lock(lock_path, description) if description.layers else []
        with ThreadPoolExecutor(max(2, os.cpu_count() or 2)) as pool:
            built = list(
                pool.map(lambda platform: self._platform(folder, description, lock, platform), description.platforms)
            )
        index = oci.layout.write_index(self._store, [manifest for manifest, _ in built])
        layout = self.root / "build" / "images" / name
        oci.layout.write_layout(layout, self._store, index, f"{name}:{description.version}")
        platforms: dict[str, PlatformImage] = {
            platform: PlatformImage(
                manifest.digest, self._compressed(manifest), sum(layer.unpacked_bytes for layer in layers)
            )
            for platform, (manifest, layers) in zip(description.platforms, built, strict=True)
        }
        return BuiltImage(name, description.version, index.digest, layout, platforms)

    def push(self, name: str, registry: str) -> PushedImage:
        """Build and push a dapp as `<registry>/<name>:<version>`.

        Raises: as `build`, and the errors of `oci.registry`.
        """
        built = self.build(name)
        reference = parse_reference(f"{registry}/{name}:{built.version}")
        self._report(f"{name}: pushing to {reference}")
        with RegistryClient(reference.host, PUSH_TIMEOUT_S) as client:
            digest = oci.layout.push_layout(built.layout, client, reference.repository, built.version)
        manifests = {platform: image.digest for platform, image in built.platforms.items()}
        return PushedImage(str(reference), digest, f"0x{digest.removeprefix('sha256:')}", manifests)

    def _platform(
        self, folder: Path, description: Description, lock: packages.Lock, platform: str
    ) -> tuple[Descriptor, list[Layer]]:
        layers = [
            self._package_layer(description, number, entry[platform], platform) for number, entry in enumerate(lock)
        ]
        layers.append(self._program_layer(folder, description, platform))
        config = ImageConfig(
            entrypoint=tuple(description.entrypoint),
            environment={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **description.environment},
            labels={
                "org.opencontainers.image.title": description.name,
                "org.opencontainers.image.version": description.version,
                "org.opencontainers.image.description": description.summary,
            },
        )
        target = oci.platform.parse(platform)
        return oci.layout.write_image(self._store, target, layers, config, self._mtime), layers

    def _package_layer(
        self, description: Description, number: int, locked: list[packages.Package], platform: str
    ) -> Layer:
        drop = description.layers[number].drop
        key = _key("packages", [asdict(package) for package in locked], drop, number == 0, self._mtime)
        return self._cached(key, lambda: self._unpack(description.name, number, locked, platform, drop))

    def _unpack(self, name: str, number: int, locked: list[packages.Package], platform: str, drop: list[str]) -> Layer:
        started = time.monotonic()
        files = packages.fetch(locked, self._cache)
        tree = rootfs.unpack(files, drop)
        if number == 0:
            rootfs.merged_usr(tree, with_lib64=platform == "linux/amd64")
        layer = self._store.put_layer(tree, self._mtime)
        self._report(f"{name}: {len(locked)} packages for {platform} in {time.monotonic() - started:.1f} s")
        return layer

    def _program_layer(self, folder: Path, description: Description, platform: str) -> Layer:
        tree = Tree()
        rootfs.base_files(tree)
        for source, target in sorted(description.files.items()):
            self._copy(tree, folder, source, target)
        for unit in description.native:
            sources = [folder / source for source in unit.sources]
            tree.file(unit.output, native.compile_shared(sources, platform, unit.flags, self._cache), 0o755)
        return self._store.put_layer(tree, self._mtime)

    def _copy(self, tree: Tree, folder: Path, source: str, target: str) -> None:
        origin = (folder / source).resolve()
        if not origin.is_relative_to(folder.resolve()) or not origin.exists():
            raise BadInputError(f"'{source}' is not in {folder.name}/", hint="check 'files' in dapp.yaml")
        if origin.is_file():
            tree.file(target, origin.read_bytes())
            return
        for path in sorted(origin.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                tree.file(f"{target}/{path.relative_to(origin)}", path.read_bytes())

    def _cached(self, key: str, make: Callable[[], Layer]) -> Layer:
        note = self._cache / "layers" / f"{key}.json"
        try:
            fields = json.loads(note.read_text())
            layer = Layer(Descriptor(**fields["descriptor"]), fields["diff_id"], fields["unpacked_bytes"])
            if self._store.path(layer.descriptor.digest).exists():
                return layer
        except (OSError, ValueError, KeyError, TypeError):
            pass  # not made yet, or by hand: make it
        layer = make()
        oci.layout.write_whole(note, json.dumps(asdict(layer)).encode())
        return layer

    def _compressed(self, manifest: Descriptor) -> int:
        meaning = parse_document(self._store.path(manifest.digest).read_bytes()).meaning
        assert isinstance(meaning, Manifest)  # noqa: S101  (write_image writes manifests)
        return meaning.compressed_bytes


def _key(*parts: object) -> str:
    """A cache key that changes with its parts and with the code that makes layers of them."""
    code = b"".join(Path(str(module.__file__)).read_bytes() for module in (packages, rootfs, oci.layout))
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode() + code).hexdigest()
