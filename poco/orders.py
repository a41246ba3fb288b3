"""Signed orders: EIP-712 types, hashes, JSON and ABI tuples (domain iExecODB 5.0.0)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from eth_abi.abi import encode

from poco.errors import BadInputError
from poco.hexes import ZERO_ADDRESS, ZERO_BYTES32, address, bytes32, keccak, to_bytes, to_hex

UINT256_MAX = 2**256 - 1


@dataclass(frozen=True, slots=True)
class Domain:
    """The EIP-712 domain of a hub."""

    chain_id: int
    hub: str
    name: str = "iExecODB"
    version: str = "5.0.0"

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "version": self.version,
            "chainId": self.chain_id,
            "verifyingContract": self.hub,
        }

    def separator(self) -> bytes:
        """The domain separator (32 bytes)."""
        kind = keccak(b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")
        return keccak(
            encode(
                ["bytes32", "bytes32", "bytes32", "uint256", "address"],
                [kind, keccak(self.name.encode()), keccak(self.version.encode()), self.chain_id, self.hub],
            )
        )


class Order:
    """What the four orders share; each lists its signed fields in order. `sign` is no part of the hash."""

    NAME: ClassVar[str]
    RESOURCE: ClassVar[str]
    TYPES: ClassVar[dict[str, str]]
    sign: str

    def __init__(self, *, sign: str, **values: Any) -> None: ...

    def hash(self, domain: Domain) -> str:
        """The order's EIP-712 hash: what its owner signs and what the hub knows it by."""
        return to_hex(keccak(b"\x19\x01", domain.separator(), self.struct_hash()))

    def struct_hash(self) -> bytes:
        """keccak of the type's hash and the encoded fields (text as its keccak)."""
        signature = f"{self.NAME}({','.join(f'{kind} {name}' for name, kind in self.TYPES.items())})"
        kinds: list[str] = ["bytes32"]
        values: list[Any] = [keccak(signature.encode())]
        for name, kind in self.TYPES.items():
            value = getattr(self, name)
            if kind == "string":
                kinds.append("bytes32")
                values.append(keccak(value.encode()))
            else:
                kinds.append(kind)
                values.append(to_bytes(value, 32) if kind == "bytes32" else value)
        return keccak(encode(kinds, values))

    def typed_data(self, domain: Domain) -> dict[str, Any]:
        """EIP-712 data as wallets take it."""
        return {
            "types": {
                "EIP712Domain": [
                    {"name": "name", "type": "string"},
                    {"name": "version", "type": "string"},
                    {"name": "chainId", "type": "uint256"},
                    {"name": "verifyingContract", "type": "address"},
                ],
                self.NAME: [{"name": name, "type": kind} for name, kind in self.TYPES.items()],
            },
            "primaryType": self.NAME,
            "domain": domain.as_dict(),
            "message": {
                n: to_bytes(getattr(self, n), 32) if k == "bytes32" else getattr(self, n) for n, k in self.TYPES.items()
            },
        }

    def as_tuple(self) -> tuple[Any, ...]:
        """The ABI tuple, signature last."""
        values = [
            to_bytes(getattr(self, name), 32) if kind == "bytes32" else getattr(self, name)
            for name, kind in self.TYPES.items()
        ]
        return (*values, to_bytes(self.sign))

    def as_json(self) -> dict[str, Any]:
        """JSON object; a number that JavaScript cannot hold exactly is written as a decimal string."""
        values = {name: getattr(self, name) for name in (*self.TYPES, "sign")}
        return {n: str(v) if isinstance(v, int) and v > MAX_SAFE_INTEGER else v for n, v in values.items()}

    @classmethod
    def from_json(cls, data: Any) -> Self:
        """Parse and check an order; BadInputError names the field that is wrong."""
        if not isinstance(data, dict):
            raise BadInputError(f"{cls.NAME} is not a JSON object", hint="send the order's fields as an object")
        wrong = [f"unknown field {name}" for name in sorted(set(data) - {*cls.TYPES, "sign"})]
        wrong += [f"missing field {name}" for name in cls.TYPES if name not in data]
        if wrong:
            raise BadInputError(f"{cls.NAME}: {', '.join(wrong)}", hint=f"fields: {', '.join(cls.TYPES)}, sign")
        values = {name: _field(cls.NAME, name, kind, data[name]) for name, kind in cls.TYPES.items()}
        return cls(**values, sign=_field(cls.NAME, "sign", "bytes", data.get("sign", "0x")))

    def signed(self, sign: str) -> Self:
        """The same order with that signature."""
        values = {name: getattr(self, name) for name in self.TYPES}
        return type(self)(**values, sign=sign)

    @property
    def resource(self) -> str:
        """The address whose owner signs (for a request: the requester itself)."""
        return str(getattr(self, self.RESOURCE))


MAX_SAFE_INTEGER = 2**53 - 1


def _number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise BadInputError(f"{value!r} is not a whole number")
    try:
        number = int(value, 0) if isinstance(value, str) else value
    except ValueError:
        raise BadInputError(f"{value!r} is not a whole number") from None
    if not 0 <= number <= UINT256_MAX:
        raise BadInputError(f"{number} is not between 0 and 2^256-1")
    return number


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise BadInputError(f"{value!r} is not text")
    return value


_PARSERS: dict[str, Callable[[Any], Any]] = {
    "address": address,
    "bytes32": bytes32,
    "bytes": lambda value: to_hex(to_bytes(value)),
    "string": _text,
    "uint256": _number,
}


def _field(order: str, name: str, kind: str, value: Any) -> Any:
    try:
        return _PARSERS[kind](value)
    except BadInputError as error:
        raise BadInputError(f"{order}.{name}: {error.message}", hint="correct that field, then sign again") from None


def _restrictions(*names: str) -> dict[str, str]:
    return {f"{name}restrict": "address" for name in names}


@dataclass(frozen=True)
class AppOrder(Order):
    """An app's owner sells `volume` runs at `appprice` nRLC each."""

    NAME: ClassVar[str] = "AppOrder"
    RESOURCE: ClassVar[str] = "app"
    TYPES: ClassVar[dict[str, str]] = {
        "app": "address",
        "appprice": "uint256",
        "volume": "uint256",
        "tag": "bytes32",
        **_restrictions("dataset", "workerpool", "requester"),
        "salt": "bytes32",
    }
    app: str
    appprice: int = 0
    volume: int = 1
    tag: str = ZERO_BYTES32
    datasetrestrict: str = ZERO_ADDRESS
    workerpoolrestrict: str = ZERO_ADDRESS
    requesterrestrict: str = ZERO_ADDRESS
    salt: str = ZERO_BYTES32
    sign: str = "0x"


@dataclass(frozen=True)
class DatasetOrder(Order):
    """A dataset's owner sells `volume` uses at `datasetprice` nRLC each."""

    NAME: ClassVar[str] = "DatasetOrder"
    RESOURCE: ClassVar[str] = "dataset"
    TYPES: ClassVar[dict[str, str]] = {
        "dataset": "address",
        "datasetprice": "uint256",
        "volume": "uint256",
        "tag": "bytes32",
        **_restrictions("app", "workerpool", "requester"),
        "salt": "bytes32",
    }
    dataset: str
    datasetprice: int = 0
    volume: int = 1
    tag: str = ZERO_BYTES32
    apprestrict: str = ZERO_ADDRESS
    workerpoolrestrict: str = ZERO_ADDRESS
    requesterrestrict: str = ZERO_ADDRESS
    salt: str = ZERO_BYTES32
    sign: str = "0x"


@dataclass(frozen=True)
class WorkerpoolOrder(Order):
    """A pool's owner sells `volume` tasks of a category at `workerpoolprice` nRLC each, with at most that trust."""

    NAME: ClassVar[str] = "WorkerpoolOrder"
    RESOURCE: ClassVar[str] = "workerpool"
    TYPES: ClassVar[dict[str, str]] = {
        "workerpool": "address",
        "workerpoolprice": "uint256",
        "volume": "uint256",
        "tag": "bytes32",
        "category": "uint256",
        "trust": "uint256",
        **_restrictions("app", "dataset", "requester"),
        "salt": "bytes32",
    }
    workerpool: str
    workerpoolprice: int = 0
    volume: int = 1
    tag: str = ZERO_BYTES32
    category: int = 0
    trust: int = 0
    apprestrict: str = ZERO_ADDRESS
    datasetrestrict: str = ZERO_ADDRESS
    requesterrestrict: str = ZERO_ADDRESS
    salt: str = ZERO_BYTES32
    sign: str = "0x"


@dataclass(frozen=True)
class RequestOrder(Order):
    """A requester buys `volume` tasks; no `dataset`, `workerpool` or `callback` is the zero address."""

    NAME: ClassVar[str] = "RequestOrder"
    RESOURCE: ClassVar[str] = "requester"
    TYPES: ClassVar[dict[str, str]] = {
        "app": "address",
        "appmaxprice": "uint256",
        "dataset": "address",
        "datasetmaxprice": "uint256",
        "workerpool": "address",
        "workerpoolmaxprice": "uint256",
        "requester": "address",
        "volume": "uint256",
        "tag": "bytes32",
        "category": "uint256",
        "trust": "uint256",
        "beneficiary": "address",
        "callback": "address",
        "params": "string",
        "salt": "bytes32",
    }
    app: str
    requester: str
    appmaxprice: int = 0
    dataset: str = ZERO_ADDRESS
    datasetmaxprice: int = 0
    workerpool: str = ZERO_ADDRESS
    workerpoolmaxprice: int = 0
    volume: int = 1
    tag: str = ZERO_BYTES32
    category: int = 0
    trust: int = 0
    beneficiary: str = ZERO_ADDRESS
    callback: str = ZERO_ADDRESS
    params: str = ""
    salt: str = ZERO_BYTES32
    sign: str = "0x"


#: What stands for "no dataset" in `matchOrders`.
NO_DATASET = DatasetOrder(dataset=ZERO_ADDRESS, volume=0)
