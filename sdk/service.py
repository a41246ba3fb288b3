"""HTTP client of a scheduler's services: bounded answers, timeouts, errors in words."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

import requests

from poco.errors import BadInputError, PewError

MAX_JSON_BYTES = 16 * 1024 * 1024
_CHUNK = 64 * 1024
#: A download that breaks off is gone on with so often in a row, before anything more has come.
_TRIES = 5
_PAUSE_SECONDS = 1.0


class ServiceError(PewError):
    """The service refused or does not answer; `status` is the HTTP status (0: no answer)."""

    def __init__(self, message: str, *, hint: str = "", code: str = "SERVICE_FAILED", status: int = 0) -> None:
        super().__init__(message, hint=hint, code=code)
        self.status = status
        self.exit_code = 2 if 400 <= status < 500 else 1


class Service:
    """One base URL.

    Args:
        url: `http://host:port` of the pool's scheduler.
        timeout: seconds to connect, and between two pieces of an answer.
    """

    def __init__(self, url: str, timeout: float = 15) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise BadInputError(f"'{url[:100]}' is not a service's address", hint="write it as http://host:port")
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._session = requests.Session()
        if parts.hostname in ("127.0.0.1", "::1", "localhost"):
            self._session.trust_env = False  # a proxy for the world is not one for this machine

    def get(self, path: str, params: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None) -> Any:
        """The JSON of a GET."""
        return self._json("GET", path, params, None, dict(headers or {}))

    def send(
        self,
        method: str,
        path: str,
        body: Any,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """The JSON answer to a POST or PUT of a JSON body."""
        return self._json(method, path, params, body, dict(headers or {}))

    def upload(self, path: str, file: Path, headers: Mapping[str, str] | None = None) -> Any:
        """The JSON answer to a PUT of a file's bytes."""
        try:
            with file.open("rb") as body, self._request("PUT", path, None, body, dict(headers or {})) as answer:
                return self._parse(answer, self._read(answer))
        except OSError as error:
            raise BadInputError(f"cannot read {file}: {error.strerror}", hint="check the path") from None

    def holds(self, path: str) -> bool:
        """Whether a GET of that path would be answered with something."""
        try:
            with self._request("HEAD", path, None, None, {}):
                return True
        except ServiceError as error:
            if error.status in (404, 410):
                return False
            raise

    def download(self, path: str, target: Path, max_bytes: int) -> bytes:
        """Stream a body into `target` (written beside it and moved into place when whole); returns its sha-256.

        Raises:
            ServiceError: no answer, a refusal, or more than `max_bytes`.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                sha256 = self._download(path, file, max_bytes)
            Path(name).replace(target)
        finally:
            with suppress(FileNotFoundError):
                Path(name).unlink()
        return sha256

    def _download(self, path: str, file: BinaryIO, max_bytes: int) -> bytes:
        """Stream a body into a file; what breaks off goes on, where the service says that it is still the same."""
        state, size, etag, tries = hashlib.sha256(), 0, "", 0
        while True:
            headers = {"Range": f"bytes={size}-", "If-Range": etag} if size else {}
            before = size
            try:
                with self._request("GET", path, None, None, headers) as answer:
                    if size and answer.headers.get("Content-Range", "").partition("-")[0] != f"bytes {size}":
                        file.seek(0)
                        file.truncate()
                        state, size = hashlib.sha256(), 0
                    found = answer.headers.get("ETag", "")
                    etag = found if found.startswith('"') else ""
                    for chunk in answer.iter_content(_CHUNK):
                        size += len(chunk)
                        if size > max_bytes:
                            raise ServiceError(
                                f"{self.url}{path} is larger than {max_bytes} bytes",
                                hint="raise the limit if you trust it",
                                code="TOO_LARGE",
                            )
                        state.update(chunk)
                        file.write(chunk)
                return state.digest()
            except requests.RequestException as error:
                tries = 1 if size > before else tries + 1
                if (size and not etag) or tries >= _TRIES:
                    raise self._unreachable(error) from None
            except ServiceError as error:
                tries += 1
                if error.status or error.code == "TOO_LARGE" or not size or tries >= _TRIES:
                    raise
                time.sleep(_PAUSE_SECONDS)

    def _json(
        self, method: str, path: str, params: Mapping[str, Any] | None, body: Any, headers: dict[str, str]
    ) -> Any:
        with self._request(method, path, params, body, headers) as answer:
            return self._parse(answer, self._read(answer))

    def _request(
        self, method: str, path: str, params: Mapping[str, Any] | None, body: Any, headers: dict[str, str]
    ) -> requests.Response:
        try:
            answer = self._session.request(
                method,
                self.url + path,
                params=params,
                json=None if isinstance(body, io.IOBase) else body,
                data=body if isinstance(body, io.IOBase) else None,
                headers={"Accept": "application/json, */*", **headers},
                timeout=self._timeout,
                stream=True,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise self._unreachable(error) from None
        if answer.status_code < 300:
            return answer
        with answer:
            raise self._refusal(answer, path)

    def _read(self, answer: requests.Response) -> bytes:
        content = bytearray()
        try:
            for chunk in answer.iter_content(_CHUNK):
                content += chunk
                if len(content) > MAX_JSON_BYTES:
                    raise ServiceError(f"{self.url} sends more than {MAX_JSON_BYTES} bytes", code="TOO_LARGE")
        except requests.RequestException as error:
            raise self._unreachable(error) from None
        return bytes(content)

    def _parse(self, answer: requests.Response, content: bytes) -> Any:
        if not content:
            return None
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            raise ServiceError(
                f"{self.url} does not answer with JSON",
                hint="check that the address is a scheduler's",
                status=answer.status_code,
            ) from None

    def _refusal(self, answer: requests.Response, path: str) -> ServiceError:
        """What a scheduler (`error, message, hint`) or an order book (`ok: false, error`) says."""
        try:
            body = json.loads(self._read(answer))
        except (ValueError, RecursionError):
            body = {}
        fields = body if isinstance(body, dict) else {}
        said = str(fields.get("message") or fields.get("error") or f"HTTP {answer.status_code}")[:500]
        code = str(fields["error"])[:60] if "message" in fields and "error" in fields else "REFUSED"
        hint = str(fields.get("hint") or "")[:500]
        return ServiceError(f"{self.url}{path}: {said}", hint=hint, code=code, status=answer.status_code)

    def _unreachable(self, error: Exception) -> ServiceError:
        return ServiceError(
            f"no scheduler answers at {self.url} ({type(error).__name__})",
            hint="check the address, and that the scheduler runs",
            code="SERVICE_UNREACHABLE",
        )


def service_of(url: str | None) -> Service:
    """The services at an address; BadInputError where none was named."""
    if not url:
        raise BadInputError("this needs a scheduler", hint="name it with --scheduler http://host:port")
    return Service(url)
