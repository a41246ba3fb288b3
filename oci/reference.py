"""Image references: `host[:port]/repository[:tag][@sha256:...]`.

Grammar: https://github.com/distribution/reference (names are lower case, a first component with a dot, a colon or
`localhost` is a host, everything else belongs to Docker Hub).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace

from poco.errors import BadInputError

DOCKER_HUB = "docker.io"
_HUB_NAMES = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"})

_HOST = re.compile(
    r"(?:\[[0-9a-fA-F:]+\]|[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*)"
    r"(?::[0-9]{1,5})?"
)
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MAX_NAME = 255


@dataclass(frozen=True)
class Reference:
    """A parsed, normalised image reference."""

    host: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"

    @property
    def name(self) -> str:
        """Host and repository, without tag and digest."""
        return f"{self.host}/{self.repository}"

    @property
    def selector(self) -> str:
        """What a registry is asked for: the digest, else the tag, else `latest`."""
        return self.digest or self.tag or "latest"

    def at(self, digest: str) -> Reference:
        """The same repository at a digest, without the tag."""
        return replace(self, tag=None, digest=check_digest(digest))


def parse(text: str) -> Reference:
    """Parse an image reference; short names become Docker Hub's full ones.

    Raises:
        BadInputError: the text is not an image reference.
    """
    rest, at, digest = text.partition("@")
    if at:
        check_digest(digest)
    head, slash, tail = rest.partition("/")
    if slash and ("." in head or ":" in head or head == "localhost"):
        host, path = head, tail
    else:
        host, path = DOCKER_HUB, rest
    repository, colon, tag = path.partition(":")
    if not _HOST.fullmatch(host) or not _valid_port(host):
        raise _junk(text, f"'{host}' is not a host name")
    if colon and not _TAG.fullmatch(tag):
        raise _junk(text, f"'{tag}' is not a tag")
    if not _REPOSITORY.fullmatch(repository):
        raise _junk(text, f"'{repository}' is not a repository name (lower case, digits, . _ - /)")
    if host.lower() in _HUB_NAMES:
        host = DOCKER_HUB
        repository = repository if "/" in repository else f"library/{repository}"
    if len(host) + 1 + len(repository) > _MAX_NAME:
        raise _junk(text, f"its name is longer than {_MAX_NAME} characters")
    return Reference(host.lower(), repository, tag or None, digest or None)


def check_digest(text: str) -> str:
    """Return `sha256:<64 lower-case hex>` as given.

    Raises:
        BadInputError: anything else.
    """
    if not _DIGEST.fullmatch(text):
        raise BadInputError(
            f"'{text[:100]}' is not an image digest", hint="a digest is 'sha256:' and 64 lower-case hexadecimal digits"
        )
    return text


def digest_of_checksum(checksum: str | None) -> str | None:
    """The image digest for an on-chain checksum (`0x..` or `sha256:..`); None where there is none (empty or zero).

    Raises:
        BadInputError: the text is no checksum of 32 bytes.
    """
    if checksum is None or checksum in ("", "0x"):
        return None
    text = checksum.strip().lower()
    digest = check_digest(f"sha256:{text[2:]}" if text.startswith("0x") else text)
    return None if set(digest.removeprefix("sha256:")) == {"0"} else digest


def is_loopback(host: str) -> bool:
    """Whether `host[:port]` is this machine: only such registries are spoken to without TLS."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _valid_port(host: str) -> bool:
    after = host.rpartition("]")[2] if host.startswith("[") else host
    _, colon, port = after.partition(":")
    return not colon or 0 < int(port) < 65536


def _junk(text: str, why: str) -> BadInputError:
    return BadInputError(
        f"'{text[:100]}' is not an image reference: {why}",
        hint="write it as host:port/repository:tag, e.g. 127.0.0.1:5000/dapp:1.0",
    )
