"""What operators of the pool want of this worker: commands in, standing wishes out. Pure.

A wish is an input to the energy gate, which alone decides whether the worker runs, pauses or sleeps.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from poco.commands import (
    LONGEST_SECONDS,
    At,
    CommandKind,
    CommandState,
    RemoteSettings,
    Settings,
    SignedCommand,
    Until,
)
from poco.wire import Message


class Orders(Message):
    """The wishes that stand; instants are Unix seconds."""

    drain: bool = False
    pause_until: int | None = None
    wake_at: int | None = None
    settings: RemoteSettings = RemoteSettings()

    def paused(self, now: float) -> bool:
        return self.pause_until is not None and now < self.pause_until


@dataclass(frozen=True, slots=True)
class Commanded:
    """A command has arrived.

    Args:
        seq: the number of its notification.
        told: it came by the poll, in its place among the notifications; else by a broker, perhaps before its turn.
        command: what it says, None where it does not make sense.
        genuine: the pool's owner has signed it, for this worker.
        refusal: why it is not obeyed; empty where nothing speaks against it.
    """

    seq: int
    told: bool
    command: SignedCommand | None
    genuine: bool
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """What is said to a command; `state` None: the doctor has to be asked first."""

    seq: int
    state: CommandState | None
    answer: str = ""


class Inbox(NamedTuple):
    """What was taken over: the last notification, the last command (which may have come earlier), and the wishes."""

    acked: int
    commanded: int
    orders: Orders


def take(inbox: Inbox, event: Commanded, now: int) -> tuple[Inbox, list[Reply]]:
    """Each command once and in its turn; one that a broker brought before its turn is left to the poll."""
    if event.told:
        if event.seq <= inbox.acked:
            return inbox, []
        inbox = inbox._replace(acked=event.seq)
    command = event.command
    if command is None or not event.genuine:
        return inbox, [Reply(event.seq, CommandState.REFUSED, event.refusal)] if event.told else []
    if event.seq <= inbox.commanded or not (event.told or command.previous == inbox.commanded):
        return inbox, []
    inbox = inbox._replace(commanded=event.seq)
    if event.refusal:
        return inbox, [Reply(event.seq, CommandState.REFUSED, event.refusal[:1000])]
    orders, reply = obey(inbox.orders, command, now)
    return inbox._replace(orders=orders), [reply]


def obey(orders: Orders, command: SignedCommand, now: int) -> tuple[Orders, Reply]:
    """The wishes after a command whose arguments are those of its kind, and what is said to it."""

    def done(words: str, **changes: object) -> tuple[Orders, Reply]:
        return orders.model_copy(update=changes), Reply(command.seq, CommandState.DONE, words)

    def refused(words: str) -> tuple[Orders, Reply]:
        return orders, Reply(command.seq, CommandState.REFUSED, words)

    if command.expires < now:
        return orders, Reply(command.seq, CommandState.EXPIRED, f"it came at {clock(now)}")
    match command.kind:
        case CommandKind.DRAIN:
            return done("no new work is taken, what is open is finished", drain=True)
        case CommandKind.RESUME:
            return done("work is taken again as the energy allows", drain=False, pause_until=None)
        case CommandKind.PAUSE:
            until = Until.model_validate(command.arguments).until
            if not now < until <= now + LONGEST_SECONDS:
                return refused(f"{clock(until)} is over, or more than 90 days ahead")
            return done(f"no new work until {clock(until)}, what runs stands still", pause_until=until)
        case CommandKind.WAKE_AT:
            at = At.model_validate(command.arguments).at
            if not now < at <= now + LONGEST_SECONDS:
                return refused(f"{clock(at)} is over, or more than 90 days ahead")
            return done(f"awake at {clock(at)}, if the battery allows", wake_at=at)
        case CommandKind.DIAGNOSE:
            return orders, Reply(command.seq, None)
        case CommandKind.CONFIGURE:
            return _configure(orders, command)


def _configure(orders: Orders, command: SignedCommand) -> tuple[Orders, Reply]:
    asked = Settings.model_validate(command.arguments).settings.model_dump(exclude_unset=True)
    settings = orders.settings.model_copy(update=asked)
    said = ", ".join(f"{name} {'its own' if value is None else f'{value:g}'}" for name, value in asked.items())
    return orders.model_copy(update={"settings": settings}), Reply(command.seq, CommandState.DONE, said)


def clock(at: int) -> str:
    """An instant for people."""
    if at >= 253_402_300_800:  # the year 10000
        return f"instant {at}"
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
