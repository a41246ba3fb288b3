"""`pew app`, `pew dataset` and `pew pool`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from poco.errors import BadInputError
from sdk.cli_common import ADDRESS, Settings, json_option, sends


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
@sends
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
@sends
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
      pew pool policy 0x... --worker-stake 35 --scheduler-reward 5 --dry-run
      pew order list workerpool 0x...
    """


@pool.command("register")
@click.argument("description")
@sends
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


@pool.command("policy")
@click.argument("address", type=ADDRESS)
@click.option("--worker-stake", type=click.IntRange(0), help="Per cent of the pool's price that a worker stakes.")
@click.option("--scheduler-reward", type=click.IntRange(0, 100), help="Per cent of the reward that the pool keeps.")
@sends
@json_option
@click.pass_obj
def change_policy(settings: Settings, address: str, worker_stake: int | None, scheduler_reward: int | None) -> None:
    """Change the terms of a pool (the owner's wallet); deals that are made already keep theirs."""
    if worker_stake is None and scheduler_reward is None:
        raise BadInputError("nothing is to be changed", hint="name --worker-stake, --scheduler-reward or both")
    client = settings.client(wallet=True)
    old = client.chain.workerpool(address)
    stake = old.worker_stake_ratio if worker_stake is None else worker_stake
    reward = old.scheduler_reward_ratio if scheduler_reward is None else scheduler_reward
    receipt = client.change_policy(address, stake, reward)
    data = {"workerpool": address, "worker_stake": stake, "scheduler_reward": reward, "tx": receipt.tx_hash}
    settings.show(
        data, [f"pool {address}: a worker stakes {stake} % of the price, the pool keeps {reward} % of the reward"]
    )


@pool.command("green")
@click.argument("address", type=ADDRESS)
@click.option("--days", type=click.IntRange(1, 366), help="Declare this window (the owner's wallet).")
@sends
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
