"""What an operator does on the page: sessions in a cookie, forms that only our own pages can send, commands."""

from __future__ import annotations

import calendar
import hashlib
import hmac
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from poco.commands import CommandKind
from poco.errors import BadInputError
from poco.wire import Session
from scheduler.sessions import LoginError, Sessions
from scheduler.web import HttpError

COOKIE, PATH = "pew_operator", "/page"
#: Fields of one form, and workers that one form commands.
MOST_FIELDS = 1200
#: Commands that the page gives, in words; the others are given by `pew fleet`.
KINDS = {
    CommandKind.DRAIN: "Drain: finish what it has, take nothing new",
    CommandKind.RESUME: "Resume: end a drain or a pause",
    CommandKind.PAUSE: "Pause: halt what runs for some hours",
    CommandKind.WAKE_AT: "Wake at an instant, if the battery allows",
    CommandKind.DIAGNOSE: "Diagnose: ask for the doctor's report",
}


@dataclass(frozen=True, slots=True)
class Operator:
    """Who is logged in. `form_token` goes with each form, so that no other site can send one."""

    wallet: str
    token: str

    @property
    def form_token(self) -> str:
        return hmac.new(self.token.encode(), b"form of the page", hashlib.sha256).hexdigest()[:40]


async def operator_of(request: Request, sessions: Sessions, now: int) -> Operator | None:
    """Whose session the cookie shows; None where there is none, or one that has ended."""
    token = request.cookies.get(COOKIE, "")
    if not 20 <= len(token) <= 200:
        return None
    try:
        known = sessions.remembered(token, now)
        if known is None:
            known = await run_in_threadpool(sessions.wallet_of, token, now)
    except LoginError:
        return None
    return Operator(known, token)


def remember(response: Response, session: Session, now: int, *, secure: bool) -> None:
    """Have the browser keep a session: out of scripts' reach, and never sent with what another site begins."""
    response.set_cookie(
        COOKIE,
        session.token,
        max_age=max(session.expires - now, 1),
        path=PATH,
        secure=secure,
        httponly=True,
        samesite="strict",
    )


def forget(response: Response) -> None:
    """Have the browser drop it."""
    response.delete_cookie(COOKIE, path=PATH, httponly=True, samesite="strict")


async def fields(request: Request) -> dict[str, list[str]]:
    """A form's fields; HttpError where another site sent it, or it is none."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise HttpError(HTTPStatus.FORBIDDEN, "OTHER_SITE", "another site has sent this form", "use our own page")
    if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        raise HttpError(HTTPStatus.BAD_REQUEST, "BAD_REQUEST", "this is no form of the page")
    try:
        return parse_qs((await request.body()).decode(), max_num_fields=MOST_FIELDS)
    except ValueError:
        raise HttpError(HTTPStatus.BAD_REQUEST, "BAD_REQUEST", "this is no form of the page") from None


def require_ours(who: Operator | None, form: dict[str, list[str]]) -> Operator:
    """The operator whose form it is; HttpError where nobody is logged in, or the form was not of our page."""
    if who is None:
        raise HttpError(HTTPStatus.UNAUTHORIZED, "NOT_LOGGED_IN", "nobody is logged in", "log in as an operator first")
    if not hmac.compare_digest(one(form, "form_token"), who.form_token):
        raise HttpError(
            HTTPStatus.FORBIDDEN, "OTHER_FORM", "this form is not of your session", "load the page again, and repeat it"
        )
    return who


def one(form: dict[str, list[str]], name: str) -> str:
    """A field's value; empty where it is not there."""
    return form.get(name, [""])[0].strip()


def command(form: dict[str, list[str]], now: int) -> tuple[CommandKind, dict[str, Any]]:
    """What a form asks for; BadInputError says what is missing."""
    try:
        kind = CommandKind(one(form, "kind"))
    except ValueError:
        raise BadInputError("choose what the workers shall do", hint="drain, resume, pause, wake or diagnose") from None
    if kind not in KINDS:
        raise BadInputError(f"{kind} is not asked for here", hint="use `pew fleet`")
    if kind is CommandKind.PAUSE:
        try:
            hours = float(one(form, "hours"))
        except ValueError:
            hours = 0.0
        if not 0 < hours <= 24 * 30:
            raise BadInputError("a pause takes some hours, at most 720", hint="fill in the hours")
        return kind, {"until": now + int(hours * 3600)}
    if kind is CommandKind.WAKE_AT:
        at = _instant(one(form, "at"))
        if at <= now:
            raise BadInputError("a worker wakes at an instant that lies ahead (UTC)", hint="fill in date and time")
        return kind, {"at": at}
    return kind, {}


def _instant(text: str) -> int:
    """Unix seconds of `2026-06-21T05:30`, UTC; 0 for anything else."""
    try:
        return calendar.timegm(time.strptime(text[:16], "%Y-%m-%dT%H:%M"))
    except (ValueError, OverflowError):
        return 0
