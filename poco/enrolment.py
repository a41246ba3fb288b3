"""How a device that nobody has logged in to joins a pool: a token on its card, signed by an operator, used up once."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any

from pydantic import Field, ValidationError

from poco.errors import BadInputError
from poco.hexes import keccak, to_bytes, to_hex
from poco.wire import Address, Bytes32, Message, Seconds, Signature, typed_data

PREFIX = "pew1."
#: No token lives longer: it lies readable on a card.
LONGEST_SECONDS = 7 * 86_400
_MAX_CHARS = 2000


class Token(Message):
    """Leave for one device to join under that name until `expires`; `signature` is the operator's."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
    nonce: Bytes32
    expires: Seconds
    operator: Address
    signature: Signature

    def text(self) -> str:
        """One line for a file."""
        return PREFIX + base64.urlsafe_b64encode(self.model_dump_json().encode()).decode()

    def hash(self) -> str:
        """What is kept of it where it was made and where it was used."""
        return token_hash(self.nonce)


class Enrolment(Message):
    """A device's own wallet, which has signed `enrolment_typed_data`, and its token. The body of `POST /enrol`."""

    token: Token
    wallet: Address
    signature: Signature


class Enrolled(Message):
    """Who has joined, under which name, since when. `token`: its hash."""

    name: str
    wallet: Address
    operator: Address
    token: Bytes32
    at: Seconds


def parse_token(text: str) -> Token:
    """The token of a file.

    Raises:
        BadInputError: it is none.
    """
    text = text.strip()
    try:
        if not text.startswith(PREFIX) or len(text) > _MAX_CHARS:
            raise ValueError
        return Token.model_validate_json(base64.b64decode(text[len(PREFIX) :], altchars=b"-_", validate=True))
    except (ValueError, binascii.Error, ValidationError):
        raise BadInputError("that is no token", hint="make one: pew fleet add NAME --card FOLDER") from None


def token_hash(nonce: str) -> str:
    """keccak256 of the nonce."""
    return to_hex(keccak(to_bytes(nonce, 32)))


def token_typed_data(chain_id: int, workerpool: str, name: str, nonce: str, expires: int) -> dict[str, Any]:
    """EIP-712 data that an operator signs to let one device join (valid for one pool on one chain)."""
    fields = {"name": "string", "nonce": "bytes32", "expires": "uint256"}
    message = {"name": name, "nonce": nonce, "expires": expires}
    return typed_data("EnrolmentToken", fields, chain_id, workerpool, message)


def enrolment_typed_data(chain_id: int, workerpool: str, wallet: str, nonce: str) -> dict[str, Any]:
    """EIP-712 data that the device signs: that it holds this wallet, for this token."""
    fields = {"worker": "address", "token": "bytes32"}
    return typed_data("Enrolment", fields, chain_id, workerpool, {"worker": wallet, "token": token_hash(nonce)})
