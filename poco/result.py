"""Results: `computed.json` and the digest that workers agree on (iExec's formulas), over any file tree.

The tree is passed in, so that a worker hashes a folder and a scheduler the uploaded zip with the same code.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol

from poco.errors import BadInputError, Cause
from poco.hexes import keccak, to_bytes, to_hex

OUT = PurePosixPath("/iexec_out")
COMPUTED = "computed.json"
ERROR_FILE = "error.json"
MAX_COMPUTED_BYTES = 65_536


class ResultError(BadInputError):
    """A result that cannot be proven; `cause` is what the worker reports."""

    def __init__(self, cause: Cause, message: str, hint: str) -> None:
        super().__init__(message, hint=hint, code=cause.value)
        self.cause = cause


class FileTree(Protocol):
    """Regular files and folders below /iexec_out; paths are relative, links and devices do not exist in it."""

    def kind(self, path: PurePosixPath) -> str | None:
        """``"file"``, ``"dir"`` or None where there is neither."""
        ...

    def children(self, path: PurePosixPath) -> Iterable[str]:
        """Names of the direct children of a folder, in any order."""
        ...

    def chunks(self, path: PurePosixPath) -> Iterable[bytes]:
        """A file's content in pieces."""
        ...


@dataclass(frozen=True, slots=True)
class Computed:
    """What `computed.json` says: where the deterministic output is, or the bytes for a callback.

    `recursive`: a folder counts with all that is below it, names too.
    """

    path: PurePosixPath | None
    callback: bytes | None
    recursive: bool = False


def parse_computed(raw: bytes) -> Computed:
    """Read `computed.json`.

    Raises:
        ResultError: COMPUTED_FILE_NOT_FOUND for unusable content, COMPUTED_PATH_INVALID for a path that is not
            absolute and below /iexec_out.
    """
    missing = Cause.COMPUTED_FILE_NOT_FOUND
    try:
        data = json.loads(raw.decode())
    except (ValueError, RecursionError):
        raise ResultError(missing, f"{COMPUTED} is not JSON", "write it with a JSON library") from None
    if not isinstance(data, dict):
        raise ResultError(missing, f"{COMPUTED} is not a JSON object", 'write {"deterministic-output-path": ...}')
    callback = data.get("callback-data")
    if callback is not None:
        try:
            return Computed(None, to_bytes(callback))
        except BadInputError as error:
            raise ResultError(missing, f"callback-data: {error.message}", "write 0x and hexadecimal digits") from None
    path = data.get("deterministic-output-path")
    if not isinstance(path, str) or not path:
        hint = f'name a file or folder below {OUT} as "deterministic-output-path"'
        raise ResultError(missing, f"{COMPUTED} names no deterministic output", hint)
    recursive = data.get("deterministic-output-recursive", False)
    if not isinstance(recursive, bool):
        hint = "write true for a folder with all that is below it, or leave it out"
        raise ResultError(missing, f"{COMPUTED}: deterministic-output-recursive is neither true nor false", hint)
    return Computed(inside_out(path), None, recursive)


def inside_out(path: str) -> PurePosixPath:
    """The path relative to /iexec_out; ResultError COMPUTED_PATH_INVALID where it is not inside."""
    pure = PurePosixPath(path)
    if "\0" in path or ".." in pure.parts or not pure.is_relative_to(OUT):
        raise ResultError(
            Cause.COMPUTED_PATH_INVALID,
            f"{COMPUTED} points at {path!r}, which is not below {OUT}",
            f"write results into {OUT} and name them by their absolute path",
        )
    return pure.relative_to(OUT)


def digest(tree: FileTree, *, callback: bool) -> str:
    """The digest of a result.

    A callback: keccak-256 of its bytes. A file: sha-256. A folder: keccak-256 over the sha-256 of its direct
    children that are files, in path order (sub-folders add nothing, names are not hashed). Where `computed.json` says
    so, beyond iExec: keccak-256 over the sha-256 of path (relative to the folder, UTF-8) and of content of every file
    below it, in order of the paths' bytes.

    Args:
        tree: /iexec_out.
        callback: whether the deal has a callback address (then `callback-data` is what counts).

    Raises:
        ResultError: when there is nothing to agree on.
    """
    if tree.kind(PurePosixPath(COMPUTED)) != "file":
        raise ResultError(
            Cause.COMPUTED_FILE_NOT_FOUND, f"the program wrote no {COMPUTED}", f"write {OUT}/{COMPUTED} at its end"
        )
    raw = b""
    for chunk in tree.chunks(PurePosixPath(COMPUTED)):
        raw += chunk
        if len(raw) > MAX_COMPUTED_BYTES:
            raise ResultError(Cause.COMPUTED_FILE_NOT_FOUND, f"{COMPUTED} is too large", "it holds one path")
    computed = parse_computed(raw)
    if callback:
        if computed.callback is None:
            hint = 'write {"callback-data": "0x..."}'
            raise ResultError(Cause.COMPUTED_FILE_NOT_FOUND, "the deal has a callback, the result none", hint)
        return to_hex(keccak(computed.callback))
    if computed.path is None:
        hint = 'write {"deterministic-output-path": ...}'
        raise ResultError(Cause.COMPUTED_FILE_NOT_FOUND, "the deal has no callback, but the result is one", hint)
    kind = tree.kind(computed.path)
    if kind == "file":
        return to_hex(_sha256(tree.chunks(computed.path)))
    if kind == "dir" and computed.recursive:
        return to_hex(keccak(*_whole(tree, computed.path)))
    if kind == "dir":
        names = sorted(tree.children(computed.path))
        files = [computed.path / name for name in names if tree.kind(computed.path / name) == "file"]
        return to_hex(keccak(*(_sha256(tree.chunks(path)) for path in files)))
    raise ResultError(
        Cause.COMPUTED_PATH_INVALID,
        f"{COMPUTED} points at {OUT / computed.path}, where there is no file or folder",
        "name what the program has written; links do not count",
    )


def _whole(tree: FileTree, top: PurePosixPath) -> Iterable[bytes]:
    """Hashes of path and content of all files below a folder."""
    below = sorted((path.relative_to(top).as_posix().encode(), path) for path in _below(tree, top))
    for name, path in below:
        yield hashlib.sha256(name).digest()
        yield _sha256(tree.chunks(path))


def _below(tree: FileTree, top: PurePosixPath) -> Iterable[PurePosixPath]:
    folders = [top]
    while folders:
        folder = folders.pop()
        for path in (folder / name for name in tree.children(folder)):
            kind = tree.kind(path)
            if kind == "file":
                yield path
            elif kind == "dir":
                folders.append(path)


def _sha256(chunks: Iterable[bytes]) -> bytes:
    state = hashlib.sha256()
    for chunk in chunks:
        state.update(chunk)
    return state.digest()


def error_result(cause: Cause, *, callback: bool) -> dict[str, bytes]:
    """The files of an error result: equal for all workers that met `cause`, so that they agree."""
    body = json.dumps({"cause": cause.value}, separators=(",", ":")).encode()
    computed = {"callback-data": to_hex(body)} if callback else {"deterministic-output-path": str(OUT / ERROR_FILE)}
    return {ERROR_FILE: body, COMPUTED: json.dumps(computed, separators=(",", ":")).encode()}


def on_chain_link(cid: str) -> bytes:
    """What `finalize` stores (the spacing is part of the format)."""
    return f'{{ "storage": "ipfs", "location": "/ipfs/{cid}" }}'.encode()


def on_chain_location(results: bytes) -> str | None:
    """The location in a finished task's `results`, which a worker may have written: None where there is none."""
    try:
        data = json.loads(results.decode())
    except (ValueError, RecursionError):
        return None
    location = data.get("location") if isinstance(data, dict) and data.get("storage") == "ipfs" else None
    return location if isinstance(location, str) and location.isprintable() else None


def cid_of(sha256: bytes) -> str:
    """CIDv1 of a block with that sha-256: raw codec (0x55), multihash sha2-256 (0x12, 32 bytes), base32 lower case."""

    return "b" + base64.b32encode(bytes([1, 0x55, 0x12, 32]) + sha256).decode().lower().rstrip("=")


def sha256_of(cid: str) -> bytes | None:
    """The inverse of `cid_of`; None for a CID of another kind."""
    if len(cid) != 59 or not cid.startswith("b"):
        return None
    try:
        raw = base64.b32decode(cid[1:].upper() + "======")
    except ValueError:
        return None
    return raw[4:] if raw[:4] == bytes([1, 0x55, 0x12, 32]) and cid_of(raw[4:]) == cid else None
