"""What the compiler made of the contracts (`build/contracts`), and whether a chain bears the same byte code."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

from eth_abi.abi import encode

from poco.errors import BadInputError

FOLDER = Path("build/contracts")
_PUSH1, _PUSH20, _PUSH32 = 0x60, 0x73, 0x7F
_HINT = "compile first: brownie compile"


class Match(StrEnum):
    """How the byte code on a chain compares with the build."""

    SAME = "same"
    #: all but the hash of the metadata (comments, file names) that the compiler appends
    SAME_BUT_METADATA = "same but metadata"
    DIFFERENT = "different"
    ABSENT = "absent"

    @property
    def good(self) -> bool:
        return self in (Match.SAME, Match.SAME_BUT_METADATA)


@dataclass(frozen=True)
class Artifact:
    """One compiled contract in the form that Brownie writes."""

    name: str
    data: dict[str, Any]
    folder: Path

    @property
    def abi(self) -> list[dict[str, Any]]:
        abi: list[dict[str, Any]] = self.data["abi"]
        return abi

    @property
    def runtime(self) -> bytes:
        """The code of the contract, with zeros where immutables will be."""
        return bytes.fromhex(self.data["deployedBytecode"])

    @property
    def compiler(self) -> str:
        """As explorers name it: `v0.8.34+commit.80d5c536`."""
        return "v" + ".".join(self.data["compiler"]["version"].split(".")[:4])

    def arguments(self, values: tuple[Any, ...]) -> bytes:
        """The constructor's arguments as they stand behind the creation code."""
        kinds = [i["type"] for e in self.abi if e["type"] == "constructor" for i in e["inputs"]]
        return encode(kinds, values)

    def creation(self, values: tuple[Any, ...]) -> bytes:
        """What a transaction that creates the contract carries."""
        return bytes.fromhex(self.data["bytecode"]) + self.arguments(values)

    @cached_property
    def standard_input(self) -> dict[str, Any]:
        """The compiler's standard JSON input for this contract: its sources and settings, nothing else."""
        paths = sorted(self.data["allSourcePaths"].values())
        sources = {path: {"content": self._source(path)} for path in paths}
        compiler = self.data["compiler"]
        return {
            "language": "Solidity",
            "sources": sources,
            "settings": {
                "optimizer": compiler["optimizer"],
                "evmVersion": compiler["evm_version"],
                "outputSelection": {"*": {"*": ["abi", "evm.bytecode", "evm.deployedBytecode"]}},
            },
        }

    def _source(self, path: str) -> str:
        """A file of the project; BadInputError where it is not as it was compiled."""
        compiled = self.folder / f"{Path(path).stem}.json"
        try:
            text = (self.folder.resolve().parent.parent / path).read_text()
            data = json.loads(compiled.read_text()) if compiled.exists() else {}
        except (OSError, ValueError) as error:
            raise BadInputError(f"cannot read {path}: {error}", hint=_HINT) from None
        if data.get("sourcePath") == path and data["source"] != text:
            raise BadInputError(f"{path} has changed since it was compiled", hint="take it back, or deploy what is new")
        return text


def read(folder: Path, name: str) -> Artifact:
    """A compiled contract; BadInputError where it is not compiled."""
    path = folder / f"{name}.json"
    try:
        data = json.loads(path.read_text())
        bytes.fromhex(data["bytecode"] + data["deployedBytecode"])
    except FileNotFoundError:
        raise BadInputError(f"{name} is not compiled: there is no {path}", hint=_HINT) from None
    except (OSError, ValueError, KeyError, TypeError):
        raise BadInputError(f"{path} is not a compiled contract", hint="compile anew: brownie compile --all") from None
    return Artifact(name, data, folder)


def fingerprint(artifacts: list[Artifact]) -> str:
    """A hash of the creation code of all: the same build, the same hash."""
    return sha256("".join(f"{a.name}:{a.data['bytecode']};" for a in artifacts).encode()).hexdigest()


def holes(runtime: bytes) -> list[tuple[int, int]]:
    """(start, length) of what is zero in a compiled runtime and set on a chain: immutables, a library's own address."""
    found = []
    at = 0
    while at < len(runtime):
        width = runtime[at] - _PUSH1 + 1 if _PUSH1 <= runtime[at] <= _PUSH32 else 0
        value = runtime[at + 1 : at + 1 + width]
        library = at == 0 and width == _PUSH20 - _PUSH1 + 1
        if (width == 32 or library) and len(value) == width and not any(value):
            found.append((at + 1, width))
        at += 1 + width
    return found


def compare(on_chain: bytes, runtime: bytes) -> Match:
    """The code at an address against a compiled runtime, immutables left out."""
    if not on_chain:
        return Match.ABSENT
    gaps = holes(runtime)
    ours, theirs = _masked(runtime, gaps), _masked(on_chain, gaps)
    if ours == theirs:
        return Match.SAME
    if len(ours) == len(theirs) and _without_metadata(ours) == _without_metadata(theirs):
        return Match.SAME_BUT_METADATA
    return Match.DIFFERENT


def compare_creation(on_chain: bytes, creation: bytes) -> Match:
    """The code at an address against creation code alone, which holds the runtime behind its constructor."""
    if not on_chain:
        return Match.ABSENT
    heads = [on_chain[:8]]
    if on_chain[0] == _PUSH20:  # a library begins with its own address
        heads.append(on_chain[:1] + bytes(20))
    for head in heads:
        start = creation.find(head, 1)
        while start > 0:
            if compare(on_chain, creation[start : start + len(on_chain)]) is Match.SAME:
                return Match.SAME
            start = creation.find(head, start + 1)
    return Match.DIFFERENT


def _masked(code: bytes, gaps: list[tuple[int, int]]) -> bytes:
    out = bytearray(code)
    for start, width in gaps:
        if start + width <= len(out):
            out[start : start + width] = bytes(width)
    return bytes(out)


def _without_metadata(code: bytes) -> bytes:
    """The last two bytes tell the length of the CBOR before them."""
    length = int.from_bytes(code[-2:], "big") + 2
    return code[:-length] if length < len(code) else code
