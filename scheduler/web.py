"""What every HTTP call shares: bounded bodies, errors in one form, who is calling."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chain.client import ChainUnreachableError
from poco.errors import BadInputError, PewError
from poco.wire import ErrorBody
from scheduler.challenges import ChallengeError, TooManyError
from scheduler.commits import CommitError
from scheduler.log import log
from scheduler.orderbook import SignatureError
from scheduler.postgres import StoreUnreachableError
from scheduler.results import ResultRefusedError
from scheduler.sessions import LoginError
from scheduler.sms import ExistsError, NotAllowedError

MAX_BODY_BYTES = 2**20
_UPLOADS = ("/results/", "/inputs/")
_SEE = "see docs/reference/scheduler.md"


#: Where a refusal does not say when to come again: 429 and 503, seconds.
RETRY_SECONDS = 5

M = TypeVar("M", bound=BaseModel)


class HttpError(PewError):
    """A refusal with its HTTP status; `retry_after` in seconds, for 429 and 503."""

    def __init__(self, status: int, code: str, message: str, hint: str = "", *, retry_after: int | None = None) -> None:
        super().__init__(message, hint=hint, code=code)
        self.status = status
        self.retry_after = retry_after


def status_of(error: PewError) -> int:
    """The HTTP status that an error answers with."""
    match error:
        case HttpError():
            return error.status
        case LoginError():
            return HTTPStatus.FORBIDDEN if error.code == "NOT_ALLOWED" else HTTPStatus.UNAUTHORIZED
        case ChallengeError() | NotAllowedError():
            return HTTPStatus.UNAUTHORIZED
        case SignatureError():
            return HTTPStatus.FORBIDDEN
        case TooManyError():
            return HTTPStatus.TOO_MANY_REQUESTS
        case ResultRefusedError() | ExistsError():
            return HTTPStatus.CONFLICT
        case ChainUnreachableError() | StoreUnreachableError() | CommitError():
            return HTTPStatus.SERVICE_UNAVAILABLE
        case BadInputError():
            return HTTPStatus.BAD_REQUEST
    return HTTPStatus.INTERNAL_SERVER_ERROR


def refusal(status: int, code: str, message: str, hint: str = "", retry_after: int | None = None) -> JSONResponse:
    """An error in the form that all errors have; what passes by itself says when to come again."""
    body = ErrorBody(error=code, message=message, hint=hint)
    headers = None
    if status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        headers = {"Retry-After": str(retry_after or RETRY_SECONDS)}
    return JSONResponse(body.model_dump(), status_code=status, headers=headers)


def parse(model: type[M], body: bytes) -> M:
    """The message that a body holds; HttpError 400 says what is wrong with it."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise HttpError(HTTPStatus.BAD_REQUEST, "BAD_REQUEST", _wrong(error.errors()), _SEE) from None


def _wrong(errors: Sequence[Any]) -> str:
    return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'body'}: {e['msg']}" for e in errors[:5])[:1000]


def install(app: FastAPI) -> None:
    """Error handlers and the body bound."""

    @app.exception_handler(PewError)
    async def _known(request: Request, error: PewError) -> JSONResponse:
        status = status_of(error)
        if _is_market(request):
            return JSONResponse({"ok": False, "error": str(error)}, status_code=status)
        return refusal(status, error.code, error.message, error.hint, getattr(error, "retry_after", None))

    @app.exception_handler(RequestValidationError)
    async def _invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        return refusal(HTTPStatus.BAD_REQUEST, "BAD_REQUEST", _wrong(error.errors()), _SEE)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        message = f"{request.method} {request.url.path[:200]}: {error.detail}"
        return refusal(error.status_code, HTTPStatus(error.status_code).name, message)

    @app.exception_handler(Exception)
    async def _unknown(request: Request, error: Exception) -> JSONResponse:
        log("request_failed", level="error", path=request.url.path, error=repr(error))
        return refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", "the scheduler failed", "see its log")

    app.add_middleware(BodyLimit)


class BodyLimit:
    """Refuses requests with more than `MAX_BODY_BYTES`; uploads of results and inputs have limits of their own."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (scope["method"] == "PUT" and scope["path"].startswith(_UPLOADS)):
            await self.app(scope, receive, send)
            return
        body = bytearray()
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message.get("body", b"")
            if len(body) > MAX_BODY_BYTES:
                answer = refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "TOO_LARGE", "the request is too large")
                await answer(scope, receive, send)
                return
            if not message.get("more_body", False):
                break
        handed = False

        async def replay() -> Message:
            nonlocal handed
            if handed:
                return await receive()
            handed = True
            return {"type": "http.request", "body": bytes(body), "more_body": False}

        await self.app(scope, replay, send)


def bearer(request: Request) -> str:
    """The token of the request; 401 where there is none."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "bearer" or not token or len(token) > 200:
        raise HttpError(HTTPStatus.UNAUTHORIZED, "NOT_LOGGED_IN", "no session", "log in: POST /login/challenge")
    return token


def _is_market(request: Request) -> bool:
    """Whether errors are told as the official gateway tells them."""
    first = request.url.path.split("/")[1]
    return first.endswith("orders") or first in {"challenge", "deals"}
