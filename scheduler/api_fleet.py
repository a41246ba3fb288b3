"""HTTP calls of operators, who command the pool's workers, and of the workers' answers to them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import Field

from poco.commands import CommandAnswer, CommandKind
from poco.topics import BrokerAccess
from poco.wire import Address, Challenge, ChallengeRequest, LoginRequest, Message, Quantity, Sample, Seconds, Session
from scheduler import fleet_commands, telemetry, web
from scheduler.broker import Broker
from scheduler.engine import Engine
from scheduler.sessions import Sessions
from scheduler.web import HttpError

#: Workers that one call commands, and commands that one call lists.
MOST_WORKERS = 1000
MOST_LISTED = 1000


class CommandRequest(Message):
    """What an operator asks of some workers; `expires` in Unix seconds, in three days where it is not said."""

    workers: Annotated[list[Address], Field(min_length=1, max_length=MOST_WORKERS)]
    kind: CommandKind
    arguments: Annotated[dict[str, Any], Field(default_factory=dict)]
    expires: Seconds | None = None


@dataclass(frozen=True, slots=True)
class FleetServices:
    """What these calls are made of."""

    engine: Engine
    operators: Sessions
    broker: Broker | None = None


def router(s: FleetServices, worker_of: Callable[[Request], Awaitable[str]]) -> APIRouter:
    """The calls; `worker_of` finds whose worker's session a request shows."""
    calls = APIRouter()

    def operator_of(request: Request) -> str:
        return s.operators.wallet_of(web.bearer(request), s.engine.now())

    @calls.post("/operators/challenge")
    def challenge(body: ChallengeRequest) -> Challenge:
        return s.operators.challenge(body.wallet, s.engine.now())

    @calls.post("/operators/login")
    def login(body: LoginRequest) -> Session:
        return s.operators.login(body, s.engine.now())

    @calls.delete("/operators/login", status_code=HTTPStatus.NO_CONTENT, dependencies=[Depends(operator_of)])
    def logout(request: Request) -> None:
        s.operators.revoke(web.bearer(request))

    @calls.post("/fleet/commands")
    def command(body: CommandRequest, operator: str = Depends(operator_of)) -> dict[str, list[int]]:
        ids = fleet_commands.send(s.engine, body.workers, body.kind, body.arguments, by=operator, expires=body.expires)
        return {"commands": ids}

    @calls.get("/fleet/commands", dependencies=[Depends(operator_of)])
    def commands(
        worker: Address | None = None,
        limit: Annotated[int, Query(ge=1, le=MOST_LISTED)] = 200,
    ) -> dict[str, list[dict[str, Any]]]:
        with s.engine.store.read() as db:
            found = fleet_commands.listed(db, worker, limit, s.engine.now())
        return {"commands": [asdict(each) for each in found]}

    @calls.get("/fleet/telemetry", dependencies=[Depends(operator_of)])
    def quarters(worker: Address, day: Annotated[int, Query(ge=0, le=999_999)]) -> list[Sample]:
        with s.engine.store.read() as db:
            return telemetry.day(db, worker, day)

    @calls.get("/workers/me/broker")
    def broker(wallet: str = Depends(worker_of)) -> BrokerAccess:
        if s.broker is None:
            raise HttpError(HTTPStatus.NOT_FOUND, "NO_BROKER", "this pool has no MQTT broker", "polls do without one")
        return s.broker.access(wallet)

    @calls.post("/workers/me/commands/{seq}", status_code=HTTPStatus.NO_CONTENT)
    def answer(seq: Quantity, body: CommandAnswer, wallet: str = Depends(worker_of)) -> None:
        now = s.engine.now()
        if not s.engine.store.transact(lambda db: fleet_commands.answered(db, wallet, seq, body, now)):
            raise HttpError(HTTPStatus.NOT_FOUND, "NO_SUCH_COMMAND", f"this worker was given no command {seq}")

    return calls
