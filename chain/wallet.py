"""Wallets: encrypted keystores (Web3 Secret Storage v3) and what they sign."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any, TypeVar

from eth_account import Account
from eth_account.messages import encode_defunct, encode_typed_data
from eth_account.signers.local import LocalAccount
from eth_typing import Hash32

from poco.errors import BadInputError
from poco.hexes import keccak, to_bytes, to_hex
from poco.orders import Domain, Order

OrderT = TypeVar("OrderT", bound=Order)


class Wallet:
    """One account; `repr` shows the address alone."""

    def __init__(self, account: LocalAccount) -> None:
        self._account = account
        self.address: str = str(account.address)

    def __repr__(self) -> str:
        return f"Wallet({self.address})"

    def keystore(self, password: str, *, iterations: int | None = None) -> str:
        """The key, encrypted: the text of a keystore (Web3 Secret Storage v3)."""
        return json.dumps(Account.encrypt(self._account.key, password, iterations=iterations))

    def private_key(self) -> str:
        """The key itself, for `pew wallet export --key` alone."""
        return to_hex(bytes(self._account.key))

    def sign_message(self, digest: str) -> str:
        """EIP-191 personal signature of a 32-byte hash (65 bytes)."""
        return to_hex(self._account.sign_message(encode_defunct(to_bytes(digest, 32))).signature)

    def sign_typed(self, data: dict[str, Any]) -> str:
        """EIP-712 signature (65 bytes)."""
        return to_hex(self._account.sign_message(encode_typed_data(full_message=data)).signature)

    def sign_digest(self, digest: bytes) -> str:
        """Signature (65 bytes) of the EIP-712 hash of a struct of ours, computed by `poco`."""
        return to_hex(self._account.unsafe_sign_hash(Hash32(digest)).signature)

    def sign_order(self, order: OrderT, domain: Domain) -> OrderT:
        """The order with this wallet's signature."""
        return order.signed(self.sign_typed(order.typed_data(domain)))

    def sign_transaction(self, transaction: dict[str, Any]) -> tuple[str, bytes]:
        """(transaction hash, raw bytes)."""
        signed = self._account.sign_transaction(transaction)
        return to_hex(signed.hash), bytes(signed.raw_transaction)


def typed_hash(data: dict[str, Any]) -> bytes:
    """The EIP-712 hash of typed data: what `sign_typed` signs."""
    signable = encode_typed_data(full_message=data)
    return keccak(b"\x19", signable.version, signable.header, signable.body)


def recover_message(digest: str, signature: str) -> str:
    """Who made a personal signature of that hash; BadInputError for a malformed one."""
    try:
        return str(Account.recover_message(encode_defunct(to_bytes(digest, 32)), signature=to_bytes(signature, 65)))
    except Exception as error:
        raise BadInputError(f"not a signature: {error}", hint="sign again with the right wallet") from None


def recover_typed(data: dict[str, Any], signature: str) -> str:
    """Who made an EIP-712 signature of that data; BadInputError for a malformed one."""
    try:
        return str(Account.recover_message(encode_typed_data(full_message=data), signature=to_bytes(signature, 65)))
    except Exception as error:
        raise BadInputError(f"not a signature: {error}", hint="sign again with the right wallet") from None


def recover_digest(digest: bytes, signature: str) -> str:
    """Who signed a hash of 32 bytes; BadInputError for a malformed signature."""
    try:
        return str(Account._recover_hash(digest, signature=to_bytes(signature, 65)))
    except Exception as error:
        raise BadInputError(f"not a signature: {error}", hint="sign again with the right wallet") from None


def new_password() -> str:
    """A random password for an unattended keystore."""
    return secrets.token_urlsafe(24)


def read_password(path: Path) -> str:
    """The password in a file (its last newline is not part of it)."""
    try:
        return path.read_text().rstrip("\r\n")
    except OSError as error:
        raise BadInputError(
            f"cannot read the password file {path}: {error.strerror}", hint="check password_file"
        ) from None


def create(path: Path, password: str, *, key: str | None = None, iterations: int | None = None) -> Wallet:
    """Make a keystore at `path` (mode 0600); never overwrites one.

    Args:
        path: file to write.
        password: what encrypts it.
        key: an existing private key to import (`0x` and 64 digits); a new one is made where it is None.
        iterations: scrypt's cost (a power of two); eth_account's default where None.
    """
    from chain import keystores

    try:
        account: LocalAccount = Account.create() if key is None else Account.from_key(key)
    except Exception:
        raise BadInputError("that is not a private key", hint="a private key is 0x and 64 hexadecimal digits") from None
    made = Wallet(account)
    keystores.write_new(path, made.keystore(password, iterations=iterations))
    return made


def load(path: Path, password: str) -> Wallet:
    """Open a keystore; BadInputError when it is missing, broken or the password is wrong."""
    from chain import keystores

    data = keystores.read(path)
    try:
        key = Account.decrypt(data, password)
    except ValueError as error:
        if "MAC" in str(error):
            raise BadInputError(f"wrong password for {path}", hint="check the password file") from None
        raise BadInputError(f"{path} is not a keystore: {error}", hint="restore it from your backup") from None
    except Exception:
        raise BadInputError(f"{path} is not a keystore", hint="restore it from your backup") from None
    return Wallet(Account.from_key(key))
