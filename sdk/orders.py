"""Orders in the making: salts, tags, restrictions, and what of two orders does not fit together."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from chain.wallet import recover_typed
from poco.errors import BadInputError
from poco.hexes import ZERO_ADDRESS, to_bytes, to_hex
from poco.orders import AppOrder, DatasetOrder, Domain, Order, RequestOrder, WorkerpoolOrder

KINDS: dict[str, type[Order]] = {
    "app": AppOrder,
    "dataset": DatasetOrder,
    "workerpool": WorkerpoolOrder,
    "request": RequestOrder,
}
#: Categories as the hub numbers them.
CATEGORIES = {"XS": 0, "S": 1, "M": 2, "L": 3, "XL": 4}


def new_salt() -> str:
    """32 random bytes: two orders with the same terms are two orders."""
    return to_hex(secrets.token_bytes(32))


def category(text: str) -> int:
    """The number of `XS`, `S`, `M`, `L`, `XL`, or the number itself."""
    if text.upper() in CATEGORIES:
        return CATEGORIES[text.upper()]
    if text.isascii() and text.isdigit() and len(text) < 10:
        return int(text)
    raise BadInputError(f"'{text[:20]}' is not a category", hint="XS (5 min), S (20 min), M (1 h), L (3 h), XL (10 h)")


def signed_by(order: Order, owner: str, domain: Domain) -> bool:
    """Whether `owner`'s own key signed the order."""
    try:
        return recover_typed(order.typed_data(domain), order.sign) == owner
    except BadInputError:
        return False


@dataclass(frozen=True, slots=True)
class Problem:
    """One reason why a match would be refused or fail: what is wrong, and the way out."""

    what: str
    hint: str


def mismatches(
    app: AppOrder, dataset: DatasetOrder | None, pool: WorkerpoolOrder, request: RequestOrder
) -> list[Problem]:
    """What `matchOrders` would refuse by the orders' fields alone (PoCo: rules 0x00 to 0x2f of the match)."""
    found: list[Problem] = []

    def need(holds: bool, what: str, hint: str) -> None:
        if not holds:
            found.append(Problem(what, hint))

    data = dataset.dataset if dataset else ZERO_ADDRESS
    need(request.app == app.app, "the app's order is for another app", "take an order of the requested app")
    need(request.dataset == data, "the dataset's order is for another dataset", "take an order of the requested one")
    need(
        request.workerpool in (ZERO_ADDRESS, pool.workerpool),
        "the request names another pool",
        "take an order of the requested pool",
    )
    need(request.category == pool.category, "the pool's order is for another category", "take another pool order")
    need(
        request.trust <= pool.trust,
        f"trust {request.trust} is asked for, the pool offers {pool.trust}",
        "ask for less trust or take another pool order",
    )
    prices = [
        ("app", app.appprice, request.appmaxprice),
        ("pool", pool.workerpoolprice, request.workerpoolmaxprice),
        ("dataset", dataset.datasetprice if dataset else 0, request.datasetmaxprice),
    ]
    for name, price, limit in prices:
        need(price <= limit, f"the {name} costs {price} nRLC, the request pays at most {limit}", "raise the maximum")
    wanted = _bits(app.tag) | _bits(request.tag) | (_bits(dataset.tag) if dataset else 0)
    need(wanted & ~_bits(pool.tag) == 0, "the pool does not offer what the tags ask for", "take another pool order")
    for name, order in (("app", app), ("dataset", dataset), ("pool", pool)):
        if order is None:
            continue
        for field, who in (
            ("apprestrict", app.app),
            ("datasetrestrict", data),
            ("workerpoolrestrict", pool.workerpool),
            ("requesterrestrict", request.requester),
        ):
            limit_to = getattr(order, field, ZERO_ADDRESS)
            need(
                limit_to in (ZERO_ADDRESS, who),
                f"the {name}'s order is only for the {field.removesuffix('restrict')} {limit_to}",
                "take an order without that restriction",
            )
    return found


def _bits(tag: str) -> int:
    return int.from_bytes(to_bytes(tag, 32), "big")
