"""What readers write into addresses and forms, read; and addresses written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from pydantic import ValidationError
from starlette.requests import Request

from poco.states import Presence
from poco.wire import LoginRequest
from scheduler.page import fleet
from scheduler.sessions import LoginError


def question(request: Request) -> fleet.Question:
    """What is asked of the fleet; what makes no sense is as if it were not there."""
    said = request.query_params
    sort, state = said.get("sort", "state"), said.get("state", "")
    return fleet.Question(
        words=said.get("q", "").strip()[:100],
        state=Presence(state) if state in Presence.__members__ else None,
        sort=sort if sort in fleet.SORTS else "state",
        down=said.get("down") == "1",
        page=number(request, "page", 1),
    )


def number(request: Request, name: str, default: int) -> int:
    """A count in the address; the default where there is none."""
    text = request.query_params.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else default


def query(values: dict[str, Any]) -> str:
    """A query string of what is not empty."""
    said = {name: value for name, value in values.items() if value not in ("", 0, None)}
    return f"?{urlencode(said)}" if said else "?"


def login(value: Callable[[str], str | None]) -> LoginRequest:
    """A login out of an address or a form, `value` by name; LoginError where it is none."""
    said = {name: value(name) or "" for name in LoginRequest.model_fields}
    try:
        return LoginRequest.model_validate(said)
    except ValidationError:
        raise LoginError(
            "this is no login", hint="take the whole link that `pew fleet login` printed", code="LOGIN"
        ) from None
