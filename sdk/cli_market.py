"""`pew app`, `pew dataset`, `pew pool` and `pew order`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from poco.amounts import show
from poco.errors import BadInputError
from poco.hexes import ZERO_ADDRESS, ZERO_BYTES32
from poco.tags import GREEN
from sdk.cli_common import ADDRESS, AMOUNT, CATEGORY, Settings, json_option, table

if TYPE_CHECKING:
    from poco.orders import Order


@click.group()
def app() -> None:
    """Apps: Docker images registered on chain by address and digest.

    \b
    Examples:
      pew app register motion 127.0.0.1:5000/motion:1.0 --digest sha256:...
      pew app show 0x...
    """


@app.command("register")
@click.argument("name")
@click.argument("image")
@click.option("--digest", help="Of the image's index; by default what the registry has under the tag now.")
@json_option
@click.pass_obj
def register_app(settings: Settings, name: str, image: str, digest: str | None) -> None:
    """Register IMAGE (host[:port]/repository:tag) as NAME, or find it where it is registered already."""
    if digest is None:
        from oci import registry

        digest = registry.resolve(image, registry.platforms(image)[0]).index_digest
    where = settings.client(wallet=True).register_app(name, image, digest)
    settings.show({"app": where, "image": image, "digest": digest}, [f"app {where}", f"  {image}@{digest}"])


@app.command("show")
@click.argument("address", type=ADDRESS)
@json_option
@click.pass_obj
def show_app(settings: Settings, address: str) -> None:
    """What the chain says of an app."""
    found = settings.chain().app(address)
    lines = [f"app {found.address}  {found.name}", f"  owner     {found.owner}", f"  image     {found.multiaddr}"]
    settings.show(asdict(found), [*lines, f"  checksum  {found.checksum}"])


@click.group()
def dataset() -> None:
    """Datasets: files at a URL, registered on chain with their sha-256.

    \b
    Examples:
      pew dataset register street http://127.0.0.1:8000/street.avi --file street.avi
      pew dataset show 0x...
    """


@dataset.command("register")
@click.argument("name")
@click.argument("url")
@click.option("--checksum", help="sha-256 of the file, 0x and 64 digits.")
@click.option("--file", type=click.Path(path_type=Path), help="The file itself, to compute the checksum of.")
@json_option
@click.pass_obj
def register_dataset(settings: Settings, name: str, url: str, checksum: str | None, file: Path | None) -> None:
    """Register the data at URL as NAME, or find it where it is registered already."""
    from sdk.results import sha256_of

    if (checksum is None) == (file is None):
        raise BadInputError("a dataset needs its checksum", hint="name either --file, a local copy, or --checksum")
    mark = sha256_of(file) if file is not None else str(checksum)
    where = settings.client(wallet=True).register_dataset(name, url, mark)
    settings.show({"dataset": where, "url": url, "checksum": mark}, [f"dataset {where}", f"  {url}", f"  {mark}"])


@dataset.command("show")
@click.argument("address", type=ADDRESS)
@json_option
@click.pass_obj
def show_dataset(settings: Settings, address: str) -> None:
    """What the chain says of a dataset."""
    found = settings.chain().dataset(address)
    lines = [f"dataset {found.address}  {found.name}", f"  owner     {found.owner}", f"  url       {found.multiaddr}"]
    settings.show(asdict(found), [*lines, f"  checksum  {found.checksum}"])


@click.group()
def pool() -> None:
    """Workerpools: a scheduler and its workers.

    \b
    Examples:
      pew pool register "Solar Pis of the north"
      pew pool show 0x...
    """


@pool.command("register")
@click.argument("description")
@json_option
@click.pass_obj
def register_pool(settings: Settings, description: str) -> None:
    """Register a pool owned by the wallet, or find it where it is registered already."""
    where = settings.client(wallet=True).register_pool(description)
    settings.show({"workerpool": where, "description": description}, [f"pool {where}"])


@pool.command("show")
@click.argument("address", type=ADDRESS)
@json_option
@click.pass_obj
def show_pool(settings: Settings, address: str) -> None:
    """What the chain says of a pool."""
    found = settings.chain().workerpool(address)
    lines = [
        f"pool {found.address}  {found.description}",
        f"  owner             {found.owner}",
        f"  a worker stakes   {found.worker_stake_ratio} % of the price",
        f"  scheduler's part  {found.scheduler_reward_ratio} % of the reward",
    ]
    settings.show(asdict(found), lines)


@pool.command("green")
@click.argument("address", type=ADDRESS)
@click.option("--days", type=click.IntRange(1, 366), help="Declare this window (the owner's wallet).")
@json_option
@click.pass_obj
def green_pool(settings: Settings, address: str, days: int | None) -> None:
    """Over how many days the pool's workers must be net positive to take its green tasks; the hub holds them to it."""
    from chain.energy import EnergyLedger

    if days is not None:
        settings.client(wallet=True).declare_green(address, days)
    window = EnergyLedger(settings.chain()).window_of(address)
    settings.show(
        {"workerpool": address, "days": window}, [f"green tasks of {address}: net positive over {window} days"]
    )


@click.group()
def order() -> None:
    """Signed orders in a scheduler's book.

    \b
    Examples:
      pew order publish app 0x... --price 0.1 --volume 100
      pew order publish workerpool 0x... --price 1 --category XS --trust 4
      pew order list workerpool
      pew order unpublish app 0x...
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
@click.argument("kind", type=click.Choice(["app", "dataset", "workerpool", "request"]))
@click.argument("address", type=ADDRESS, required=False)
@json_option
@click.pass_obj
def list_orders(settings: Settings, kind: str, address: str | None) -> None:
    """The orders of the book, the cheapest first."""
    found = settings.client().book.all(kind, address)
    rows = [["price", "left", "category", "trust", kind, "hash"]]
    for entry in found:
        fields: Any = entry.order
        price = getattr(fields, f"{kind}price", None)
        price = fields.workerpoolmaxprice if price is None else price
        rows.append(
            [
                show(price),
                str(entry.remaining),
                str(getattr(fields, "category", "")),
                str(getattr(fields, "trust", "")),
                fields.resource,
                entry.hash,
            ]
        )
    settings.show([entry.as_json() for entry in found], table(rows) or [f"no {kind} orders"])


@order.command("unpublish")
@click.argument("kind", type=click.Choice(["app", "dataset", "workerpool", "request"]))
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
