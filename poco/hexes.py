"""Hexadecimal values: 32-byte ids as lower-case ``0x`` strings, addresses with checksum."""

from __future__ import annotations

import re

from eth_utils.address import is_address, to_checksum_address
from eth_utils.crypto import keccak as _keccak

from poco.errors import BadInputError

ZERO_ADDRESS = "0x" + "00" * 20
ZERO_BYTES32 = "0x" + "00" * 32

_HEX = re.compile(r"0x(?:[0-9a-fA-F]{2})*")


def to_bytes(value: str, length: int | None = None) -> bytes:
    """Bytes of a ``0x`` string; BadInputError when it is not one (or not of `length` bytes)."""
    if not isinstance(value, str) or not _HEX.fullmatch(value):
        raise BadInputError(f"{value!r} is not a 0x hexadecimal string", hint="write 0x and an even number of digits")
    raw = bytes.fromhex(value[2:])
    if length is not None and len(raw) != length:
        raise BadInputError(f"{value} has {len(raw)} bytes, {length} are needed", hint="copy the whole value")
    return raw


def to_hex(value: bytes) -> str:
    """Lower-case ``0x`` string of any bytes."""
    return "0x" + bytes(value).hex()


def bytes32(value: str) -> str:
    """A 32-byte value in its canonical form."""
    return to_hex(to_bytes(value, 32))


def address(value: str) -> str:
    """A checksum address; BadInputError for anything else, also for a wrong checksum."""
    if not isinstance(value, str) or not is_address(value):
        raise BadInputError(f"{value!r} is not an address", hint="an address is 0x and 40 hexadecimal digits")
    checked = str(to_checksum_address(value))
    if value[2:] not in (checked[2:], value[2:].lower(), value[2:].upper()):
        raise BadInputError(f"{value} has a wrong checksum", hint="copy the address again")
    return checked


def keccak(*parts: bytes) -> bytes:
    """keccak-256 of the parts joined (Solidity's ``keccak256(abi.encodePacked(...))``)."""
    return bytes(_keccak(b"".join(parts)))


def uint256(value: int) -> bytes:
    """32 big-endian bytes."""
    return value.to_bytes(32, "big")
