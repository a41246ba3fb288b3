"""What passes in pieces between worker and scheduler: uploads of results, and what a running program writes."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, Field

from poco.errors import BadInputError
from poco.logtext import plain
from poco.wire import Message, Quantity

#: Characters of one stream in one `LogChunk`.
MAX_CHUNK_CHARS = 32_768
_SHA256 = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):")
_RANGE = re.compile(r"bytes (\d{1,16})-(\d{1,16})/(\d{1,16})")


class UploadState(Message):
    """How much of an upload is there: the next piece begins at `offset`. `location` once all of it was taken."""

    offset: Quantity = 0
    location: str | None = None


class LogChunk(Message):
    """More of what a running program has written: texts, and at which character of each stream they begin.

    `attempt` tells the starts of a program apart; a later one has a larger number.
    """

    attempt: Annotated[int, Field(ge=1, le=2**53)]
    stdout_at: Quantity
    stderr_at: Quantity
    stdout: Annotated[str, Field(max_length=MAX_CHUNK_CHARS), AfterValidator(plain)] = ""
    stderr: Annotated[str, Field(max_length=MAX_CHUNK_CHARS), AfterValidator(plain)] = ""


class LogAnswer(Message):
    """When the scheduler would like to hear of a running program again."""

    wait_seconds: Annotated[int, Field(ge=1, le=86_400)]


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes `start` to `start + length` of `total`."""

    start: int
    length: int
    total: int

    @property
    def is_last(self) -> bool:
        return self.start + self.length == self.total


def content_range(piece: Piece) -> str:
    """The header `Content-Range` of a piece."""
    return f"bytes {piece.start}-{piece.start + piece.length - 1}/{piece.total}"


def parse_content_range(text: str) -> Piece:
    """The piece that a header `Content-Range` names; BadInputError where it names none."""
    found = _RANGE.fullmatch(text)
    if found is None:
        raise BadInputError("Content-Range is not bytes FIRST-LAST/TOTAL", hint="see RFC 9110, 14.4")
    first, last, total = map(int, found.groups())
    if not first <= last < total:
        raise BadInputError("Content-Range names bytes that are not there", hint="see RFC 9110, 14.4")
    return Piece(first, last - first + 1, total)


def repr_digest(sha256: bytes) -> str:
    """The header `Repr-Digest` (RFC 9530) of content with that sha-256."""
    return f"sha-256=:{base64.b64encode(sha256).decode()}:"


def parse_repr_digest(text: str) -> bytes:
    """The sha-256 in a header `Repr-Digest`; BadInputError where there is none."""
    found = _SHA256.search(text)
    try:
        sha256 = base64.b64decode(found[1], validate=True) if found else b""
    except binascii.Error:
        sha256 = b""
    if len(sha256) != 32:
        raise BadInputError("Repr-Digest holds no sha-256", hint="see RFC 9530")
    return sha256
