"""Commands of a pool's operator to workers: what they may say, and the signature that binds each to one worker.

A command may come by a carrier that is not trusted (an MQTT broker), so that everything it says is signed by the
scheduler's wallet: for whom, in which place of the row of commands, until when.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from poco.errors import BadInputError
from poco.logtext import plain
from poco.wire import Message, Quantity, Seconds, Signature, typed_data

#: The task that a command is about: none.
NO_TASK = "0x" + "00" * 32
MAX_ANSWER_CHARS = 60_000
#: A command waits so long for a worker where nothing else is said, and at most, seconds.
EXPIRE_SECONDS = 3 * 86_400
LONGEST_SECONDS = 90 * 86_400


class CommandKind(StrEnum):
    """What may be asked of a worker. Its energy gate hears it, and decides whether to run, pause or sleep."""

    DRAIN = "DRAIN"  # take no new work, finish what is open
    RESUME = "RESUME"  # the end of a drain or a pause
    PAUSE = "PAUSE"  # take no new work and halt what runs, until an instant
    WAKE_AT = "WAKE_AT"  # be awake at an instant, if the battery allows
    DIAGNOSE = "DIAGNOSE"  # the doctor's report is the answer
    CONFIGURE = "CONFIGURE"  # change some settings


class CommandState(StrEnum):
    """How a command stands: it waits for its worker, was taken over by it, or has ended."""

    QUEUED = "QUEUED"
    DELIVERED = "DELIVERED"
    DONE = "DONE"
    REFUSED = "REFUSED"
    EXPIRED = "EXPIRED"


class Nothing(Message):
    """Arguments of DRAIN, RESUME and DIAGNOSE."""


class Until(Message):
    """Arguments of PAUSE: Unix seconds."""

    until: Seconds


class At(Message):
    """Arguments of WAKE_AT: Unix seconds."""

    at: Seconds


class RemoteSettings(Message):
    """What an operator of the pool may set from afar; None gives the worker its own setting back.

    Nothing of a worker's keys, addresses, money, or of what protects the device is here.
    """

    poll_seconds: Annotated[int, Field(ge=1, le=120)] | None = None
    drain_seconds: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] | None = None
    telemetry_seconds: Annotated[int, Field(ge=900, le=86_400)] | None = None


class Settings(Message):
    """Arguments of CONFIGURE."""

    settings: RemoteSettings

    @model_validator(mode="after")
    def _something(self) -> Settings:
        if not self.settings.model_fields_set:
            raise ValueError(f"name at least one of {', '.join(RemoteSettings.model_fields)}")
        return self


ARGUMENTS: dict[CommandKind, type[Message]] = {
    CommandKind.DRAIN: Nothing,
    CommandKind.RESUME: Nothing,
    CommandKind.PAUSE: Until,
    CommandKind.WAKE_AT: At,
    CommandKind.DIAGNOSE: Nothing,
    CommandKind.CONFIGURE: Settings,
}


def checked(kind: CommandKind, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments as they are sent; BadInputError says what that kind does not take."""
    try:
        return ARGUMENTS[kind].model_validate(arguments).model_dump(exclude_unset=True)
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'arguments'}: {e['msg']}" for e in error.errors()[:5])
        takes = ", ".join(ARGUMENTS[kind].model_fields) or "no arguments"
        raise BadInputError(f"{kind}: {said}"[:1000], hint=f"{kind} takes {takes}", code="BAD_COMMAND") from None


class Command(Message):
    """One command. `seq` is that of its notification; `previous` that of the worker's command before it, else 0."""

    seq: Quantity
    previous: Quantity
    kind: CommandKind
    arguments: dict[str, Any]
    expires: Seconds

    @field_validator("arguments")
    @classmethod
    def _bounded(cls, value: dict[str, Any]) -> dict[str, Any]:
        if len(canonical(value)) > 2000:
            raise ValueError("more than 2000 characters")
        return value


class SignedCommand(Command):
    """A command as it travels."""

    signature: Signature


class CommandAnswer(Message):
    """What became of a command: DONE, REFUSED or EXPIRED, and what the worker says to it."""

    state: Annotated[CommandState, Field(strict=False)]
    answer: Annotated[str, Field(max_length=MAX_ANSWER_CHARS), AfterValidator(plain)] = ""

    @field_validator("state")
    @classmethod
    def _ended(cls, value: CommandState) -> CommandState:
        if value in (CommandState.QUEUED, CommandState.DELIVERED):
            raise ValueError("a command is answered by DONE, REFUSED or EXPIRED")
        return value


def canonical(arguments: dict[str, Any]) -> str:
    """JSON with sorted keys and no blanks: one text for one meaning."""
    return json.dumps(arguments, sort_keys=True, separators=(",", ":"))


def command_typed_data(chain_id: int, workerpool: str, worker: str, command: Command) -> dict[str, Any]:
    """EIP-712 data that the scheduler's wallet signs for one command to one worker."""
    fields = {
        "worker": "address",
        "seq": "uint256",
        "previous": "uint256",
        "kind": "string",
        "arguments": "string",
        "expires": "uint256",
    }
    message = {
        "worker": worker,
        "seq": command.seq,
        "previous": command.previous,
        "kind": command.kind.value,
        "arguments": canonical(command.arguments),
        "expires": command.expires,
    }
    return typed_data("Command", fields, chain_id, workerpool, message)
