"""Datasets and input files: streamed, bounded, resumed, checked; not from the operator's own network unless allowed."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from poco.errors import Cause
from poco.hexes import ZERO_BYTES32, to_bytes
from worker.config import FetchLimits
from worker.runner.errors import Interrupted, RunError
from worker.runner.public import PrivateAddressError, keep_public

_CHUNK = 256 * 1024
_CONNECT_SECONDS = 10.0
_QUIET_SECONDS = 30.0
_TRIES = 3
_REDIRECTS = 5


class Fetcher:
    """Downloads for one task; all its files together stay within `limits.total_mb` and `limits.seconds`.

    Args:
        limits: the operator's bounds.
        stop: asked between pieces; when it says yes `Interrupted` is raised.
    """

    def __init__(self, limits: FetchLimits, stop: Callable[[], bool]) -> None:
        self._limits = limits
        self._stop = stop
        self._left = limits.total_mb * 1_000_000
        self._end = time.monotonic() + limits.seconds
        self._session = requests.Session()
        self._session.trust_env = not limits.allow_private_addresses
        if not limits.allow_private_addresses:
            keep_public(self._session)

    def dataset(self, address: str, where: str, checksum: str, folder: Path) -> Path:
        """Fetch a dataset to `folder/<address>` and check its sha-256 against the chain (zero: no check).

        Raises:
            RunError: DATASET_FILE_DOWNLOAD_FAILED, DATASET_FILE_BAD_CHECKSUM.
        """
        target = folder / address
        sources = self._sources(where)
        if not sources:
            raise RunError(
                Cause.DATASET_FILE_DOWNLOAD_FAILED,
                f"the dataset lies at {where[:200]!r}, and this worker has no IPFS gateway",
                "set fetch.ipfs_gateways, or register the dataset under an http(s) address",
            )
        found = self._first(sources, target, Cause.DATASET_FILE_DOWNLOAD_FAILED)
        if checksum != ZERO_BYTES32 and found != to_bytes(checksum, 32):
            target.unlink()
            raise RunError(
                Cause.DATASET_FILE_BAD_CHECKSUM,
                f"the dataset's sha-256 is 0x{found.hex()}, registered is {checksum}",
                "publish the file that was registered, or register the new one",
            )
        return target

    def inputs(self, urls: tuple[str, ...], folder: Path) -> list[Path]:
        """Fetch input files to `folder/0x<sha256 of the URL>`.

        Raises:
            RunError: INPUT_FILES_DOWNLOAD_FAILED.
        """
        cause = Cause.INPUT_FILES_DOWNLOAD_FAILED
        paths = []
        for url in urls:
            target = folder / input_name(url)
            sources = self._sources(url)
            if not sources:
                raise RunError(cause, f"{url[:200]!r} is not an address to fetch from", "use http(s) or /ipfs/<cid>")
            self._first(sources, target, cause)
            paths.append(target)
        return paths

    def _sources(self, where: str) -> list[str]:
        if where.startswith(("http://", "https://")):
            return [where]
        if where.startswith("/ipfs/"):
            return [gateway.rstrip("/") + where for gateway in self._limits.ipfs_gateways]
        return []

    def _first(self, sources: list[str], target: Path, cause: Cause) -> bytes:
        for source in sources:
            try:
                return self._file(source, target, cause)
            except RunError as error:
                last = error
        raise last

    def _file(self, url: str, target: Path, cause: Cause) -> bytes:
        """Stream one file, resumed up to `_TRIES` times; returns its sha-256."""
        partial = target.with_name(target.name + ".part")
        partial.unlink(missing_ok=True)
        state, size = hashlib.sha256(), 0
        problem = "no answer"
        with partial.open("wb") as file:
            for attempt in range(_TRIES):
                self._count(0, size, url, cause)
                time.sleep(attempt / 2)
                try:
                    with self._get(url, size, cause) as answer:
                        if size and answer.status_code != 206:
                            file.seek(0)
                            file.truncate()
                            state, size = hashlib.sha256(), 0
                        got = 0
                        while chunk := answer.raw.read1(_CHUNK, decode_content=False):
                            size, got = size + len(chunk), got + len(chunk)
                            self._count(len(chunk), size, url, cause)
                            state.update(chunk)
                            file.write(chunk)
                        expected = answer.headers.get("Content-Length", "")
                        if not expected.isdigit() or got == int(expected):
                            break
                        problem = f"it ended after {size} bytes"
                except PrivateAddressError:
                    raise RunError(
                        cause,
                        f"{_shown(url)} lies in this worker's own network, from which tasks may not read",
                        "publish the file on the internet, or (for trials) set fetch.allow_private_addresses",
                    ) from None
                except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
                    problem = type(error).__name__
            else:
                raise RunError(cause, f"{_shown(url)} cannot be fetched: {problem}", "check the address and try again")
            file.flush()
            os.fsync(file.fileno())
        partial.chmod(0o644)
        partial.replace(target)
        return state.digest()

    def _get(self, url: str, offset: int, cause: Cause) -> requests.Response:
        """Open an address, redirects followed one by one so that each is checked."""
        headers = {"Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        for _ in range(_REDIRECTS):
            self._check_scheme(url, cause)
            quiet = max(0.1, min(_QUIET_SECONDS, self._end - time.monotonic()))
            answer = self._session.get(
                url, headers=headers, stream=True, allow_redirects=False, timeout=(min(_CONNECT_SECONDS, quiet), quiet)
            )
            if answer.is_redirect:
                answer.close()
                url = urljoin(url, answer.headers["Location"])
                continue
            if answer.status_code in (200, 206):
                return answer
            answer.close()
            if answer.status_code >= 500:
                raise requests.ConnectionError(f"HTTP {answer.status_code}")
            raise RunError(cause, f"{_shown(url)} answers HTTP {answer.status_code}", "check the address")
        raise RunError(cause, f"{_shown(url)} redirects more than {_REDIRECTS} times", "check the address")

    def _check_scheme(self, url: str, cause: Cause) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise RunError(cause, f"{_shown(url)} is not an http(s) address", "use http:// or https://")

    def _count(self, amount: int, size: int, url: str, cause: Cause) -> None:
        if self._stop():
            raise Interrupted
        self._left -= amount
        if size > self._limits.file_mb * 1_000_000 or self._left < 0:
            raise RunError(cause, f"{_shown(url)} is larger than this worker allows", "raise fetch.file_mb or total_mb")
        if time.monotonic() > self._end:
            raise RunError(cause, f"{_shown(url)} is too slow for this worker", "raise fetch.seconds")


def input_name(url: str) -> str:
    """The file name of an input: `0x` and the sha-256 of its URL."""
    return "0x" + hashlib.sha256(url.encode()).hexdigest()


def _shown(url: str) -> str:
    """An address without what may be secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname or ''}{':' + str(parts.port) if parts.port else ''}{parts.path}"[:200]
