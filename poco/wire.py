"""Messages between worker and scheduler. What is not understood is refused."""

from __future__ import annotations

import hashlib
import json
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from poco.errors import BadInputError, Cause
from poco.hexes import address, bytes32, to_bytes
from poco.logtext import plain
from poco.states import Presence, ReplicateStatus

PROTOCOL = 1
MAX_LOG_CHARS = 100_000
#: What a sample of telemetry tells of, and how many samples one message holds.
QUARTER_S = 900
MAX_SAMPLES = 100


def _checked(parse: Any) -> Any:
    def validate(value: str) -> str:
        try:
            return str(parse(value))
        except BadInputError as error:
            raise ValueError(error.message) from None

    return AfterValidator(validate)


def _signature(value: str) -> str:
    to_bytes(value, 65)
    return value


Address = Annotated[str, _checked(address)]
Bytes32 = Annotated[str, _checked(bytes32)]
Signature = Annotated[str, _checked(_signature)]
Seconds = Annotated[int, Field(ge=0, le=2**53)]
Quantity = Annotated[int, Field(ge=0, le=2**53)]
WattHours = Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]


class Message(BaseModel):
    """Base of all messages: immutable, no unknown fields."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ErrorBody(Message):
    """The body of every 4xx and 5xx answer."""

    error: str
    message: str
    hint: str = ""


class PoolConfig(Message):
    """What a worker must know of the pool before it logs in; what may change while both run stands last.

    `poll_seconds`: how long a poll is to be held open. `max_result_bytes`: larger results are not taken; None where it
    is not said.
    """

    protocol: int
    chain_id: int
    hub: Address
    workerpool: Address
    scheduler: Address
    poll_seconds: Seconds
    max_result_bytes: Quantity | None = None

    def version(self) -> str:
        """16 hexadecimal digits that differ where anything differs (SHA-256 of the JSON with sorted keys)."""
        said = json.dumps(self.model_dump(exclude_none=True), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(said.encode()).hexdigest()[:16]


class ChallengeRequest(Message):
    wallet: Address


class Challenge(Message):
    """A nonce to sign; single use, until `expires`."""

    nonce: Bytes32
    expires: Seconds


class LoginRequest(Message):
    wallet: Address
    nonce: Bytes32
    expires: Seconds
    signature: Signature


class Session(Message):
    token: Annotated[str, Field(min_length=20, max_length=200)]
    expires: Seconds


class Declaration(Message):
    """Whose a worker is: signed by the operator's wallet (`operator_typed_data`), not by the worker's."""

    operator: Address
    signature: Signature


def _hundredths(value: float) -> float:
    return round(value, 2)


class Site(Message):
    """Where a worker stands, for the map of its pool: degrees, rounded to hundredths (1 km)."""

    latitude: Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False), AfterValidator(_hundredths)]
    longitude: Annotated[float, Field(ge=-180, le=180, allow_inf_nan=False), AfterValidator(_hundredths)]


class WorkerInfo(Message):
    """What a worker offers to one task. `platforms` are OCI names such as ``linux/arm/v7``.

    `features`: names of `poco.tags.FEATURES`; unknown ones count for nothing. `site`: where it lets itself be seen.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
    platforms: Annotated[
        list[Annotated[str, Field(pattern=r"^linux/[a-z0-9]+(/v[0-9]+)?$")]], Field(min_length=1, max_length=8)
    ]
    cpus: Annotated[int, Field(ge=1, le=1024)]
    memory_mb: Quantity
    disk_mb: Quantity
    features: Annotated[list[Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")]], Field(max_length=16)] = []
    operator: Declaration | None = None
    site: Site | None = None


class Energy(Message):
    """A worker's meter: totals since its journal began; None is unknown, never zero.

    `run_seconds`: the longest run that battery and forecast allow now; None: nothing bounds it.
    """

    harvested_wh: WattHours | None = None
    consumed_wh: WattHours | None = None
    stored_wh: WattHours | None = None
    soc: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    harvest_w: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] | None = None
    load_w: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] | None = None
    run_seconds: Seconds | None = None
    decision: Annotated[str, Field(max_length=300)] = ""


class Sample(Message):
    """A quarter hour of a worker: energies, and what stood at its end. None is unknown, never zero.

    `at`: its start, on the clock of the worker's power source. `action`, `reason`: what the energy gate said.
    """

    at: Annotated[int, Field(ge=0, le=2**40, multiple_of=QUARTER_S)]
    harvested_wh: WattHours | None = None
    consumed_wh: WattHours | None = None
    soc: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = None
    temperature_c: Annotated[float, Field(ge=-100, le=200, allow_inf_nan=False)] | None = None
    action: Annotated[str, Field(pattern=r"^[a-z]{0,12}$")] = ""
    reason: Annotated[str, Field(max_length=300), AfterValidator(plain)] = ""
    tasks: Annotated[int, Field(ge=0, le=1024)] = 0


class Poll(Message):
    """A worker's heartbeat and question for work. `disk_mb`: what is free now, where it is another than it said.

    `telemetry`: quarter hours that are over and were not told yet.
    """

    presence: Presence
    resume_at: Seconds | None = None
    free_slots: Annotated[int, Field(ge=0, le=1024)]
    acked: Quantity
    energy: Energy = Energy()
    disk_mb: Quantity | None = None
    running: Annotated[list[Bytes32], Field(max_length=1024)] = []
    wait_seconds: Annotated[int, Field(ge=0, le=3600)] = 20
    telemetry: Annotated[list[Sample], Field(max_length=MAX_SAMPLES)] = []


class NotificationType(StrEnum):
    START = "START"
    CONTRIBUTE_ERROR = "CONTRIBUTE_ERROR"
    REVEAL = "REVEAL"
    UPLOAD = "UPLOAD"
    COMPLETE = "COMPLETE"
    ABORT = "ABORT"
    COMMAND = "COMMAND"


class Start(Message):
    """Data of `START`: the leave to contribute to one task.

    `finalize`: the scheduler takes the result first, for `contributeAndFinalize` (one transaction, of trust 1 alone).
    """

    deal_id: Bytes32
    index: Quantity
    enclave_challenge: Address
    authorization: Signature
    finalize: bool = False


class CauseData(Message):
    """Data of `ABORT` and `CONTRIBUTE_ERROR`."""

    cause: Cause


class Notification(Message):
    """One durable message to one worker. `data` is a `Start`, a `CauseData` or a `poco.commands.SignedCommand` as the
    type says, else empty; a command is about no task (`task_id` zero)."""

    seq: Quantity
    type: NotificationType
    task_id: Bytes32
    data: dict[str, Any] = {}

    def start(self) -> Start:
        return Start.model_validate(self.data)

    def cause(self) -> Cause:
        return CauseData.model_validate(self.data).cause


class PollAnswer(Message):
    """What lies ready for the worker.

    `config`: the `PoolConfig.version` in force, where it differs `GET /config` is to be asked again; empty: not said.
    `no_work`: why it got no task, with the sum where money is lacking.
    `wait_seconds`: for the next poll, different for each worker so that they do not come all at once; None: not said.
    """

    notifications: list[Notification]
    server_time: Seconds
    config: Annotated[str, Field(max_length=64)] = ""
    wait_seconds: Annotated[int, Field(ge=0, le=120)] | None = None
    no_work: Annotated[str, Field(max_length=1000)] = ""


class Logs(Message):
    """What a program wrote, without control characters."""

    stdout: Annotated[str, Field(max_length=MAX_LOG_CHARS), AfterValidator(plain)] = ""
    stderr: Annotated[str, Field(max_length=MAX_LOG_CHARS), AfterValidator(plain)] = ""


class StatusUpdate(Message):
    """A replicate's news. `cause` goes with FAILED, ABORTED and DECLINED."""

    status: ReplicateStatus
    at: Seconds
    tx_hash: Bytes32 | None = None
    cause: Cause | None = None
    reason: Annotated[str, Field(max_length=500)] = ""
    exit_code: int | None = None
    logs: Logs | None = None


class LedgerDay(Message):
    """A day of a worker's energy ledger, line by line (`poco.energy`)."""

    lines: Annotated[list[Annotated[str, Field(max_length=2000)]], Field(min_length=1, max_length=2000)]


class Verdict(StrEnum):
    OK = "OK"
    ALREADY = "ALREADY"
    ABORT = "ABORT"


class StatusAnswer(Message):
    verdict: Verdict


class ResultLink(Message):
    """Where an accepted result can be fetched: ``/ipfs/<cid>``."""

    location: str


def login_typed_data(chain_id: int, workerpool: str, wallet: str, nonce: str, expires: int) -> dict[str, Any]:
    """EIP-712 data that a worker signs to log in (valid for one pool on one chain)."""
    fields = {"worker": "address", "nonce": "bytes32", "expires": "uint256"}
    return typed_data("Login", fields, chain_id, workerpool, {"worker": wallet, "nonce": nonce, "expires": expires})


def operator_typed_data(chain_id: int, workerpool: str, worker: str, operator: str) -> dict[str, Any]:
    """EIP-712 data by which an operator's wallet says that a worker is its own (valid for one pool on one chain)."""
    message = {"worker": worker, "operator": operator}
    return typed_data("Operator", dict.fromkeys(message, "address"), chain_id, workerpool, message)


def operator_login_typed_data(chain_id: int, workerpool: str, wallet: str, nonce: str, expires: int) -> dict[str, Any]:
    """EIP-712 data that an operator of a pool signs to log in; no worker's login can be taken for it."""
    fields = {"operator": "address", "nonce": "bytes32", "expires": "uint256"}
    message = {"operator": wallet, "nonce": nonce, "expires": expires}
    return typed_data("OperatorLogin", fields, chain_id, workerpool, message)


def typed_data(
    name: str, fields: dict[str, str], chain_id: int, workerpool: str, message: dict[str, Any]
) -> dict[str, Any]:
    """EIP-712 data of one struct, in the domain of one pool on one chain."""
    return {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            name: [{"name": field, "type": kind} for field, kind in fields.items()],
        },
        "primaryType": name,
        "domain": {
            "name": "Positive Energy Worker",
            "version": str(PROTOCOL),
            "chainId": chain_id,
            "verifyingContract": workerpool,
        },
        "message": message,
    }
