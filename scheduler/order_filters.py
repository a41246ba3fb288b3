"""Which orders a listing shows, by the official gateway's query parameters."""

from __future__ import annotations

from collections.abc import Mapping

from poco.errors import BadInputError
from poco.hexes import ZERO_ADDRESS, ZERO_BYTES32, address, bytes32
from poco.orders import Order, RequestOrder, WorkerpoolOrder

ANY = "any"
PAGE_SIZE, MAX_PAGE_SIZE = 20, 1000


def fits(order: Order, query: Mapping[str, str]) -> bool:
    """Whether the order passes the filters that its kind has.

    Restrictions: without a filter only orders that are open to everybody fit, with an address also those for that
    address (only those where `is<Kind>Strict` is true), with `any` all.

    Raises:
        BadInputError: a parameter that is not what it should be.
    """
    if not _tags_fit(int(getattr(order, "tag", ZERO_BYTES32), 16), query):
        return False
    if isinstance(order, WorkerpoolOrder) and order.trust < whole(query, "minTrust", whole(query, "trust", 0)):
        return False
    if isinstance(order, RequestOrder):
        return _request_fits(order, query)
    for name in ("app", "dataset", "workerpool", "requester"):
        allowed = getattr(order, f"{name}restrict", None)
        if allowed is not None and not _restriction_fits(allowed, query.get(name), truth(query, strict_name(name))):
            return False
    return True


def page(query: Mapping[str, str]) -> tuple[int, int]:
    """(index, size) of the page that is asked for."""
    return whole(query, "pageIndex", 0, 10**6), max(whole(query, "pageSize", PAGE_SIZE, MAX_PAGE_SIZE), 1)


def whole(query: Mapping[str, str], name: str, default: int, most: int = 2**53) -> int:
    """A parameter that is a whole number up to `most`."""
    text = query.get(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 17 or int(text) > most:
        raise BadInputError(f"{name} is not a whole number up to {most}", hint="correct that parameter")
    return int(text)


def truth(query: Mapping[str, str], name: str) -> bool:
    """A parameter that is `true` or `false`; false where it is missing."""
    text = query.get(name, "false")
    if text not in {"true", "false"}:
        raise BadInputError(f"{name} is neither true nor false", hint="correct that parameter")
    return text == "true"


def strict_name(kind: str) -> str:
    return f"is{kind.title()}Strict"


def _request_fits(order: RequestOrder, query: Mapping[str, str]) -> bool:
    if "maxTrust" in query and order.trust > whole(query, "maxTrust", 0):
        return False
    if not _restriction_fits(order.workerpool, query.get("workerpool", ANY), truth(query, strict_name("workerpool"))):
        return False
    wanted = {name: query.get(name, ANY) for name in ("app", "dataset", "beneficiary")}
    return all(value == ANY or getattr(order, name) == address(value) for name, value in wanted.items())


def _restriction_fits(allowed: str, asked: str | None, strict: bool) -> bool:
    if asked == ANY:
        return True
    if asked is None:
        return allowed == ZERO_ADDRESS
    return allowed == address(asked) or (not strict and allowed == ZERO_ADDRESS)


def _tags_fit(tag: int, query: Mapping[str, str]) -> bool:
    if "minTag" in query and int(bytes32(query["minTag"]), 16) & ~tag:
        return False
    return not ("maxTag" in query and tag & ~int(bytes32(query["maxTag"]), 16))
