"""HTTP calls of the market, as iExec's client makes them: order book, deals, secrets, and where a pool's service is."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from sqlalchemy import func, select
from starlette.concurrency import run_in_threadpool

from poco.errors import BadInputError
from poco.hexes import address, bytes32
from scheduler import order_filters as filters
from scheduler import tables as t
from scheduler.engine import Engine
from scheduler.gateway import Gateway
from scheduler.orderbook import KINDS, OrderBook
from scheduler.sms import APP_SECRET, Name, Secrets
from scheduler.web import HttpError

_DEAL_FILTERS = ("requester", "beneficiary", "app", "dataset", "workerpool")
_HASH_FILTERS = ("apporderHash", "datasetorderHash", "workerpoolorderHash", "requestorderHash")


@dataclass(frozen=True, slots=True)
class MarketServices:
    """What these calls are made of. `public_url`: where this scheduler is for others; the request's own where empty."""

    engine: Engine
    book: OrderBook
    gateway: Gateway
    secrets: Secrets
    chain_id: int
    workerpool: str
    public_url: str

    def check_chain(self, request: Request) -> None:
        asked = request.query_params.get("chainId")
        if asked is not None and asked != str(self.chain_id):
            raise HttpError(
                HTTPStatus.BAD_REQUEST, "WRONG_CHAIN", f"this book is of chain {self.chain_id}, not {asked[:20]}"
            )


def router(s: MarketServices) -> APIRouter:
    """The calls."""
    calls = APIRouter()

    @calls.get("/challenge")
    @calls.get("/results/challenge")
    def challenge(request: Request, address: str) -> dict[str, Any]:
        s.check_chain(request)
        return {"ok": True, "data": s.gateway.challenge(address, s.engine.now())}

    @calls.post("/results/login")
    async def storage_login(request: Request) -> Response:
        # iExec's client keeps the answer as its storage token; here workers upload with their own sessions
        said = (await request.body()).decode("utf-8", "replace")
        wallet = await run_in_threadpool(s.gateway.signer, said, s.engine.now())
        return PlainTextResponse(f"results of {wallet} are kept by pool {s.workerpool}")

    @calls.get("/deals")
    def deals(request: Request) -> dict[str, Any]:
        s.check_chain(request)
        return _deals(s, dict(request.query_params))

    @calls.get("/{chain_id}/workerpools/{pool}")
    def compass(chain_id: int, pool: str, request: Request) -> dict[str, str]:
        if chain_id != s.chain_id or address(pool) != s.workerpool:
            raise HttpError(HTTPStatus.NOT_FOUND, "NO_SUCH_POOL", f"this is the scheduler of pool {s.workerpool}")
        return {"apiUrl": s.public_url or str(request.base_url)}

    for kind in KINDS:
        _book(calls, s, kind)
    _secrets(calls, s)
    return calls


def _book(calls: APIRouter, s: MarketServices, kind: str) -> None:
    @calls.api_route(f"/{kind}orders", methods=["POST", "PUT"])
    async def change(request: Request) -> dict[str, Any]:
        s.check_chain(request)
        try:
            body = json.loads(await request.body())
        except (ValueError, RecursionError):
            raise HttpError(HTTPStatus.BAD_REQUEST, "BAD_REQUEST", "the request is not JSON") from None
        said, now = request.headers.get("authorization", ""), s.engine.now()
        wallet = await run_in_threadpool(s.gateway.signer, said, now)
        if request.method == "POST":
            return await run_in_threadpool(s.book.publish, kind, body, now)
        return await run_in_threadpool(s.book.unpublish, kind, body, wallet)

    @calls.get(f"/{kind}orders")
    def listing(request: Request) -> dict[str, Any]:
        s.check_chain(request)
        return s.book.list(kind, dict(request.query_params))

    @calls.get(f"/{kind}orders/{{order_hash}}")
    def one(order_hash: str, request: Request) -> dict[str, Any]:
        s.check_chain(request)
        found = s.book.get(kind, order_hash)
        if found is None:
            raise HttpError(HTTPStatus.NOT_FOUND, "NO_SUCH_ORDER", f"order {order_hash[:70]} is not in this book")
        return found


def _deals(s: MarketServices, query: dict[str, str]) -> dict[str, Any]:
    """A page of deals, the newest first."""
    page, size = filters.page(query)
    where = [t.deals.c[name] == address(query[name]) for name in _DEAL_FILTERS if name in query]
    where += [
        t.deals.c[name.replace("orderHash", "order_hash")] == bytes32(query[name])
        for name in _HASH_FILTERS
        if name in query
    ]
    if not where:
        raise BadInputError("which deals?", hint=f"say one of {', '.join(_DEAL_FILTERS + _HASH_FILTERS)}")
    chosen = select(t.deals.c.body).where(*where).order_by(t.deals.c.block.desc(), t.deals.c.id)
    with s.engine.store.read() as db:
        count = db.scalar(select(func.count()).select_from(t.deals).where(*where)) or 0
        found = [{**body, "chainId": s.chain_id} for body in db.scalars(chosen.offset(page * size).limit(size))]
    more = {"nextPage": page + 1} if (page + 1) * size < count else {}
    return {"ok": True, "deals": found, "count": count, **more}


def _secrets(calls: APIRouter, s: MarketServices) -> None:
    async def answer(request: Request, name: Name) -> Response:
        if request.method == "HEAD":
            known = await run_in_threadpool(s.secrets.exists, name)
            return Response(status_code=HTTPStatus.NO_CONTENT if known else HTTPStatus.NOT_FOUND)
        value, said = await request.body(), request.headers.get("authorization", "")
        update = request.method == "PUT"
        await run_in_threadpool(lambda: s.secrets.push(name, value, said, s.engine.now(), update=update))
        return Response(status_code=HTTPStatus.NO_CONTENT)

    @calls.api_route("/secrets/web3", methods=["HEAD", "POST"])
    async def of_contract(request: Request) -> Response:
        return await answer(request, Name("web3", address(request.query_params.get("secretAddress", ""))))

    @calls.api_route("/secrets/web2", methods=["HEAD", "POST", "PUT"])
    async def of_wallet(request: Request) -> Response:
        asked = request.query_params
        return await answer(request, Name("web2", address(asked.get("ownerAddress", "")), asked.get("secretName", "")))

    @calls.api_route("/apps/{app}/secrets", methods=["HEAD", "POST"])
    async def of_app(app: str, request: Request) -> Response:
        return await answer(request, Name("app", address(app), APP_SECRET))

    @calls.api_route("/requesters/{requester}/secrets/{name}", methods=["HEAD", "POST"])
    async def of_requester(requester: str, name: str, request: Request) -> Response:
        return await answer(request, Name("requester", address(requester), name))
