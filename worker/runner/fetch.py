"""Datasets and input files: streamed, bounded, resumed, checked; not from the operator's own network unless allowed.

A file is taken as the server sends it: nothing is decompressed. What was begun goes on where it broke off, also after a
power cut, as long as the server says that it is still the same file.
"""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import requests
import urllib3
from requests.auth import HTTPBasicAuth
from requests.utils import get_auth_from_url

from poco.errors import Cause
from poco.hexes import ZERO_BYTES32, to_bytes
from poco.result import sha256_of
from worker.config import FetchLimits
from worker.runner.errors import Interrupted, RunError
from worker.runner.partial import PartialFile
from worker.runner.public import Connections, PrivateAddressError

_CHUNK = 256 * 1024
_CONNECT_SECONDS = 10.0
_QUIET_SECONDS = 30.0
#: So often in a row it may break off before so many bytes have come.
_TRIES, _FRUITFUL = 3, 1024 * 1024
_REDIRECTS = 5
_PAUSE_SECONDS = 0.5
#: What is left of the disk for the journal and the system.
RESERVE_BYTES = 8 * 1_048_576


class Fetcher:
    """Downloads for one task; all its files together stay within `limits.total_mb` and `limits.seconds`.

    Args:
        limits: the operator's bounds.
        stop: asked all the time; when it says yes `Interrupted` is raised.
    """

    def __init__(self, limits: FetchLimits, stop: Callable[[], bool]) -> None:
        self._limits = limits
        self._stop = stop
        self._left = limits.total_mb * 1_000_000
        self._end = time.monotonic() + limits.seconds
        self._session = requests.Session()
        self._session.trust_env = not limits.allow_private_addresses
        self._connections = Connections(public=not limits.allow_private_addresses)
        self._connections.attach(self._session)

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
        expected = to_bytes(checksum, 32) if checksum != ZERO_BYTES32 else None
        wrong = RunError(
            Cause.DATASET_FILE_BAD_CHECKSUM,
            f"the dataset has another sha-256 than is registered, {checksum}",
            "publish the file that was registered, or register the new one",
        )
        self._first(sources, target, Cause.DATASET_FILE_DOWNLOAD_FAILED, expected or _named_hash(where), wrong)
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
            wrong = RunError(cause, f"what comes from {url[:200]} is not what its CID names", "try another gateway")
            self._first(sources, target, cause, _named_hash(url), wrong)
            paths.append(target)
        return paths

    def _sources(self, where: str) -> list[str]:
        if where.startswith(("http://", "https://")):
            return [where]
        if where.startswith("/ipfs/"):
            return [gateway.rstrip("/") + where for gateway in self._limits.ipfs_gateways]
        return []

    def _first(self, sources: list[str], target: Path, cause: Cause, expected: bytes | None, wrong: RunError) -> None:
        """The first source that has the right bytes; `wrong` where all that answered had others."""
        if target.exists():  # complete, from before a restart: it was moved into place whole
            if expected is None or expected == _sha256(target):
                self._left -= target.stat().st_size
                return
            target.unlink()
        failed: RunError | None = None
        for source in sources:
            try:
                found, resumed = self._file(source, target, cause, checked=expected is not None)
                if expected is not None and expected != found and resumed:
                    found, _ = self._file(source, target, cause, checked=True)
            except RunError as error:
                failed = error
                continue
            if expected is None or expected == found:
                return
            target.unlink()
        raise failed or wrong

    def _file(self, url: str, target: Path, cause: Cause, *, checked: bool) -> tuple[bytes, bool]:
        """Stream one file; (its sha-256, whether an earlier process had begun it).

        Args:
            checked: whether its content is known by a hash: then it may go on without the server's word for it.
        """
        with self._connections.cut_when(self._is_over), PartialFile(target, url) as part:
            resumed, fruitless, problem = part.size > 0, 0, "no answer"
            self._left -= part.size
            while fruitless < _TRIES:
                self._require(part.size, url, cause)
                self._pause(fruitless * _PAUSE_SECONDS)
                before = part.size
                try:
                    if self._receive(part, url, cause, checked=checked):
                        break
                    problem = f"it ended after {part.size} bytes"
                except PrivateAddressError:
                    raise RunError(
                        cause,
                        f"{_shown(url)} lies in this worker's own network, from which tasks may not read",
                        "publish the file on the internet, or (for trials) set fetch.allow_private_addresses",
                    ) from None
                except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                    problem = type(error).__name__
                fruitless = 0 if part.size - before >= _FRUITFUL else fruitless + 1
            else:
                raise RunError(cause, f"{_shown(url)} cannot be fetched: {problem}", "check the address and try again")
            return part.finish(), resumed

    def _receive(self, part: PartialFile, url: str, cause: Cause, *, checked: bool) -> bool:
        """One answer; whether the file is whole with it."""
        if part.size and not (part.validator or checked):
            part.restart()
        with self._get(url, part, cause) as answer:
            if not self._continues(answer, part):
                part.restart()
            part.validator = _validator(answer)
            length = answer.headers.get("Content-Length", "")
            expected = int(length) if length.isascii() and length.isdigit() and len(length) < 16 else None
            self._require(part.size + (expected or 0), url, cause)
            got = 0
            while chunk := answer.raw.read1(_CHUNK, decode_content=False):
                got += len(chunk)
                self._left -= len(chunk)
                self._require(part.size + len(chunk), url, cause)
                _require_room(part.folder, url, cause)
                part.write(chunk)
            self._require(part.size, url, cause)  # an end that we made is none of the file's
            return expected is None or got == expected

    @staticmethod
    def _continues(answer: requests.Response, part: PartialFile) -> bool:
        """Whether an answer begins where the file ends."""
        if not part.size:
            return answer.status_code == 200
        first = answer.headers.get("Content-Range", "").partition("-")[0]
        same = not part.validator or _validator(answer) in ("", part.validator)
        return answer.status_code == 206 and first == f"bytes {part.size}" and same

    def _get(self, url: str, part: PartialFile, cause: Cause) -> requests.Response:
        """Open an address, redirects followed one by one so that each is checked."""
        headers = {"Accept-Encoding": "identity"}
        if part.size:
            headers["Range"] = f"bytes={part.size}-"
            if part.validator:
                headers["If-Range"] = part.validator
        for _ in range(_REDIRECTS):
            self._check_scheme(url, cause)
            quiet = max(0.1, min(_QUIET_SECONDS, self._end - time.monotonic()))
            answer = self._session.get(
                url, headers=headers, auth=_own_auth(url), stream=True, allow_redirects=False,
                timeout=(min(_CONNECT_SECONDS, quiet), quiet),
            )  # fmt: skip
            if answer.is_redirect:
                answer.close()
                url = urljoin(url, answer.headers["Location"])
                continue
            if answer.status_code == 200 or self._continues(answer, part):
                return answer
            answer.close()
            if answer.status_code in (206, 416) and part.size:  # another file by now, or none that can go on
                part.restart()
                raise requests.ConnectionError("it cannot go on")
            if answer.status_code >= 500 or answer.status_code == 429:
                raise requests.ConnectionError(f"HTTP {answer.status_code}")
            raise RunError(cause, f"{_shown(url)} answers HTTP {answer.status_code}", "check the address")
        raise RunError(cause, f"{_shown(url)} redirects more than {_REDIRECTS} times", "check the address")

    def _check_scheme(self, url: str, cause: Cause) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise RunError(cause, f"{_shown(url)} is not an http(s) address", "use http:// or https://")

    def _require(self, size: int, url: str, cause: Cause) -> None:
        if self._stop():
            raise Interrupted
        if size > self._limits.file_mb * 1_000_000 or self._left < 0:
            raise RunError(cause, f"{_shown(url)} is larger than this worker allows", "raise fetch.file_mb or total_mb")
        if time.monotonic() > self._end:
            raise RunError(cause, f"{_shown(url)} is too slow for this worker", "raise fetch.seconds")

    def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._stop() and time.monotonic() < min(end, self._end):
            time.sleep(0.05)

    def _is_over(self) -> bool:
        """Whether time is up, or the file not wanted any more."""
        return self._stop() or time.monotonic() > self._end


def _require_room(folder: Path, url: str, cause: Cause) -> None:
    """RunError where the disk is nearly full: the journal lies on it too, without which no stake is looked after."""
    if shutil.disk_usage(folder).free < RESERVE_BYTES:
        raise RunError(cause, f"{_shown(url)} does not fit onto this worker's disk", "free some space for data_dir")


class _NoAuth(requests.auth.AuthBase):
    """Keeps `requests` from looking into the operator's ~/.netrc."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


def input_name(url: str) -> str:
    """The file name of an input: `0x` and the sha-256 of its URL."""
    return "0x" + hashlib.sha256(url.encode()).hexdigest()


def _own_auth(url: str) -> requests.auth.AuthBase:
    """What the address itself says, and nothing of this machine's."""
    user, password = get_auth_from_url(url)
    return HTTPBasicAuth(user, password) if user or password else _NoAuth()


def _named_hash(where: str) -> bytes | None:
    """The sha-256 in an address `/ipfs/<cid>`, where its CID names the bytes themselves."""
    return sha256_of(where.removeprefix("/ipfs/")) if where.startswith("/ipfs/") else None


def _validator(answer: requests.Response) -> str:
    """What the server calls this version of the file: a strong ETag, or the time of its last change."""
    etag = answer.headers.get("ETag", "")
    return etag if etag.startswith('"') else answer.headers.get("Last-Modified", "")


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def _shown(url: str) -> str:
    """An address without what may be secret in it; what a task names need not be one."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "what the task names"
    return f"{parts.scheme}://{parts.hostname or ''}{port}{parts.path}"[:200]
