"""Keystore files (Web3 Secret Storage v3) of several programs: ours, Brownie, iExec's client and geth."""

from __future__ import annotations

import json
import os
import stat
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chain import wallet
from chain.wallet import Wallet
from poco.errors import BadInputError
from poco.hexes import address

#: Larger files are no keystores.
MAX_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Keystore:
    """A file that holds one encrypted key: which account's, and which program keeps its keystores there."""

    path: Path
    address: str
    store: str
    private: bool

    @property
    def name(self) -> str:
        return self.path.stem if self.path.suffix == ".json" else self.path.name

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "address": self.address,
            "store": self.store,
            "path": str(self.path),
            "private": self.private,
        }


def folders(home: Path | None = None) -> dict[str, Path]:
    """Where the programs keep their keystores: `pew`, `brownie` and `iexec` (geth's folder)."""
    home = home or Path.home()
    ethereum = home / "Library" / "Ethereum" if sys.platform == "darwin" else home / ".ethereum"
    return {
        "pew": home / ".config" / "pew",
        "brownie": home / ".brownie" / "accounts",
        "iexec": ethereum / "keystore",
    }


def read(path: Path) -> dict[str, Any]:
    """The JSON of a keystore, still encrypted, its names in lower case (ethers writes `Crypto`).

    Raises:
        BadInputError: missing, not to be read by this user, or no keystore.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError
        data = json.loads(path.read_text())
        if not isinstance(data, dict) or "crypto" not in {str(name).lower() for name in data}:
            raise ValueError
    except FileNotFoundError:
        raise BadInputError(
            f"there is no keystore {path}", hint="make one: pew wallet new; pew wallet list shows those"
        ) from None
    except IsADirectoryError:
        raise BadInputError(f"{path} is a folder", hint="name one of the keystores in it") from None
    except OSError as error:
        raise BadInputError(
            f"the keystore {path} cannot be read: {error.strerror}", hint="become its owner, or copy it as him"
        ) from None
    except (ValueError, RecursionError):
        raise BadInputError(
            f"{path} cannot be read as a keystore", hint="restore it from your backup, or name another: --wallet"
        ) from None
    return {str(name).lower(): value for name, value in data.items()}


def address_of(path: Path) -> str:
    """Whose key it holds, without opening it; BadInputError where the file does not say."""
    try:
        return address("0x" + str(read(path)["address"]).lower().removeprefix("0x"))
    except KeyError:
        raise BadInputError(
            f"{path} does not name its address", hint="pew wallet import it: the copy will name it"
        ) from None


def is_private(path: Path) -> bool:
    """Whether nobody but its owner and his group may read a file."""
    return not path.stat().st_mode & stat.S_IROTH


def require_private(path: Path, what: str) -> None:
    """BadInputError where everybody on this machine may read a file that holds a secret."""
    try:
        private = is_private(path)
    except OSError as error:
        raise BadInputError(f"cannot read the {what} {path}: {error.strerror}", hint="check the path") from None
    if not private:
        raise BadInputError(
            f"everybody on this machine may read the {what} {path}",
            hint=f"chmod 600 {path}",
            code="NOT_PRIVATE",
        )


def found(where: Mapping[str, Path] | None = None) -> list[Keystore]:
    """The keystores of all programs, in order of name; what is none is passed over."""
    known = []
    for store, folder in (where or folders()).items():
        with suppress(OSError):
            for path in sorted(folder.iterdir()):
                with suppress(BadInputError, OSError):
                    known.append(Keystore(path, address_of(path), store, is_private(path)))
    return known


def resolve(name: Path, where: Mapping[str, Path] | None = None) -> Path:
    """The file that `--wallet` means: a path, else the name or address of a keystore of one of the programs.

    Raises:
        BadInputError: several have that name.
    """
    text = str(name)
    if name.exists() or len(name.parts) != 1:
        return name
    matches = [one for one in found(where) if one.name == text or one.address.lower() == text.lower()]
    if len({one.address for one in matches}) > 1:
        raise BadInputError(
            f"{len(matches)} keystores are called {text}", hint="name one by its address or path: pew wallet list"
        )
    return matches[0].path if matches else name


def usual_name(account: str, now: float) -> str:
    """What geth and iExec's client call the file of an account: `UTC--<time>--<address>`."""
    instant = time.strftime("%Y-%m-%dT%H-%M-%S", time.gmtime(now))
    return f"UTC--{instant}.{int(now % 1 * 1000):03d}000000Z--{account.removeprefix('0x')}"


def write_new(path: Path, text: str) -> None:
    """Write a secret into a new file that only its owner may read; BadInputError where there is one already."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise BadInputError(f"{path} exists already", hint="choose another name, or move the old one away") from None
    except OSError as error:
        raise BadInputError(f"cannot write {path}: {error.strerror}", hint="choose another place") from None
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def take(source: Path, target: Path, password: str) -> Wallet:
    """Copy a keystore that this password opens to a new file; its address stands in the copy."""
    opened = wallet.load(source, password)
    write_new(target, json.dumps({**read(source), "address": opened.address.lower().removeprefix("0x")}))
    return opened


def change_password(path: Path, opened: Wallet, password: str, *, iterations: int | None = None) -> None:
    """Encrypt a keystore anew. The old file stands until the new one is written whole and opens.

    Args:
        path: the keystore.
        opened: what it holds.
        password: the new one.
        iterations: scrypt's cost; eth_account's default where None.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    new = Path(name)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(opened.keystore(password, iterations=iterations))
            file.flush()
            os.fsync(file.fileno())
        if wallet.load(new, password).address != opened.address:
            raise BadInputError(f"{path} could not be encrypted anew", hint="nothing was changed; try again")
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
