"""`pew order`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from poco.amounts import show
from poco.errors import BadInputError
from poco.hexes import ZERO_ADDRESS, ZERO_BYTES32
from poco.tags import GREEN
from sdk.cli_common import ADDRESS, AMOUNT, CATEGORY, ID, Settings, json_option, sends, table

if TYPE_CHECKING:
    from poco.orders import Order
    from sdk.client import Client
    from sdk.orderbook import Published

_kind = click.argument("kind", type=click.Choice(["app", "dataset", "workerpool", "request"]))


@click.group()
def order() -> None:
    """Signed orders in a scheduler's book.

    \b
    Examples:
      pew order publish app 0x... --price 0.1 --volume 100
      pew order publish workerpool 0x... --price 1 --category XS --trust 4
      pew order list workerpool
      pew order show workerpool 0x...(its hash)
      pew order unpublish app 0x...
      pew order cancel app 0x...(its hash) --dry-run
    """


@order.group("publish")
def publish() -> None:
    """Sign an order for what the wallet owns, and publish it."""


_price = click.option("--price", type=AMOUNT, default="0", show_default=True, help="For one task.")
_volume = click.option("--volume", type=click.IntRange(1), default=1, show_default=True, help="Number of tasks.")
_app_only = click.option("--app", "app_only", type=ADDRESS, default=ZERO_ADDRESS, help="Only with this app.")
_data_only = click.option("--dataset", "data_only", type=ADDRESS, default=ZERO_ADDRESS, help="Only with this dataset.")
_pool_only = click.option("--pool", "pool_only", type=ADDRESS, default=ZERO_ADDRESS, help="Only in this pool.")
_requester_only = click.option(
    "--requester", "requester_only", type=ADDRESS, default=ZERO_ADDRESS, help="Only for this requester."
)


@publish.command("app")
@click.argument("address", type=ADDRESS)
@_price
@_volume
@_data_only
@_pool_only
@_requester_only
@json_option
@click.pass_obj
def publish_app(settings: Settings, /, *, address: str, price: int, volume: int, **only: str) -> None:
    """Sell runs of an app."""
    from poco.orders import AppOrder

    limits = {
        "datasetrestrict": only["data_only"],
        "workerpoolrestrict": only["pool_only"],
        "requesterrestrict": only["requester_only"],
    }
    _publish(settings, AppOrder(address, price, volume, **limits), price, volume)


@publish.command("dataset")
@click.argument("address", type=ADDRESS)
@_price
@_volume
@_app_only
@_pool_only
@_requester_only
@json_option
@click.pass_obj
def publish_dataset(settings: Settings, /, *, address: str, price: int, volume: int, **only: str) -> None:
    """Sell uses of a dataset."""
    from poco.orders import DatasetOrder

    limits = {
        "apprestrict": only["app_only"],
        "workerpoolrestrict": only["pool_only"],
        "requesterrestrict": only["requester_only"],
    }
    _publish(settings, DatasetOrder(address, price, volume, **limits), price, volume)


@publish.command("workerpool")
@click.argument("address", type=ADDRESS)
@_price
@_volume
@click.option("--category", type=CATEGORY, default="XS", show_default=True, help="XS, S, M, L or XL.")
@click.option("--trust", type=click.IntRange(0), default=1, show_default=True, help="The most that may be asked for.")
@click.option("--green", is_flag=True, help="Offer it for green tasks too (pew pool green).")
@_app_only
@_data_only
@_requester_only
@json_option
@click.pass_obj
def publish_pool(
    settings: Settings, /, *, address: str, price: int, volume: int, category: int, trust: int, green: bool, **only: str
) -> None:
    """Sell tasks in a pool; their stake is 30 % of the price, from the owner's escrow."""
    from poco.orders import WorkerpoolOrder

    made = WorkerpoolOrder(
        address,
        price,
        volume,
        category=category,
        trust=trust,
        tag=GREEN if green else ZERO_BYTES32,
        apprestrict=only["app_only"],
        datasetrestrict=only["data_only"],
        requesterrestrict=only["requester_only"],
    )
    _publish(settings, made, price, volume)


@order.command("list")
@_kind
@click.argument("address", type=ADDRESS, required=False)
@json_option
@click.pass_obj
def list_orders(settings: Settings, kind: str, address: str | None) -> None:
    """The orders of the book, the cheapest first."""
    found = settings.client().book.all(kind, address)
    rows = [["price", "left", "category", "trust", kind, "hash"]]
    for entry in found:
        fields: Any = entry.order
        rows.append(
            [
                show(_price_of(kind, fields)),
                str(entry.remaining),
                str(getattr(fields, "category", "")),
                str(getattr(fields, "trust", "")),
                fields.resource,
                entry.hash,
            ]
        )
    settings.show([entry.as_json() for entry in found], table(rows) or [f"no {kind} orders"])


@order.command("show")
@_kind
@click.argument("order_hash", metavar="HASH", type=ID)
@json_option
@click.pass_obj
def show_order(settings: Settings, kind: str, order_hash: str) -> None:
    """An order of the book, with what the chain says is left of it."""
    from sdk.preflight import volume_left

    client = settings.client()
    entry = _find(client, kind, order_hash)
    fields: Any = entry.order
    left = volume_left(client.chain, fields)
    lines = [f"{kind} order {entry.hash}", f"  signer      {entry.signer}, since {entry.published}"]
    lines += [f"  {name:11} {value}" for name, value in fields.as_json().items() if name not in ("salt", "sign")]
    lines += [f"  price       {show(_price_of(kind, fields))}", f"  left        {left} of {fields.volume}"]
    settings.show({**entry.as_json(), "remaining": left}, lines)


@order.command("cancel")
@_kind
@click.argument("order_hash", metavar="HASH", type=ID)
@sends
@json_option
@click.pass_obj
def cancel(settings: Settings, kind: str, order_hash: str) -> None:
    """Close an order of one's own on chain: nobody can match it any more, whoever has a copy. Costs gas."""
    client = settings.client(wallet=True)
    entry = _find(client, kind, order_hash)
    receipt = client.close(entry.order)
    data = {"orderHash": entry.hash, "tx": receipt.tx_hash}
    settings.show(data, [f"closed {entry.hash}: nobody can match it any more"])


@order.command("unpublish")
@_kind
@click.argument("target", metavar="HASH|ADDRESS")
@click.option("--last", is_flag=True, help="Of an address only the order published last.")
@json_option
@click.pass_obj
def unpublish(settings: Settings, kind: str, target: str, last: bool) -> None:
    """Take an order, or all orders of an address, out of the book; whoever has a copy can still match them."""
    client = settings.client(wallet=True)
    gone = client.book.unpublish(kind, target, client.wallet, last=last)
    settings.show({"unpublished": gone}, [f"unpublished {one}" for one in gone])


def _publish(settings: Settings, made: Order, price: int, volume: int) -> None:
    mark = settings.client(wallet=True).publish(made)
    lines = [f"published {mark}", f"  {volume} x {show(price)} for {made.resource}"]
    settings.show({"orderHash": mark, "resource": made.resource}, lines)


def _find(client: Client, kind: str, order_hash: str) -> Published[Any]:
    for entry in client.book.all(kind):
        if entry.hash == order_hash:
            return entry
    raise BadInputError(
        f"there is no {kind} order {order_hash} in the book at {client.service.url}",
        hint=f"pew order list {kind} shows those that there are; one that is closed or used up is not listed",
    )


def _price_of(kind: str, order: Any) -> int:
    return int(order.workerpoolmaxprice if kind == "request" else getattr(order, f"{kind}price"))
