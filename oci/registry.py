"""Registry client (https://github.com/opencontainers/distribution-spec): manifests in and out, blobs in and out.

Registries on this machine are spoken to by HTTP, all others by HTTPS, with the anonymous token flow that Docker Hub and
others ask for. Everything fetched by digest is hashed here; nothing is taken on the registry's word.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from oci.errors import BadChecksumError, ImageError, ImageInvalidError, ImageUnknownError, RegistryUnreachableError
from oci.manifest import (
    INDEX_TYPES,
    MANIFEST_TYPES,
    MAX_MANIFEST_BYTES,
    Document,
    Index,
    Manifest,
    parse_document,
    pick,
    require_platform,
    sha256_digest,
)
from oci.platform import Platform, normalise
from oci.platform import parse as parse_platform
from oci.reference import DOCKER_HUB, Reference, digest_of_checksum, is_loopback
from oci.reference import parse as parse_reference

MAX_CONFIG_BYTES = 1024 * 1024
_MAX_TOKEN_BYTES = 256 * 1024
_HUB_API = "registry-1.docker.io"
_CHUNK = 64 * 1024
#: A registry that says nothing for so long will not say anything any more.
_QUIET_SECONDS = 30.0
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True)
class ResolvedImage:
    """An image fixed to bytes for one platform.

    `reference_by_digest` is what to pull (`host/repository@sha256:..` of the platform's own manifest); `index_digest`
    is what the tag or checksum named (equal to `manifest_digest` where there is no index).
    """

    reference_by_digest: str
    manifest_digest: str
    index_digest: str
    platform: str
    compressed_bytes: int


def resolve(
    reference: str,
    platform: str,
    expected_digest: str | None = None,
    timeout_s: float = 30.0,
    session: requests.Session | None = None,
) -> ResolvedImage:
    """Find the manifest of `platform` for an image, and check it against the checksum registered on chain.

    Args:
        reference: `host:port/repository:tag`, as in an app's multiaddr.
        platform: `linux/arm/v7`, `linux/arm64`, `linux/amd64`.
        expected_digest: `0x..` or `sha256:..` of the index (or of the single manifest); None or zero: take what
            the tag names.
        timeout_s: seconds for the whole of it.
        session: a `requests` session to use instead of an own one.

    Raises:
        BadInputError: reference, platform or checksum are not what they should be.
        ImageUnknownError: the registry has no such image.
        RegistryUnreachableError: no answer in time.
        BadChecksumError: the image under this name is not the one with this checksum.
        PlatformUnsupportedError: no image for this platform.
        ImageInvalidError: the registry's answer is not a manifest.
    """
    image, wanted = parse_reference(reference), parse_platform(platform)
    expected = digest_of_checksum(expected_digest)
    if image.digest and expected and image.digest != expected:
        raise _mismatch(image, expected, image.digest)
    with RegistryClient(image.host, timeout_s, session) as client:
        top = (
            _fetch_expected(client, image, expected) if expected else client.manifest(image.repository, image.selector)
        )
        if isinstance(top.meaning, Index):
            document = client.manifest(image.repository, pick(top.meaning, wanted).digest)
            if not isinstance(document.meaning, Manifest):
                raise ImageInvalidError(f"{image} is an index of indexes", hint="push it as one index of images")
        else:
            document = top
            require_platform(client.config_platform(image.repository, top.meaning), wanted)
        manifest = document.meaning
        assert isinstance(manifest, Manifest)  # noqa: S101  (told to the type checker: both branches checked it)
    if manifest.config.size > MAX_CONFIG_BYTES:  # an engine would read it into memory
        raise ImageInvalidError(
            f"{image} has a config of {manifest.config.size} bytes, {MAX_CONFIG_BYTES} are allowed",
            hint="build the image with fewer labels and settings",
        )
    return ResolvedImage(
        reference_by_digest=str(image.at(document.digest)),
        manifest_digest=document.digest,
        index_digest=top.digest,
        platform=str(wanted),
        compressed_bytes=manifest.compressed_bytes,
    )


@dataclass(frozen=True)
class _Call:
    method: str
    path: str
    repository: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | Path | None = None
    push: bool = False


class RegistryClient:
    """One registry, one session, one deadline.

    Args:
        host: `host[:port]`, or `docker.io`.
        timeout_s: seconds until every further request of this client fails.
        session: a `requests` session to use instead of an own one.
    """

    def __init__(self, host: str, timeout_s: float = 30.0, session: requests.Session | None = None) -> None:
        self._host = host
        self._base = f"{'http' if is_loopback(host) else 'https'}://{_HUB_API if host == DOCKER_HUB else host}/v2/"
        self._deadline = time.monotonic() + timeout_s
        self._session = session or requests.Session()
        self._session.max_redirects = 5
        if is_loopback(host):
            self._session.trust_env = False  # a proxy for the world is not one for this machine
        self._tokens: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def manifest(self, repository: str, selector: str) -> Document:
        """Fetch a manifest or index by tag or digest; by digest its hash is checked.

        Raises: see `resolve`.
        """
        accept = ", ".join((*INDEX_TYPES, *MANIFEST_TYPES))
        content, media_type = self._fetch(f"{repository}/manifests/{selector}", MAX_MANIFEST_BYTES, accept, repository)
        if selector.startswith("sha256:") and sha256_digest(content) != selector:
            raise BadChecksumError(
                f"{self._host}/{repository}: asked for {selector}, got {sha256_digest(content)}",
                hint="the registry or something on the way to it changes content: use another",
            )
        return parse_document(content, media_type)

    def blob(self, repository: str, digest: str, max_bytes: int) -> bytes:
        """Fetch a blob of at most `max_bytes`, checked against its digest.

        Raises: see `resolve`.
        """
        content, _ = self._fetch(f"{repository}/blobs/{digest}", max_bytes, "*/*", repository)
        if sha256_digest(content) != digest:
            raise BadChecksumError(f"{self._host}/{repository}: a blob is not the {digest} it was asked for as")
        return content

    def blob_pieces(self, repository: str, digest: str) -> Iterator[bytes]:
        """A blob of any size, piece by piece; nothing is checked but that it comes in time.

        Raises: see `resolve`.
        """
        with self._request(_Call("GET", f"{repository}/blobs/{digest}", repository)) as answer:
            yield from self._pieces(answer, decode=False)

    def config_platform(self, repository: str, manifest: Manifest) -> Platform:
        """The platform that an image's own config names."""
        content = self.blob(repository, manifest.config.digest, MAX_CONFIG_BYTES)
        try:
            config = json.loads(content)
            return normalise(str(config["os"]), str(config["architecture"]), str(config.get("variant") or ""))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ImageInvalidError(f"The config of {self._host}/{repository} cannot be read: {error}") from error

    def push_blob(self, repository: str, digest: str, content: bytes | Path) -> bool:
        """Upload a blob unless the registry has it; returns whether it was sent."""
        try:
            self._request(_Call("HEAD", f"{repository}/blobs/{digest}", repository, push=True)).close()
            return False
        except ImageUnknownError:
            answer = self._request(_Call("POST", f"{repository}/blobs/uploads/", repository, push=True))
        location = urljoin(answer.url, answer.headers.get("Location", ""))
        separator = "&" if urlsplit(location).query else "?"
        self._request(_Call("PUT", f"{location}{separator}digest={digest}", repository, body=content, push=True))
        return True

    def push_manifest(self, repository: str, selector: str, document: Document) -> None:
        """Upload a manifest or index under a tag or its digest."""
        headers = {"Content-Type": document.media_type}
        path = f"{repository}/manifests/{selector}"
        self._request(_Call("PUT", path, repository, headers, document.content, push=True))

    def _fetch(self, path: str, max_bytes: int, accept: str, repository: str) -> tuple[bytes, str]:
        with self._request(_Call("GET", path, repository, {"Accept": accept})) as answer:
            return self._read(answer, max_bytes), answer.headers.get("Content-Type", "")

    def _read(self, answer: requests.Response, max_bytes: int) -> bytes:
        content = bytearray()
        for chunk in self._pieces(answer, decode=True):
            content += chunk
            if len(content) > max_bytes:
                raise ImageInvalidError(
                    f"{self._host} sends more than {max_bytes} bytes where a manifest should be",
                    hint="check the image's address",
                )
        return bytes(content)

    def _pieces(self, answer: requests.Response, *, decode: bool) -> Iterator[bytes]:
        """What comes, as it comes: a registry that sends a byte a minute meets the deadline."""
        while True:
            try:
                piece = answer.raw.read1(_CHUNK, decode_content=decode)
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise self._unreachable(error) from error
            if not piece:
                return
            self._left()
            yield piece

    def _request(self, call: _Call) -> requests.Response:
        """Send, with an anonymous token where the registry asks for one; only success returns."""
        scope = f"repository:{call.repository}:{'pull,push' if call.push else 'pull'}"
        answer = self._send(call, scope)
        if answer.status_code == 401 and scope not in self._tokens and self._obtain_token(answer, scope):
            answer.close()
            answer = self._send(call, scope)
        if answer.ok:
            return answer
        answer.close()
        raise self._refusal(answer.status_code, call.path)

    def _send(self, call: _Call, scope: str) -> requests.Response:
        headers = dict(call.headers)
        if token := self._tokens.get(scope):
            headers["Authorization"] = f"Bearer {token}"
        url = urljoin(self._base, call.path)
        try:
            with ExitStack() as stack:
                body = stack.enter_context(call.body.open("rb")) if isinstance(call.body, Path) else call.body
                patience = min(self._left(), _QUIET_SECONDS)
                return self._session.request(
                    call.method, url, headers=headers, data=body, stream=True, timeout=patience
                )
        except (requests.RequestException, OSError) as error:
            raise self._unreachable(error) from error

    def _obtain_token(self, answer: requests.Response, scope: str) -> bool:
        """Follow an anonymous `WWW-Authenticate: Bearer` challenge; False where the registry wants something else."""
        header = answer.headers.get("WWW-Authenticate", "")
        if not header.lower().startswith("bearer "):
            return False
        challenge = dict(_CHALLENGE.findall(header))
        try:
            realm = urlsplit(challenge.get("realm", ""))
        except ValueError:
            return False
        if realm.scheme != "https" and not (
            realm.scheme == "http" and is_loopback(realm.netloc) and is_loopback(self._host)
        ):
            return False
        query = {"service": challenge.get("service", ""), "scope": challenge.get("scope", scope)}
        try:
            token = self._session.get(realm.geturl(), params=query, timeout=self._left(), stream=True)
        except requests.RequestException as error:
            raise self._unreachable(error) from error
        try:
            fields = json.loads(self._read(token, _MAX_TOKEN_BYTES)) if token.ok else {}
            self._tokens[scope] = str(fields.get("token") or fields["access_token"])
        except (ValueError, KeyError, AttributeError, RecursionError):
            return False
        finally:
            token.close()
        return True

    def _refusal(self, status: int, path: str) -> ImageError:
        what = path if "://" not in path else urlsplit(path).path
        if status in (401, 403, 404):
            return ImageUnknownError(
                f"{self._host} has no {what} for the public (HTTP {status})",
                hint="check the image's name, tag and digest",
            )
        return RegistryUnreachableError(f"{self._host} answers {what} with HTTP {status}", hint="try again later")

    def _left(self) -> float:
        """Seconds to the deadline, for the next wait on the network."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise RegistryUnreachableError(f"No complete answer from {self._host} in time", hint="try again later")
        return left

    def _unreachable(self, error: Exception) -> RegistryUnreachableError:
        return RegistryUnreachableError(
            f"The registry {self._host} cannot be reached: {type(error).__name__}",
            hint="check that it runs and its address is right",
        )


def _fetch_expected(client: RegistryClient, image: Reference, expected: str) -> Document:
    """By digest; where that is unknown but the tag is there, the tag names something else: a wrong checksum."""
    try:
        return client.manifest(image.repository, expected)
    except ImageUnknownError:
        if image.digest:
            raise
        tagged = client.manifest(image.repository, image.selector)
        raise _mismatch(image, expected, tagged.digest) from None


def _mismatch(image: Reference, expected: str, found: str) -> BadChecksumError:
    return BadChecksumError(
        f"{image} is {found}, but {expected} is registered",
        hint="register the app again with the digest that the push printed, or push the image that was registered",
    )


def platforms(reference: str, timeout_s: float = 30.0) -> list[str]:
    """The platforms an image exists for.

    Raises: see `resolve`.
    """
    image = parse_reference(reference)
    with RegistryClient(image.host, timeout_s) as client:
        document = client.manifest(image.repository, image.selector)
        if isinstance(document.meaning, Index):
            return [str(platform) for platform in document.meaning.platforms]
        return [str(client.config_platform(image.repository, document.meaning))]
