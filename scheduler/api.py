"""The scheduler's HTTP calls (docs/architecture.md, "Worker and scheduler: HTTP")."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse, StreamingResponse
from pydantic import Field
from sqlalchemy import delete, insert
from starlette.concurrency import run_in_threadpool

from poco.hexes import bytes32
from poco.states import ReplicateStatus as R
from poco.wire import (
    Challenge,
    ChallengeRequest,
    LedgerDay,
    LoginRequest,
    PoolConfig,
    Session,
    StatusAnswer,
    StatusUpdate,
    WorkerInfo,
)
from scheduler import api_fleet, api_market, api_page, api_results, enrolments, owners, store, web
from scheduler import model as m
from scheduler import tables as t
from scheduler.api_fleet import FleetServices
from scheduler.api_market import MarketServices
from scheduler.api_page import PageServices
from scheduler.api_results import ResultServices
from scheduler.engine import Engine
from scheduler.enrolments import Enrolments
from scheduler.ledgers import LAST_DAY, Ledgers
from scheduler.load import Gate, Load
from scheduler.metrics import CONTENT_TYPE, Metrics
from scheduler.polls import Polls
from scheduler.replica import Replica
from scheduler.sessions import Sessions
from scheduler.settings import Settings
from scheduler.views import Views
from scheduler.web import HttpError


@dataclass(frozen=True, slots=True)
class Services:
    """What the calls are made of."""

    settings: Settings
    load: Load
    engine: Engine
    replica: Replica
    sessions: Sessions
    results: ResultServices
    views: Views
    metrics: Metrics
    market: MarketServices
    ledgers: Ledgers
    fleet: FleetServices
    enrolments: Enrolments
    page: PageServices

    @property
    def pool(self) -> PoolConfig:
        return self.settings.pool


async def wallet_of(request: Request) -> str:
    """Whose session the request shows; the store is asked for a session that was not used lately."""
    services: Services = request.app.state.services
    token, now = web.bearer(request), services.engine.now()
    known = services.sessions.remembered(token, now)
    if known is not None:
        return known
    return await run_in_threadpool(services.sessions.wallet_of, token, now)


Worker = Annotated[str, Depends(wallet_of)]
Day = Annotated[int, Field(ge=0, le=LAST_DAY)]


def build(s: Services) -> FastAPI:
    """The application."""
    app = FastAPI(title="Positive Energy Worker: scheduler", docs_url=None, redoc_url=None, openapi_url=None)
    web.install(app)
    app.add_middleware(Gate, load=s.load)
    app.state.services = s
    polls = app.state.polls = Polls(s.engine, s.settings, s.load)

    # the two calls that all workers make all the time do without what FastAPI does around a call
    async def poll(request: Request) -> Response:
        return await polls.answer(request, await wallet_of(request))

    async def report(request: Request) -> Response:
        wallet = await wallet_of(request)
        body = web.parse(StatusUpdate, await request.body())
        task_id = bytes32(request.path_params["task_id"])
        answer = await run_in_threadpool(_report, s, task_id, body, wallet)
        return Response(answer.model_dump_json(), media_type="application/json")

    app.add_route("/poll", poll, methods=["POST"])
    app.add_route("/tasks/{task_id}/status", report, methods=["POST"])

    @app.get("/config")
    async def config() -> PoolConfig:
        return s.pool

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(s.metrics.text(), media_type=CONTENT_TYPE)

    @app.get("/health")
    def health() -> JSONResponse:
        found = s.metrics.health()
        if found["ok"]:
            return JSONResponse(found)
        again = {"Retry-After": str(web.RETRY_SECONDS)}
        return JSONResponse(found, HTTPStatus.SERVICE_UNAVAILABLE, headers=again)

    @app.post("/login/challenge")
    def challenge(body: ChallengeRequest) -> Challenge:
        return s.sessions.challenge(body.wallet, s.engine.now())

    @app.post("/login")
    def login(body: LoginRequest) -> Session:
        return s.sessions.login(body, s.engine.now())

    @app.delete("/login", status_code=HTTPStatus.NO_CONTENT, dependencies=[Depends(wallet_of)])
    def logout(request: Request) -> None:
        s.sessions.revoke(web.bearer(request))

    @app.put("/workers/me", status_code=HTTPStatus.NO_CONTENT)
    def register(body: WorkerInfo, wallet: Worker, request: Request) -> None:
        now = s.engine.now()
        operator = owners.verified(body.operator, s.pool.chain_id, s.pool.workerpool, wallet)
        network = s.engine.owners.network(request.client.host if request.client else None)
        s.engine.store.transact(lambda db: store.ensure_worker(db, wallet, now))
        s.engine.roll.register(wallet, body, now, operator=operator, network=network)
        s.engine.flush()
        s.engine.arrived(wallet)

    @app.put("/workers/me/ledger/{day}", status_code=HTTPStatus.NO_CONTENT)
    def publish_ledger(day: Day, body: LedgerDay, wallet: Worker) -> None:
        s.ledgers.take(wallet, day, body)

    @app.get("/ledgers/{wallet}")
    def ledger(wallet: str, first: Day = 0, last: Day = LAST_DAY) -> Response:
        found = s.ledgers.lines(wallet, first, last)
        if found is None:
            raise HttpError(HTTPStatus.NOT_FOUND, "NO_LEDGER", f"no energy ledger of {wallet[:70]} was published here")
        return StreamingResponse(found, media_type="application/jsonl")

    @app.get("/status")
    def status() -> dict[str, Any]:
        return s.views.status(s.pool.workerpool)

    @app.get("/tasks/{task_id}")
    def task(task_id: str) -> dict[str, Any]:
        found = s.views.task(bytes32(task_id))
        if found is None:
            raise HttpError(HTTPStatus.NOT_FOUND, "NO_SUCH_TASK", f"there is no task {task_id} in this pool")
        return found

    app.include_router(api_market.router(s.market))
    app.include_router(api_results.router(s.results, wallet_of))
    app.include_router(api_fleet.router(s.fleet, wallet_of))
    app.include_router(enrolments.router(s.enrolments, s.fleet.operators, s.engine.now))
    app.mount("/page", api_page.build(s.page))

    @app.get("/", include_in_schema=False)
    def root() -> RedirectResponse:
        return RedirectResponse("/page/")

    return app


def _report(s: Services, task_id: str, body: StatusUpdate, wallet: str) -> StatusAnswer:
    if body.exit_code is not None or body.reason or body.logs is not None:
        _keep_report(s, task_id, body, wallet)
    event = m.Reported(wallet, body.status, body.cause)
    if body.status in {R.CONTRIBUTED, R.REVEALED, R.COMPLETED}:
        s.replica.look()
    verdict = s.engine.report(task_id, wallet, event)
    if verdict is None:
        raise HttpError(
            HTTPStatus.CONFLICT,
            "IMPOSSIBLE_STATUS",
            f"{body.status} cannot be now, by what is known of this replicate and by the chain",
            "report what has happened, in its order, after it is mined",
        )
    return StatusAnswer(verdict=verdict)


def _keep_report(s: Services, task_id: str, body: StatusUpdate, wallet: str) -> None:
    with s.engine.store.write() as db:
        task = store.load_task(db, task_id)
        if task is None or task.replicate(wallet) is None:
            return
        db.execute(delete(t.reports).where((t.reports.c.task_id == task_id) & (t.reports.c.worker == wallet)))
        row = {"exit_code": body.exit_code, "reason": body.reason}
        db.execute(insert(t.reports).values(task_id=task_id, worker=wallet, **row))
    if body.logs is not None:
        s.results.logs.finish(task_id, wallet, body.logs)
