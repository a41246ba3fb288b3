"""The pages for people, below `/page`: read by anybody, with actions for operators who have logged in.

Everything that a worker or a requester has written is escaped, nothing inline runs, and each page is made at most once
a second by threads of its own (`scheduler.page.render`): readers do not get in the way of workers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from importlib import resources
from typing import Any
from urllib.parse import quote, urlencode

from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from poco.errors import BadInputError, PewError
from poco.hexes import address, bytes32
from poco.states import Presence, TaskStatus
from poco.wire import operator_login_typed_data
from scheduler import fleet_commands, web
from scheduler.engine import Engine
from scheduler.ledgers import Ledgers
from scheduler.log import log
from scheduler.page import asked, fleet, plot, work, worldmap
from scheduler.page import day as days
from scheduler.page.audit import Audits
from scheduler.page.earnings import Earnings
from scheduler.page.operator import (
    KINDS,
    Operator,
    command,
    fields,
    forget,
    one,
    operator_of,
    remember,
    require_ours,
)
from scheduler.page.render import HEADERS, Renderer, answer
from scheduler.replica import Replica
from scheduler.sessions import Sessions
from scheduler.settings import Settings
from scheduler.views import Views
from scheduler.web import HttpError

Handler = Callable[[Request], Awaitable[Response]]
#: Changes of tasks on the first page, commands on a worker's and on the operator's.
RECENT, COMMANDS = 8, 50
_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class PageServices:
    """What the pages are made of."""

    engine: Engine
    replica: Replica
    views: Views
    ledgers: Ledgers
    operators: Sessions
    settings: Settings


def build(s: PageServices) -> Starlette:
    """The application that is mounted at `/page`."""
    pages = _Pages(s)
    routes = [
        Route("/", pages.safe(pages.fleet)),
        Route("/workers/{wallet}", pages.safe(pages.worker)),
        Route("/deals", pages.safe(pages.deals)),
        Route("/deals/{deal_id}", pages.safe(pages.deal)),
        Route("/tasks/{task_id}", pages.safe(pages.task)),
        Route("/search", pages.safe(pages.search)),
        Route("/operator", pages.safe(pages.operator)),
        Route("/operator/link", pages.safe(pages.link)),
        Route("/operator/login", pages.safe(pages.login), methods=["POST"]),
        Route("/operator/logout", pages.safe(pages.logout), methods=["POST"]),
        Route("/command", pages.safe(pages.command), methods=["POST"]),
        Route("/static/{name}", pages.safe(pages.static)),
    ]
    return Starlette(routes=routes, exception_handlers={HTTPException: pages.refused})


class _Pages:
    def __init__(self, s: PageServices) -> None:
        self._s = s
        self._renderer = Renderer()
        self._earnings = Earnings(s.engine.store)
        self._audits = Audits(s.ledgers)
        folder = resources.files("scheduler.page") / "static"
        self._files = {each.name: each.read_bytes() for each in folder.iterdir() if each.is_file()}
        marks = hashlib.sha256(b"".join(self._files[name] for name in sorted(self._files)))
        self._version = marks.hexdigest()[:12]

    # --- pages that anybody reads

    async def fleet(self, request: Request) -> Response:
        question = asked.question(request)
        who = await self._who(request)

        def make() -> bytes:
            earned = self._earnings.sums()
            now = self._s.engine.clock()
            everybody = fleet.everybody(self._s.engine.roll, now, earned)
            with self._s.engine.store.read() as db:
                found = fleet.listing(db, everybody, question)
                recent = work.recent(db, RECENT)
            said = {"q": question.words, "state": question.state or "", "sort": question.sort}
            return self._html(
                "fleet.html",
                who,
                "fleet",
                summary=fleet.summary(everybody),
                listing=found,
                question=question,
                address_of=lambda **changes: asked.query({**said, "down": int(question.down), **changes}),
                world=worldmap.draw(everybody, self._static("land.svg")),
                placed=sum(1 for row in everybody if row.seen.site),
                recent=recent,
                counted=earned is not None,
                status=self._s.views.money(),
                tasks=self._task_counts(),
                presences=list(Presence),
                kinds=KINDS,
            )

        return await self._renderer.page(request, make, self._key(who))

    async def worker(self, request: Request) -> Response:
        wallet = address(request.path_params["wallet"])
        number = days.number_of(request.query_params.get("day", ""))
        seen = self._s.engine.roll.get(wallet)
        if seen is None:
            raise HttpError(HTTPStatus.NOT_FOUND, "NO_SUCH_WORKER", f"there is no worker {wallet} in this pool")
        who = await self._who(request)

        def make() -> bytes:
            s, earned = self._s, self._earnings.sums()
            row = fleet.Row(
                seen, s.engine.roll.presence(seen, s.engine.clock()), None if earned is None else earned.get(wallet, 0)
            )
            with s.engine.store.read() as db:
                fleet.complete(db, [row])
                day = days.read(db, s.ledgers, wallet, number)
                commands = fleet_commands.listed(db, wallet, COMMANDS, s.engine.now()) if who else []
            published, audit = self._audits.outcome(wallet)
            described = plot.in_words(day) if day else ""
            return self._html(
                "worker.html",
                who,
                "fleet",
                row=row,
                day=day,
                described=described,
                picture=plot.draw(day, described) if day and day.known else None,
                around=days.around(day.days, day.number) if day else (None, None),
                published=published,
                audit=audit,
                green=s.engine.funds.is_green(wallet),
                commands=commands,
                kinds=KINDS,
            )

        return await self._renderer.page(request, make, self._key(who))

    async def deals(self, request: Request) -> Response:
        words, who = request.query_params.get("q", "").strip()[:70], await self._who(request)
        sought = address(words) if words else ""

        def make() -> bytes:
            with self._s.engine.store.read() as db:
                found = work.deals(db, self._s.settings.pool.workerpool, asked.number(request, "page", 1), sought)
            return self._html("deals.html", who, "deals", found=found, words=words, query=asked.query)

        return await self._renderer.page(request, make, self._key(who))

    async def deal(self, request: Request) -> Response:
        deal_id, who = bytes32(request.path_params["deal_id"]), await self._who(request)
        name = request.query_params.get("status", "")
        status = TaskStatus(name) if name in TaskStatus.__members__ else None
        first = asked.number(request, "from", 0)

        def make() -> bytes:
            with self._s.engine.store.read() as db:
                row = work.deal(db, deal_id)
                found = work.tasks(db, row, asked.number(request, "page", 1), status, first) if row else None
            if row is None:
                raise HttpError(HTTPStatus.NOT_FOUND, "NO_SUCH_DEAL", f"there is no deal {deal_id} in this pool")
            return self._html(
                "deal.html", who, "deals", deal=row, found=found, status=status, first=first, names=self._names(),
                statuses=list(TaskStatus), query=asked.query,
            )  # fmt: skip

        return await self._renderer.page(request, make, self._key(who))

    async def task(self, request: Request) -> Response:
        task_id, who = bytes32(request.path_params["task_id"]), await self._who(request)

        def make() -> bytes:
            with self._s.engine.store.read() as db:
                found = work.task(db, task_id)
            if found is None:
                raise HttpError(HTTPStatus.NOT_FOUND, "NO_SUCH_TASK", f"there is no task {task_id} in this pool")
            return self._html(
                "task.html", who, "deals", view=found, task=found.task, names=self._names(), described=_DESCRIBED
            )

        return await self._renderer.page(request, make, self._key(who))

    async def search(self, request: Request) -> Response:
        words = request.query_params.get("q", "").strip()[:200]
        where = await run_in_threadpool(self._leads_to, words)
        return RedirectResponse(request.scope["root_path"] + where, HTTPStatus.SEE_OTHER, HEADERS)

    def _leads_to(self, words: str) -> str:
        """The page that a search leads to: of a task, deal or wallet, else the fleet with those words."""
        if len(words) == 66 and words.startswith("0x"):
            with self._s.engine.store.read() as db:
                found = work.holder(db, bytes32(words))
            if not found:
                raise HttpError(HTTPStatus.NOT_FOUND, "NOT_FOUND", f"this pool has no task and no deal {words}")
            return f"/{found}"
        if len(words) == 42 and words.startswith("0x"):
            wallet = address(words)
            known = self._s.engine.roll.get(wallet) is not None
            return f"/workers/{wallet}" if known else f"/deals?q={wallet}"
        return f"/?{urlencode({'q': words})}"

    # --- operators

    async def operator(self, request: Request) -> Response:
        who = await self._who(request)

        def make() -> bytes:
            commands = []
            if who:
                with self._s.engine.store.read() as db:
                    commands = fleet_commands.listed(db, None, COMMANDS, self._s.engine.now())
            pool = self._s.settings.pool
            typed = operator_login_typed_data(pool.chain_id, pool.workerpool, pool.scheduler, "0x" + "00" * 32, 0)
            return self._html(
                "operator.html", who, "operator", commands=commands, names=self._names(), typed=typed, request=None
            )

        return await self._renderer.page(request, make, self._key(who))

    async def link(self, request: Request) -> Response:
        """The page behind the link that `pew fleet login` prints: nothing is used up before its button is pressed."""
        login = asked.login(request.query_params.get)
        shown: dict[str, Any] = {"commands": [], "names": {}, "typed": None, "request": login}
        body = await run_in_threadpool(lambda: self._html("operator.html", None, "operator", **shown))
        return answer(body, request)

    async def login(self, request: Request) -> Response:
        form = await fields(request)
        now = self._s.engine.now()
        session = await run_in_threadpool(self._s.operators.login, asked.login(lambda name: one(form, name)), now)
        response = self._to(request, "/operator")
        remember(response, session, now, secure=self._secure(request))
        return response

    async def logout(self, request: Request) -> Response:
        form = await fields(request)
        who = require_ours(await self._who(request), form)
        await run_in_threadpool(self._s.operators.revoke, who.token)
        response = self._to(request, "/operator")
        forget(response)
        return response

    async def command(self, request: Request) -> Response:
        form = await fields(request)
        who = require_ours(await self._who(request), form)
        now = self._s.engine.now()
        kind, arguments = command(form, now)
        workers = [address(each) for each in dict.fromkeys(form.get("worker", []))]
        if not workers:
            raise BadInputError("no worker is chosen", hint="mark at least one")
        await run_in_threadpool(lambda: fleet_commands.send(self._s.engine, workers, kind, arguments, by=who.wallet))
        self._renderer.forget(self._key(who))
        log("page_command", by=who.wallet, kind=kind.value, workers=len(workers))
        return self._to(request, f"/workers/{workers[0]}#commands" if len(workers) == 1 else "/operator#commands")

    # --- what all share

    async def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        body = self._files.get(name)
        if body is None:
            raise HttpError(HTTPStatus.NOT_FOUND, "NOT_FOUND", f"there is no file {name[:60]}")
        fresh = request.query_params.get("v") == self._version
        headers = {**HEADERS, "Cache-Control": "public, max-age=31536000, immutable" if fresh else "no-cache"}
        return Response(body, headers=headers, media_type=_TYPES[name.rpartition(".")[2]])

    def safe(self, handler: Handler) -> Handler:
        """The same, where every error ends as a page."""

        async def answered(request: Request) -> Response:
            try:
                return await handler(request)
            except PewError as error:
                return await self.refused(request, error)
            except Exception as error:
                log("page_failed", level="error", path=request.url.path[:200], error=repr(error)[:500])
                away = isinstance(error, SQLAlchemyError)
                said = "the database does not answer" if away else "the scheduler failed to make this page"
                hint = "it is tried again by itself" if away else "see the scheduler's log"
                return await self.refused(request, PewError(said, hint=hint, code="INTERNAL_ERROR"))

        return answered

    async def refused(self, request: Request, error: Exception) -> Response:
        """A refusal as a page."""
        status, code, message, hint = int(HTTPStatus.NOT_FOUND), "", "there is no such page", ""
        if isinstance(error, PewError):
            status, code, message, hint = web.status_of(error), error.code, error.message, error.hint
        elif isinstance(error, HTTPException) and error.status_code != HTTPStatus.NOT_FOUND:
            status, message = error.status_code, error.detail
        shown: dict[str, Any] = {"status": status, "code": code, "message": message, "hint": hint}
        body = await run_in_threadpool(lambda: self._html("problem.html", None, "", **shown))
        response = answer(body, request, status)
        if status == HTTPStatus.SERVICE_UNAVAILABLE:
            response.headers["Retry-After"] = str(getattr(error, "retry_after", None) or web.RETRY_SECONDS)
        return response

    async def _who(self, request: Request) -> Operator | None:
        return await operator_of(request, self._s.operators, self._s.engine.now())

    @staticmethod
    def _key(who: Operator | None) -> str:
        return who.form_token if who else ""

    def _html(self, template: str, who: Operator | None, part: str, **values: Any) -> bytes:
        s = self._s
        replica = s.replica
        return self._renderer.html(
            template,
            who=who,
            part=part,
            pool=s.settings.pool,
            chain={"block": replica.block, "caught_up": replica.caught_up, "trouble": replica.trouble},
            sending_trouble=replica.sending_trouble,
            static=self._static,
            **values,
        )

    def _static(self, name: str) -> str:
        return f"/page/static/{name}?v={self._version}"

    def _names(self) -> dict[str, str]:
        return {seen.wallet: seen.name for seen in self._s.engine.roll.all()}

    def _task_counts(self) -> dict[str, int]:
        from scheduler import store

        with self._s.engine.store.read() as db:
            return store.count_by_status(db)

    def _secure(self, request: Request) -> bool:
        public = self._s.settings.config.public_url or ""
        return request.url.scheme == "https" or public.startswith("https:")

    @staticmethod
    def _to(request: Request, where: str) -> Response:
        path, mark, anchor = where.partition("#")
        target = quote(request.scope["root_path"] + path) + mark + anchor
        return RedirectResponse(target, HTTPStatus.SEE_OTHER, {**HEADERS, "Cache-Control": "no-store"})


#: What the statuses mean, for those who see them for the first time.
_DESCRIBED = {
    "RECEIVED": "the deal is known; initialize waits",
    "INITIALIZED": "open on chain; waits for workers",
    "RUNNING": "workers are at it",
    "CONSENSUS_REACHED": "enough agree; they reveal",
    "RESULT_UPLOADING": "a winner sends the result",
    "RESULT_UPLOADED": "the result was checked; finalize waits",
    "COMPLETED": "paid",
    "FAILED": "given back",
}
