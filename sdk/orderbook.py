"""The order book of a scheduler, in the shapes of the official gateway."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from chain.wallet import Wallet
from poco.challenge import GATEWAY
from poco.errors import BadInputError, PewError
from poco.hexes import ZERO_ADDRESS, address, bytes32
from poco.orders import AppOrder, DatasetOrder, Domain, Order, RequestOrder, WorkerpoolOrder
from sdk.challenge import authorization
from sdk.orders import KINDS
from sdk.service import Service

PAGE_SIZE = 100
MAX_PAGES = 100
ADDRESS_CHARS = 42
OrderT = TypeVar("OrderT", bound=Order)


@dataclass(frozen=True, slots=True)
class Published(Generic[OrderT]):
    """An order in the book; its hash was computed here from its fields. `remaining` is the book's word."""

    order: OrderT
    hash: str
    remaining: int
    signer: str
    published: str

    def as_json(self) -> dict[str, Any]:
        return {
            "orderHash": self.hash,
            "order": self.order.as_json(),
            "remaining": self.remaining,
            "signer": self.signer,
            "publicationTimestamp": self.published,
        }


class OrderBook:
    """Reads and writes one book for one hub."""

    def __init__(self, service: Service, domain: Domain) -> None:
        self._service = service
        self._domain = domain

    def publish(self, order: Order, wallet: Wallet) -> str:
        """Publish a signed order; returns its hash.

        Args:
            order: signed by the owner of what it offers.
            wallet: answers the book's challenge.

        Raises:
            sdk.service.ServiceError: the book refuses it (wrong signature, no stake, nothing left of it).
        """
        path = f"/{_kind(order)}orders"
        answer = self._service.send("POST", path, {"order": order.as_json()}, self._chain(), self._signed(wallet))
        mine = order.hash(self._domain)
        published = answer.get("published") if isinstance(answer, dict) else None
        if not isinstance(published, dict) or published.get("orderHash") != mine:
            raise PewError(
                f"the order book at {self._service.url} did not confirm order {mine}",
                hint="check that it serves the same chain and hub",
            )
        return mine

    def unpublish(self, kind: str, target: str, wallet: Wallet, *, last: bool = False) -> list[str]:
        """Take orders of one's own out of the book; they stay valid on chain until they are closed there.

        Args:
            kind: `app`, `dataset`, `workerpool` or `request`.
            target: an order's hash, or the address of a resource: all of its orders.
            wallet: their owner.
            last: of a resource only the order published last.

        Returns:
            The hashes.
        """
        form = _form(kind)
        if len(target) > ADDRESS_CHARS:
            body = {"target": "unpublish_orderHash", "orderHash": bytes32(target)}
        else:
            body = {"target": "unpublish_last" if last else "unpublish_all", form.RESOURCE: address(target)}
        answer = self._service.send("PUT", f"/{kind}orders", body, self._chain(), self._signed(wallet))
        hashes = answer.get("unpublished") if isinstance(answer, dict) else None
        if not isinstance(hashes, list):
            raise PewError(f"the order book at {self._service.url} did not say what it took out")
        return [bytes32(str(one)) for one in hashes]

    def apps(self, app: str, **filters: Any) -> list[Published[AppOrder]]:
        """Orders of an app, cheapest first."""
        return self._list(AppOrder, app=app, **filters)

    def datasets(self, dataset: str, **filters: Any) -> list[Published[DatasetOrder]]:
        """Orders of a dataset, cheapest first."""
        return self._list(DatasetOrder, dataset=dataset, **filters)

    def pools(self, workerpool: str | None = None, **filters: Any) -> list[Published[WorkerpoolOrder]]:
        """Orders of one pool or of all, cheapest first."""
        return self._list(WorkerpoolOrder, workerpool=workerpool, **filters)

    def requests(self, requester: str | None = None, **filters: Any) -> list[Published[RequestOrder]]:
        """Requests, dearest first."""
        return self._list(RequestOrder, requester=requester, **filters)

    def all(self, kind: str, resource: str | None = None) -> list[Published[Order]]:
        """All orders of a kind (`app`, `dataset`, `workerpool`, `request`), restricted ones too."""
        form = _form(kind)
        anyone = {name: "any" for name in ("app", "dataset", "workerpool", "requester") if name != form.RESOURCE}
        return self._list(form, **{form.RESOURCE: resource}, **(anyone if form is not RequestOrder else {}))

    def _list(self, form: type[OrderT], **filters: Any) -> list[Published[OrderT]]:
        query = {name: value for name, value in filters.items() if value not in (None, ZERO_ADDRESS)}
        path, found = f"/{_kind_of(form)}orders", []
        for page in range(MAX_PAGES):
            answer = self._service.get(path, {**self._chain(), **query, "pageIndex": page, "pageSize": PAGE_SIZE})
            entries = answer.get("orders") if isinstance(answer, dict) else None
            if not isinstance(entries, list):
                raise PewError(f"{self._service.url}{path} is no order book", hint="check the scheduler's address")
            found += [self._read(form, entry) for entry in entries]
            if answer.get("nextPage") is None or not entries:
                break
        return found

    def _read(self, form: type[OrderT], entry: Any) -> Published[OrderT]:
        try:
            order = form.from_json(entry["order"])
            mine = order.hash(self._domain)
            if bytes32(entry["orderHash"]) != mine:
                raise BadInputError("its hash does not fit its fields")
            return Published(
                order,
                mine,
                int(entry["remaining"]),
                address(entry["signer"]),
                str(entry.get("publicationTimestamp", ""))[:40],
            )
        except (KeyError, TypeError, ValueError, BadInputError) as error:
            raise PewError(
                f"the order book at {self._service.url} lists an order that is none: {error}",
                hint="ask the book's owner; nothing was done",
            ) from None

    def _chain(self) -> dict[str, Any]:
        return {"chainId": self._domain.chain_id}

    def _signed(self, wallet: Wallet) -> dict[str, str]:
        return {"Authorization": authorization(self._service, "/challenge", GATEWAY, wallet, self._domain.chain_id)}


def _form(kind: str) -> type[Order]:
    form = KINDS.get(kind)
    if form is None:
        raise BadInputError(f"'{kind}' is not a kind of order", hint=f"one of {', '.join(KINDS)}")
    return form


def _kind(order: Order) -> str:
    return _kind_of(type(order))


def _kind_of(form: type[Order]) -> str:
    return next(name for name, known in KINDS.items() if known is form)
