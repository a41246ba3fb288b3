"""MQTT topics and messages between the workers of a pool and its scheduler. What a broker carries is not believed.

Topics are `pew/v1/<pool>/<wallet>/<leaf>`, addresses in lower case. A worker may write its `presence`, `telemetry` and
`ack`, and read its `command`; nothing of another's.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field

from poco.hexes import address
from poco.wire import MAX_SAMPLES, Message, Quantity, Sample, Seconds, Signature, typed_data

ROOT = "pew/v1"
#: Nothing that is larger is looked at, bytes.
MAX_COMMAND_BYTES = 4096
MAX_TELEMETRY_BYTES = 65_536
_TOPIC = re.compile(r"pew/v1/(0x[0-9a-f]{40})/(0x[0-9a-f]{40})/(presence|telemetry|command|ack)")


class Leaf(StrEnum):
    PRESENCE = "presence"
    TELEMETRY = "telemetry"
    COMMAND = "command"
    ACK = "ack"


#: What a worker writes; it reads `COMMAND` alone.
WRITTEN = (Leaf.PRESENCE, Leaf.TELEMETRY, Leaf.ACK)


def topic(pool: str, wallet: str, leaf: Leaf) -> str:
    """The topic of one worker; `+` in place of the wallet for those of all."""
    return f"{ROOT}/{pool.lower()}/{wallet.lower()}/{leaf}"


def parse(name: str) -> tuple[str, str, Leaf] | None:
    """(pool, wallet, leaf) of a topic; None for any other."""
    found = _TOPIC.fullmatch(name)
    return (address(found[1]), address(found[2]), Leaf(found[3])) if found else None


def user_of(wallet: str) -> str:
    """A worker's name at the broker, and the only client id that it may use."""
    return wallet.lower()


class Contact(StrEnum):
    """How a worker's connection to the broker stands; UNKNOWN is its last will."""

    ONLINE = "online"
    ASLEEP = "asleep"
    UNKNOWN = "unknown"


class PresenceNote(Message):
    """Retained. It speeds up what the scheduler learns by HTTP, and is no more than a hint."""

    presence: Contact
    resume_at: Seconds | None = None


class TelemetryNote(Message):
    """Quarter hours that are over."""

    samples: Annotated[list[Sample], Field(min_length=1, max_length=MAX_SAMPLES)]


class AckNote(Message):
    """The worker has taken over the command of that number."""

    seq: Quantity


class PollNow(Message):
    """A hint on the command topic: there is something to poll for. Signed by the pool's owner (`poll_now_data`)."""

    poll_now: Seconds
    signature: Signature


class BrokerAccess(Message):
    """What a worker needs to use the pool's broker.

    `poll_seconds`: how long it may have a poll held while it is connected there and has no task; 0: as without.
    """

    host: Annotated[str, Field(max_length=253)]
    port: Annotated[int, Field(ge=1, le=65535)]
    tls: bool
    username: Annotated[str, Field(max_length=100)]
    password: Annotated[str, Field(max_length=200)]
    keepalive_seconds: Annotated[int, Field(ge=10, le=3600)]
    poll_seconds: Annotated[int, Field(ge=0, le=3600)]


def poll_now_data(chain_id: int, workerpool: str, worker: str, at: int) -> dict[str, Any]:
    """EIP-712 data of a hint to one worker, made at that Unix second."""
    return typed_data(
        "PollNow", {"worker": "address", "at": "uint256"}, chain_id, workerpool, {"worker": worker, "at": at}
    )
