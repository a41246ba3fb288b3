"""An app by its name: that of this checkout's dapp, registered or not yet, else one that the order book offers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from oci import registry
from poco.errors import BadInputError, PewError
from poco.hexes import address
from poco.orders import AppOrder
from sdk.client import Client
from sdk.quotes import Quote

#: Uses of an app of one's own that one order of one's own is good for.
OWN_VOLUME = 1_000_000


@dataclass(frozen=True, slots=True)
class Found:
    """An app on chain. `own`: a signed order at no price, where the app is this wallet's."""

    app: str
    name: str
    how: str
    own: AppOrder | None = None


@dataclass(frozen=True, slots=True)
class Unregistered:
    """A dapp of this checkout, built, that is not on chain yet, or not in the registry: where it would be."""

    app: str
    name: str
    root: Path
    registration: Quote


def find(
    client: Client, text: str, root: Path | None, host: str, report: Callable[[str], None]
) -> Found | Unregistered:
    """The app that an address or a name means.

    A name is first that of a dapp of the checkout: it is built, and the digest of its image, which is the same wherever
    it is built, tells whether an app on chain is that very program. Where there is no such dapp the book's offers are
    looked through by name; a name there is only what somebody said.

    Args:
        client: with the requester's wallet.
        text: address or name.
        root: the checkout, None where there is none.
        host: the registry that images of dapps are pushed to.
        report: told what takes time.

    Raises:
        BadInputError: there is none, or there are several.
    """
    if text.startswith("0x"):
        where = address(text)
        return Found(where, client.chain.app(where).name, "by its address", _own(client, where))
    if root is not None and (root / "dapps" / text / "dapp.yaml").is_file():
        return _of_checkout(client, text, root, host, report)
    return _of_book(client, text, root)


def deploy(client: Client, dapp: Unregistered, host: str, report: Callable[[str], None]) -> Found:
    """Push the image and register it as this wallet's app."""
    from sdk.builder.image import Builder

    builder = Builder(dapp.root, report)
    pushed = builder.push(builder.build(dapp.name), host)
    where = client.register_app(dapp.name, pushed.reference, pushed.digest)
    report(f"{dapp.name} pushed as {pushed.reference}, registered as {where}")
    return Found(where, dapp.name, "registered now", _own(client, where))


def _of_checkout(
    client: Client, name: str, root: Path, host: str, report: Callable[[str], None]
) -> Found | Unregistered:
    from sdk.builder.image import Builder

    built = Builder(root, report).build(name)
    checksum = "0x" + built.digest.removeprefix("sha256:")
    image = f"{host}/{name}:{built.version}"
    mine, registration = client.registered_app(name, image, built.digest)
    if registration is None and _holds(image, checksum):
        return Found(mine, name, "this wallet's, the checkout's very image", _own(client, mine))
    for entry in client.book.all("app"):
        app = client.chain.app(entry.order.resource)
        if app.checksum == checksum:
            return Found(app.address, app.name, f"of {app.owner}, the checkout's very image", _own(client, app.address))
    return Unregistered(mine, name, root, registration or Quote("push", 0, 0))


def _of_book(client: Client, name: str, root: Path | None) -> Found:
    offered = dict.fromkeys(entry.order.resource for entry in client.book.all("app"))
    matches = [app for app in map(client.chain.app, offered) if app.name == name]
    if len(matches) == 1:
        app = matches[0]
        return Found(app.address, name, f"of {app.owner}, by its name alone", _own(client, app.address))
    if matches:
        which = ", ".join(f"{app.address} of {app.owner}" for app in matches)
        raise BadInputError(
            f"{len(matches)} apps are called {name}: {which}", hint="name the one you mean by its address"
        )
    there = "" if root is None else f" and no folder dapps/{name} in {root}"
    raise BadInputError(
        f"nobody offers an app called {name}{there}",
        hint="pew order list app shows what is offered; in a checkout a dapp of dapps/ is deployed when it is run",
    )


def _own(client: Client, app: str) -> AppOrder | None:
    """An order of one's own app, signed and kept to oneself."""
    if client.chain.app(app).owner != client.wallet.address:
        return None
    return client.sign(AppOrder(app, 0, volume=OWN_VOLUME, requesterrestrict=client.wallet.address))


def _holds(image: str, checksum: str) -> bool:
    try:
        return bool(registry.resolve(image, registry.platforms(image)[0], checksum))
    except (PewError, IndexError):
        return False
