"""A worker's energy ledger: quarter hours in integers, chained by hash, signed, and summed up by day.

Energies are milliwatt-hours, powers milliwatts, instants Unix seconds on the clock of the power source. A record and a
profile are EIP-712 structs: the encoding is fixed, a record's hash is its struct hash, and what the worker signs is
that hash in the domain of the chain's `EnergyLedger`. Written as JSON lines: a head, then profiles, records and notes
as they came.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

from poco.errors import BadInputError
from poco.hexes import ZERO_BYTES32, address, bytes32, keccak, to_bytes, to_hex
from poco.orders import Domain

RECORD_S = 900
DAY_S = 86_400
RECORDS_A_DAY = DAY_S // RECORD_S
FORMAT = "pew-energy-ledger/1"
#: In place of a stored energy that was not measured.
UNKNOWN = -1
_BITS = {"uint16": 16, "uint32": 32, "uint64": 64}


def domain(chain_id: int, ledger: str) -> Domain:
    """The EIP-712 domain of an `EnergyLedger`."""
    return Domain(chain_id, ledger, name="Positive Energy Worker", version="1")


class _Struct:
    """A frozen dataclass that is an EIP-712 struct: `TYPES` lists its fields in order."""

    NAME: ClassVar[str]
    TYPES: ClassVar[dict[str, str]]

    @cached_property
    def hash(self) -> str:
        """The struct hash (32 bytes)."""
        return to_hex(
            keccak(_type_hash(self.NAME, self.TYPES), *(_word(k, getattr(self, n)) for n, k in self.TYPES.items()))
        )

    def check(self) -> None:
        """BadInputError where a field does not fit its type."""
        for name, kind in self.TYPES.items():
            value = getattr(self, name)
            if kind in ("bytes32", "string"):
                good = isinstance(value, str)
            else:
                low, high = (-(2**63), 2**63) if kind == "int64" else (0, 2 ** _BITS[kind])
                good = isinstance(value, int) and not isinstance(value, bool) and low <= value < high
            if not good:
                raise BadInputError(f"{self.NAME}.{name}: {value!r} is no {kind}", hint="the ledger is damaged")

    def signed_hash(self, where: Domain) -> bytes:
        """What is signed (32 bytes)."""
        return keccak(b"\x19\x01", where.separator(), to_bytes(self.hash))


@dataclass(frozen=True)
class Profile(_Struct):
    """What measures and what is measured, as the operator declares it.

    The place is in hundredths of a degree, the worker rounds it to a tenth (11 km). `unknown_load` is the power at
    which time without a measured load counts; `speed` is thousandths of the source's seconds in a second of life.
    """

    NAME: ClassVar[str] = "EnergyProfile"
    TYPES: ClassVar[dict[str, str]] = {
        "source": "string",
        "speed": "uint64",
        "latitude": "int64",
        "longitude": "int64",
        "tilt": "uint16",
        "azimuth": "uint16",
        "panel": "uint64",
        "battery": "uint64",
        "charge_efficiency": "uint16",
        "discharge_efficiency": "uint16",
        "self_discharge": "uint16",
        "max_load": "uint64",
        "unknown_load": "uint64",
    }
    source: str
    speed: int
    latitude: int
    longitude: int
    tilt: int  # degrees from flat
    azimuth: int  # degrees from north
    panel: int  # rated power
    battery: int  # capacity
    charge_efficiency: int  # thousandths
    discharge_efficiency: int  # thousandths
    self_discharge: int  # thousandths a month
    max_load: int
    unknown_load: int

    @property
    def simulated(self) -> bool:
        """Whether it says itself that nothing was measured."""
        return self.source == "simulated"


@dataclass(frozen=True)
class Record(_Struct):
    """A quarter of an hour from `start`, of which `*_unknown` seconds were not measured.

    `lost` is harvested + charged - consumed - change of stored where all of it was measured, else 0. `stored_*` are the
    battery at the ends, `UNKNOWN` where not measured. `previous` is the hash of the record before, zeros for the first.
    """

    NAME: ClassVar[str] = "EnergyRecord"
    TYPES: ClassVar[dict[str, str]] = {
        "previous": "bytes32",
        "profile": "bytes32",
        "start": "uint64",
        "harvested": "uint64",
        "consumed": "uint64",
        "charged": "uint64",
        "lost": "int64",
        "stored_before": "int64",
        "stored_after": "int64",
        "harvest_unknown": "uint16",
        "load_unknown": "uint16",
    }
    previous: str
    profile: str
    start: int
    harvested: int
    consumed: int
    charged: int
    lost: int
    stored_before: int
    stored_after: int
    harvest_unknown: int
    load_unknown: int

    @property
    def end(self) -> int:
        return self.start + RECORD_S

    @property
    def day(self) -> int:
        return self.start // DAY_S

    @property
    def measured(self) -> bool:
        """Whether nothing in it is unknown, so that its energies must balance."""
        return (
            not self.harvest_unknown
            and not self.load_unknown
            and UNKNOWN not in (self.stored_before, self.stored_after)
        )

    @property
    def surplus(self) -> int:
        """Harvested + charged - consumed - change of stored: what it must have lost, if measured."""
        return self.harvested + self.charged - self.consumed - (self.stored_after - self.stored_before)

    def balanced(self) -> Record:
        """The same record with the losses that follow from its energies."""
        return replace(self, lost=self.surplus if self.measured else 0)


@dataclass(frozen=True)
class Entry:
    """A record with the worker's signature (65 bytes)."""

    record: Record
    signature: str


@dataclass(frozen=True)
class Claim:
    """What a worker says of one day, as `EnergyLedger.anchor` takes it. `consumed` counts unknown time in full."""

    day: int
    records: int
    unknown: int
    root: str
    harvested: int
    consumed: int
    charged: int
    stored: int

    def as_tuple(self) -> tuple[Any, ...]:
        values = asdict(self)
        return tuple(to_bytes(v, 32) if name == "root" else v for name, v in values.items())


@dataclass
class Ledger:
    """What a ledger file says. `notes` are what is shown beside the energies and signed by nobody: tasks, decisions."""

    worker: str
    chain_id: int
    contract: str
    profiles: dict[str, Profile] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    notes: list[dict[str, Any]] = field(default_factory=list)

    @property
    def domain(self) -> Domain:
        return domain(self.chain_id, self.contract)

    def days(self) -> dict[int, list[Record]]:
        """Records by day, in the order they stand in."""
        found: dict[int, list[Record]] = {}
        for entry in self.entries:
            found.setdefault(entry.record.day, []).append(entry.record)
        return found


def claim_of(day: int, records: Sequence[Record], profiles: dict[str, Profile]) -> Claim:
    """The claim that follows from a day's records. Time without a record is unknown, at the highest power declared."""
    missing = DAY_S - RECORD_S * len(records)
    unknown = [(r.load_unknown, profiles[r.profile].unknown_load) for r in records]
    unknown.append((missing, max((power for _, power in unknown), default=0)))
    known = [s for r in records for s in (r.stored_before, r.stored_after) if s != UNKNOWN]
    return Claim(
        day=day,
        records=len(records),
        unknown=sum(seconds for seconds, _ in unknown),
        root=merkle_root([r.hash for r in records]),
        harvested=sum(r.harvested for r in records),
        consumed=sum(r.consumed for r in records) + -(-sum(s * power for s, power in unknown) // 3600),
        charged=sum(r.charged for r in records),
        stored=known[-1] - known[0] if known else 0,
    )


def merkle_root(hashes: Sequence[str]) -> str:
    """Root of a binary tree over the hashes in their order; zeros for none.

    Leaves are keccak(0x00 ‖ hash), nodes keccak(0x01 ‖ left ‖ right); one without a partner goes up as it is (the form
    of RFC 9162, whose prefixes keep a node from being shown as a leaf).
    """
    level = [keccak(b"\x00", to_bytes(each, 32)) for each in hashes]
    if not level:
        return ZERO_BYTES32
    while len(level) > 1:
        pairs = [keccak(b"\x01", *level[i : i + 2]) for i in range(0, len(level) - 1, 2)]
        level = pairs + level[2 * len(pairs) :]
    return to_hex(level[0])


def head_line(worker: str, chain_id: int, contract: str) -> str:
    """The first line of a ledger file."""
    return _line({"format": FORMAT, "worker": worker, "chain_id": chain_id, "contract": contract})


def profile_line(profile: Profile) -> str:
    return _line({"profile": asdict(profile)})


def entry_line(entry: Entry) -> str:
    """A record as an array: its fields in the order of `Record.TYPES`, then the signature."""
    return _line([*(getattr(entry.record, name) for name in Record.TYPES), entry.signature])


def parse_entry(line: str) -> Entry:
    """The entry that `entry_line` wrote; BadInputError for anything else."""
    return _entry(json.loads(line))


def note_line(note: dict[str, Any]) -> str:
    return _line({"note": note})


def dump(ledger: Ledger) -> Iterator[str]:
    """The lines of a ledger file."""
    yield head_line(ledger.worker, ledger.chain_id, ledger.contract)
    yield from map(profile_line, ledger.profiles.values())
    yield from map(entry_line, ledger.entries)
    yield from map(note_line, ledger.notes)


def parse(lines: Iterable[str]) -> Ledger:
    """Read a ledger; only its form is checked (`poco.audit` checks what it says).

    Raises:
        BadInputError: with the number of the line that is not one of a ledger.
    """
    ledger: Ledger | None = None
    for number, text in enumerate(lines, 1):
        if not text.strip():
            continue
        try:
            ledger = _take(ledger, json.loads(text))
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise BadInputError(f"line {number} is none of an energy ledger: {error}", hint="export it again") from None
        except BadInputError as error:
            raise BadInputError(f"line {number}: {error.message}", hint="export it again") from None
    if ledger is None:
        raise BadInputError("the energy ledger is empty", hint="a worker writes its first record after 15 minutes")
    return ledger


def _take(ledger: Ledger | None, data: Any) -> Ledger:
    if ledger is None or (isinstance(data, dict) and "format" in data):
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            raise BadInputError(f"this is no {FORMAT}")
        head = address(data["worker"]), int(data["chain_id"]), address(data["contract"])
        if ledger is None:
            return Ledger(*head)
        if head != (ledger.worker, ledger.chain_id, ledger.contract):
            raise BadInputError(f"a ledger of {head[0]} begins within that of {ledger.worker}")
    elif isinstance(data, list):
        ledger.entries.append(_entry(data))
    elif isinstance(data, dict) and data.keys() == {"profile"}:
        profile = Profile(**data["profile"])
        profile.check()
        ledger.profiles[profile.hash] = profile
    elif isinstance(data, dict) and data.keys() == {"note"} and isinstance(data["note"], dict):
        ledger.notes.append(data["note"])
    else:
        raise BadInputError("this is no record, profile or note")
    return ledger


def _entry(data: list[Any]) -> Entry:
    *values, signature = data
    record = Record(*values)
    record.check()
    bytes32(record.previous)
    bytes32(record.profile)
    to_bytes(signature, 65)
    return Entry(record, signature)


def _line(data: Any) -> str:
    return json.dumps(data, separators=(",", ":"))


def _type_hash(name: str, types: dict[str, str]) -> bytes:
    return keccak(f"{name}({','.join(f'{kind} {each}' for each, kind in types.items())})".encode())


def _word(kind: str, value: Any) -> bytes:
    if kind == "string":
        return keccak(value.encode())
    if kind == "bytes32":
        return to_bytes(value, 32)
    return int(value).to_bytes(32, "big", signed=kind == "int64")
