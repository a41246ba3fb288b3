"""Images on a Docker Engine: pulled by digest for one platform, checked, and removed beyond a budget."""

from __future__ import annotations

import queue
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import requests
import urllib3
from docker.errors import APIError, DockerException, ImageNotFound, NotFound

from oci.errors import ImageError
from oci.platform import normalise
from oci.platform import parse as parse_platform
from oci.registry import resolve
from poco.errors import BadInputError, Cause
from worker.config import DockerLimits
from worker.runner.errors import EngineDownError, Interrupted, RunError
from worker.runner.fetch import RESERVE_BYTES
from worker.runner.public import wanted_until

_MB = 1_048_576
#: Bytes that a pull may take beyond what it should, for what the engine writes beside.
_SLACK = 64 * _MB
_LOOK_SECONDS = 0.25


@contextmanager
def engine() -> Iterator[None]:
    """The engine's own failures as RunError INTERNAL_ERROR: they say nothing about the task.

    EngineDownError where nothing answers, or an engine that is just ending.
    """
    try:
        yield
    except (DockerException, requests.RequestException, OSError) as error:
        kind = EngineDownError if _is_down(error) else RunError
        raise kind(
            Cause.INTERNAL_ERROR,
            f"the Docker Engine fails: {str(error)[:300] or type(error).__name__}",
            "check `docker info`, and that this user may use the engine",
        ) from None


def _is_down(error: Exception) -> bool:
    if isinstance(error, APIError):
        return bool(error.status_code == HTTPStatus.SERVICE_UNAVAILABLE)
    return isinstance(error, DockerException | requests.ConnectionError | requests.Timeout)


@dataclass(frozen=True, slots=True)
class Wanted:
    """An image as the chain names it: where it lies, and the sha-256 of its index."""

    image: str
    checksum: str


def pull(client: Any, limits: DockerLimits, platform: str, wanted: Wanted, stop: Callable[[], bool]) -> str:
    """See `Runner.pull`."""
    image = wanted.image
    try:
        with wanted_until(stop) as session:
            found = resolve(image, platform, wanted.checksum, session=session)
    except ImageError as error:
        raise RunError(error.cause, error.message, error.hint) from None
    except BadInputError as error:
        raise RunError(Cause.APP_IMAGE_DOWNLOAD_FAILED, error.message, error.hint) from None
    if found.compressed_bytes > limits.image_mb_max * _MB:
        raise RunError(
            Cause.APP_IMAGE_DOWNLOAD_FAILED,
            f"{image} has {found.compressed_bytes // _MB} MB compressed, {limits.image_mb_max} are allowed",
            "raise docker.image_mb_max",
        )
    reference = found.reference_by_digest
    with engine():
        try:
            info = client.api.inspect_image(reference)
        except ImageNotFound:
            _download(client, reference, platform, _Allowed(limits, found.compressed_bytes), stop)
            info = client.api.inspect_image(reference)
        _check(client, image, reference, info=info, limits=limits, platform=platform)
    return reference


@dataclass(frozen=True, slots=True)
class _Allowed:
    """What a pull may take; `compressed_bytes` is what the image's manifest says."""

    limits: DockerLimits
    compressed_bytes: int


def _download(client: Any, reference: str, platform: str, allowed: _Allowed, stop: Callable[[], bool]) -> None:
    limits = allowed.limits
    end = time.monotonic() + limits.pull_seconds
    name, _, digest = reference.partition("@")
    received: dict[str, int] = {}
    disk = _Disk(client)
    problem = ""
    try:
        # the engine believes a registry's sizes: who sends for ever would fill the disk
        for line in _lines(lambda: client.api.pull(name, tag=digest, platform=platform, stream=True, decode=True)):
            problem = str(line.get("error", "")) or problem
            if line.get("status") == "Downloading":
                received[str(line.get("id"))] = int(line.get("progressDetail", {}).get("current") or 0)
            if stop():
                raise Interrupted
            if sum(received.values()) > allowed.compressed_bytes + _SLACK:
                problem = f"the registry sends more than the {allowed.compressed_bytes} bytes it should"
                break
            if disk.taken() > limits.image_unpacked_mb_max * _MB + allowed.compressed_bytes + _SLACK:
                problem = f"it unpacks to more than the {limits.image_unpacked_mb_max} MB that are allowed"
                break
            if disk.nearly_full():
                problem = "the engine's disk is nearly full"
                break
            if time.monotonic() > end:
                problem = f"it takes more than {limits.pull_seconds} s"
                break
    except APIError as error:
        problem = str(error.explanation or error)
    except (requests.Timeout, urllib3.exceptions.TimeoutError, TimeoutError):
        problem = "the registry is silent"
    except urllib3.exceptions.HTTPError as error:
        raise requests.ConnectionError(str(error)) from None
    if problem:
        raise RunError(
            Cause.APP_IMAGE_DOWNLOAD_FAILED, f"{reference} cannot be pulled: {problem[:200]}", "check the registry"
        )


def _lines(pull: Callable[[], Iterator[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """What the engine says of a pull, and an empty line now and then while it says nothing: as long as the registry is
    silent so is the engine, and who waits for it hears neither an abort nor the clock."""
    said: queue.SimpleQueue[dict[str, Any] | Exception | None] = queue.SimpleQueue()
    over = threading.Event()

    def read() -> None:
        try:
            for line in pull():
                said.put(line)
                if over.is_set():
                    return
            said.put(None)
        except Exception as error:  # raised again by who listens
            said.put(error)

    threading.Thread(target=read, name="pull", daemon=True).start()
    try:
        while True:
            try:
                line = said.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                line = {}
            if line is None:
                return
            if isinstance(line, Exception):
                raise line
            yield line
    finally:
        over.set()


class _Disk:
    """What a pull takes from the engine's disk, where that is one of this machine's and we may look at it."""

    def __init__(self, client: Any) -> None:
        self._root = str(client.info().get("DockerRootDir") or "")
        self._free = self._left()

    def taken(self) -> int:
        """Bytes less than in the beginning; others may have taken them too."""
        return max(0, self._free - self._left())

    def nearly_full(self) -> bool:
        """Whether nothing more may come: the worker's journal is often on the same disk."""
        return self._free > 0 and self._left() < RESERVE_BYTES

    def _left(self) -> int:
        try:
            return shutil.disk_usage(self._root).free
        except OSError:
            return 0


def _check(
    client: Any, image: str, reference: str, *, info: dict[str, Any], limits: DockerLimits, platform: str
) -> None:
    own = normalise(info.get("Os", "linux"), info.get("Architecture", ""), info.get("Variant") or "")
    if not parse_platform(platform).runs(own):
        with suppress(APIError):  # nobody would ever run it, and no budget would count it
            client.api.remove_image(reference)
        raise RunError(
            Cause.APP_IMAGE_PLATFORM_UNSUPPORTED,
            f"{image} says it is for {platform}, but is for {own}",
            "build and label the image again",
        )
    if info.get("Size", 0) > limits.image_unpacked_mb_max * _MB:
        client.api.remove_image(reference, force=True)
        raise RunError(
            Cause.APP_IMAGE_DOWNLOAD_FAILED,
            f"{image} unpacks to {info['Size'] // _MB} MB, {limits.image_unpacked_mb_max} are allowed",
            "raise docker.image_unpacked_mb_max",
        )


def trim(client: Any, keep_mb: int, unused: Sequence[str]) -> list[str]:
    """See `Runner.trim`."""
    gone: list[str] = []
    sizes: dict[str, int] = {}
    with engine():
        for reference in unused:
            try:
                sizes[reference] = int(client.api.inspect_image(reference).get("Size", 0))
            except ImageNotFound:
                gone.append(reference)
        total = sum(sizes.values())
        for reference, size in sizes.items():
            if total <= keep_mb * _MB:
                break
            with suppress(NotFound):
                try:
                    client.api.remove_image(reference)
                except APIError as error:
                    if error.status_code != 409:  # a container of somebody else uses it
                        raise
                    continue
            total -= size
            gone.append(reference)
    return gone
