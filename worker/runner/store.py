"""Images without an engine: unpacked folders named by the digest of their manifest, within the operator's budget."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import requests

from oci.errors import ImageError
from oci.pull import PulledImage, PullStoppedError, pull
from oci.reference import parse as parse_reference
from oci.registry import RegistryClient, resolve
from oci.unpack import make_folder
from poco.errors import BadInputError, Cause
from worker.config import DockerLimits
from worker.runner.errors import Interrupted, RunError
from worker.runner.inside import PLACES, volumes
from worker.runner.public import wanted_until

_MB = 1_048_576
_LOCK_SECONDS = 0.2


@dataclass(frozen=True)
class StoredImage:
    """An image that is here: its root, and what its config says about running it."""

    root: Path
    config: PulledImage


class ImageStore:
    """`<folder>/<digest>/` with `rootfs` and `image.json`; what is being pulled has another name.

    Args:
        folder: the store; one worker alone uses it.
        limits: the operator's bounds.
        platform: what this worker is.
    """

    def __init__(self, folder: Path, limits: DockerLimits, platform: str) -> None:
        self._folder, self._limits, self._platform = folder, limits, platform
        self._lock = threading.Lock()

    def pull(self, image: str, checksum: str, stop: Callable[[], bool]) -> str:
        """See `Runner.pull`; one image at a time."""
        while not self._lock.acquire(timeout=_LOCK_SECONDS):
            if stop():
                raise Interrupted
        try:
            with wanted_until(stop) as session:
                return self._pull(image, checksum, stop, session)
        except ImageError as error:
            raise RunError(error.cause, error.message, error.hint) from None
        except BadInputError as error:
            raise RunError(Cause.APP_IMAGE_DOWNLOAD_FAILED, error.message, error.hint) from None
        except PullStoppedError:
            raise Interrupted from None
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise RunError(
                Cause.APP_IMAGE_DOWNLOAD_FAILED,
                f"{image} cannot be kept: {error.strerror or error}",
                "free some space, or lower docker.images_keep_mb" if full else "check data_dir and its disk",
            ) from None
        finally:
            self._lock.release()

    def image(self, reference: str) -> StoredImage:
        """An image that was pulled; RunError INTERNAL_ERROR when it is gone."""
        folder = self._of(reference)
        try:
            fields = json.loads((folder / "image.json").read_bytes())
        except (OSError, ValueError):
            raise RunError(Cause.INTERNAL_ERROR, f"the image {reference} is not there any more") from None
        lists = {key: tuple(fields[key]) for key in ("entrypoint", "command", "volumes")}
        return StoredImage(folder / "rootfs", PulledImage(**{**fields, **lists}))

    def trim(self, unused: Sequence[str]) -> list[str]:
        """See `Runner.trim`."""
        with self._lock:
            self._sweep()
            sizes: dict[str, int] = {}
            gone = []
            for reference in unused:
                try:
                    sizes[reference] = self.image(reference).config.unpacked_bytes
                except RunError:
                    gone.append(reference)
            total = sum(sizes.values())
            for reference, size in sizes.items():
                if total <= self._limits.images_keep_mb * _MB:
                    break
                total -= size
                self._drop(self._of(reference))
                gone.append(reference)
            return gone

    def _pull(self, image: str, checksum: str, stop: Callable[[], bool], session: requests.Session) -> str:
        found = resolve(image, self._platform, checksum, session=session)
        target = self._of(found.reference_by_digest)
        if (target / "image.json").exists():
            return found.reference_by_digest
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        self._sweep()
        part = Path(tempfile.mkdtemp(prefix="part-", dir=self._folder))
        reference = parse_reference(found.reference_by_digest)
        try:
            with RegistryClient(reference.host, self._limits.pull_seconds, session) as client:
                config = pull(
                    client,
                    reference,
                    self._platform,
                    part,
                    max_compressed=self._limits.image_mb_max * _MB,
                    max_unpacked=self._limits.image_unpacked_mb_max * _MB,
                    stop=stop,
                )
            root = part / "rootfs"
            for place in PLACES:  # what is mounted over must be there before the root is read-only
                make_folder(root, place, instead=True)
            mounted = tuple(make_folder(root, volume) for volume in volumes(config.volumes))
            make_folder(root, config.working_dir)
            root.chmod(0o755)
            (part / "image.json").write_text(json.dumps(asdict(replace(config, volumes=mounted))))
            os.sync()  # a name must not outlive a power cut that the files behind it do not
            part.replace(target)
        finally:
            self._drop(part)
        return found.reference_by_digest

    def _of(self, reference: str) -> Path:
        return self._folder / reference.rpartition("@sha256:")[2]

    def _sweep(self) -> None:
        """Remove what an earlier process did not finish pulling or removing."""
        for part in self._folder.glob("part-*"):
            shutil.rmtree(part, ignore_errors=True)

    def _drop(self, folder: Path) -> None:
        """Remove a folder; its name goes first, so that half an image is none."""
        if folder.exists():
            leaving = folder if folder.name.startswith("part-") else folder.with_name(f"part-{folder.name}")
            folder.rename(leaving)
            shutil.rmtree(leaving, ignore_errors=True)
