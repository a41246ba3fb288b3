"""Templates into answers: each page once a second whoever asks, by few threads, with an ETag, under a strict policy."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import Response

from scheduler.page.formats import FILTERS
from scheduler.web import HttpError

if TYPE_CHECKING:
    from jinja2 import Environment

#: Nothing but our own files is loaded or run, no page is framed, no form goes elsewhere.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
#: A page that was made so lately is good enough for the next who asks, seconds; and how many are kept.
KEPT_SECONDS, KEPT_PAGES = 1.0, 100
#: Threads that make pages, so that polls and reports keep theirs; and how many readers wait for one.
THREADS, WAITING = 2, 40


class Renderer:
    """Makes pages. For the server's event loop, but for `html`, which any thread may call."""

    def __init__(self) -> None:
        self._limiter = CapacityLimiter(THREADS)
        self._kept: OrderedDict[tuple[str, ...], tuple[float, bytes]] = OrderedDict()
        self._making: dict[tuple[str, ...], asyncio.Task[bytes]] = {}

    @cached_property
    def _templates(self) -> Environment:
        """Made when the first page is asked for: who never looks does not pay its 6 MB."""
        from jinja2 import Environment, PackageLoader, StrictUndefined

        made = Environment(
            loader=PackageLoader("scheduler.page"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        made.filters.update(FILTERS)
        return made

    def html(self, name: str, **values: Any) -> bytes:
        """A template filled in."""
        return self._templates.get_template(name).render(**values).encode()

    async def page(self, request: Request, make: Callable[[], bytes], who: str = "") -> Response:
        """The page of that address as `who` (an operator, or nobody) sees it; 304 where the reader has it already.

        Raises:
            HttpError: 503, too many wait.
        """
        key = (who, request.url.path, request.url.query)
        kept = self._kept.get(key)
        if kept is None or time.monotonic() - kept[0] > KEPT_SECONDS:
            body = await self._made(key, make)
        else:
            body = kept[1]
        return answer(body, request)

    async def _made(self, key: tuple[str, ...], make: Callable[[], bytes]) -> bytes:
        making = self._making.get(key)
        if making is None:
            if len(self._making) >= WAITING:
                raise HttpError(
                    HTTPStatus.SERVICE_UNAVAILABLE, "BUSY", "too many pages are asked for", "come again", retry_after=3
                )
            making = self._making[key] = asyncio.create_task(to_thread.run_sync(make, limiter=self._limiter))
            making.add_done_callback(lambda task: self._done(key, task))
        return await asyncio.shield(making)

    def forget(self, who: str) -> None:
        """Make the pages of that operator anew: something was done."""
        for kept in (self._kept, self._making):
            for key in [key for key in kept if key[0] == who]:
                del kept[key]

    def _done(self, key: tuple[str, ...], task: asyncio.Task[bytes]) -> None:
        failed = task.cancelled() or task.exception() is not None
        if self._making.get(key) is not task:
            return  # it was begun before something was done
        del self._making[key]
        if failed:
            return
        now = time.monotonic()
        self._kept[key] = (now, task.result())
        self._kept.move_to_end(key)
        while len(self._kept) > KEPT_PAGES or now - next(iter(self._kept.values()))[0] > KEPT_SECONDS:
            self._kept.popitem(last=False)


def answer(body: bytes, request: Request, status: int = HTTPStatus.OK) -> Response:
    """A page, with the mark by which the reader can ask whether it has changed."""
    mark = f'"{hashlib.sha256(body).hexdigest()[:24]}"'
    headers = {**HEADERS, "ETag": mark, "Cache-Control": "private, no-cache", "Vary": "Cookie"}
    if status == HTTPStatus.OK and mark in request.headers.get("if-none-match", ""):
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    return Response(body, status, headers, media_type="text/html; charset=utf-8")
