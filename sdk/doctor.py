"""What a requester needs before an order: chain, hub, wallet, money, order book; each missing thing with its cure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chain import deployment as deployments
from chain import keystores
from chain.client import Chain
from chain.deployment import Deployment
from poco.amounts import show
from poco.errors import PewError
from sdk.orderbook import OrderBook
from sdk.service import Service, service_of

#: Gas of a deal is far below this at any usual price; 0.001 of the chain's own coin.
LITTLE_WEI = 10**15


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `cure` is empty where it is well. `needed`: an order cannot do without."""

    name: str
    ok: bool
    text: str
    cure: str = ""
    needed: bool = True

    def as_json(self) -> dict[str, Any]:
        return {"name": self.name, "ok": self.ok, "text": self.text, "cure": self.cure, "needed": self.needed}

    def line(self) -> str:
        mark = "ok     " if self.ok else ("MISSING" if self.needed else "note   ")
        return f"{mark}  {self.name:10}  {self.text}" + (f"\n         {'':10}  -> {self.cure}" if self.cure else "")


def examine(rpc: str, deployment: Path, wallet: Callable[[], Path], scheduler: str | None) -> list[Finding]:
    """Look at everything; a thing that needs another that is missing is left out.

    Args:
        rpc: the nodes, with commas between them.
        deployment: the file with the contracts' addresses.
        wallet: gives the keystore's path.
        scheduler: the pool's scheduler, None where none was named.
    """
    found: list[Finding] = []
    account = _of(found, "wallet", lambda: keystores.address_of(wallet()), "pew wallet new")
    if account is not None:
        found[-1] = _wallet(wallet(), account)
    where = _of(found, "contracts", lambda: deployments.load(deployment), "--deployment FILE, or PEW_DEPLOYMENT")
    chain = None if where is None else _of(found, "chain", lambda: _chain(rpc, where), "--rpc URL, or PEW_RPC")
    if chain is not None:
        text = f"{rpc}, id {chain.deployment.chain_id}, block {chain.block_number()}, hub {chain.deployment.hub}"
        found[-1] = Finding("chain", True, text)
        if account is not None:
            found += _money(chain, account)
    if scheduler is None:
        cure = "--scheduler http://host:port, or PEW_SCHEDULER"
        found.append(Finding("scheduler", False, "none was named", cure))
        return found
    service = _of(found, "scheduler", lambda: service_of(scheduler), "--scheduler http://host:port")
    if service is not None and where is not None:
        pool = _of(found, "scheduler", lambda: _status(service), "ask the pool's operator; take another --scheduler")
        if pool is not None:
            found.pop()
            found[-1] = _scheduler(service, pool, where)
            found += [_workers(pool), *_book(service, where)]
    return found


def _of(found: list[Finding], name: str, look: Callable[[], Any], cure: str) -> Any:
    """What `look` gives, with a finding for it; None where it says what is wrong."""
    try:
        seen = look()
    except PewError as error:
        found.append(Finding(name, False, error.message, f"{error.hint or cure}"))
        return None
    found.append(Finding(name, True, str(getattr(seen, "hub", seen))))
    return seen


def _wallet(path: Path, account: str) -> Finding:
    if keystores.is_private(path):
        return Finding("wallet", True, f"{account} in {path}")
    return Finding("wallet", False, f"everybody on this machine may read {path}", f"chmod 600 {path}")


def _chain(rpc: str, where: Deployment) -> Chain:
    chain = Chain(rpc.split(","), where)
    chain.check()
    return chain


def _money(chain: Chain, account: str) -> Iterator[Finding]:
    wei, escrow, nrlc = chain.native_balance(account), chain.account(account), chain.rlc_balance(account)
    text = f"{wei / 10**18:.6f} of the chain's own coin"
    cure = f"send some of the chain's own coin to {account}"
    yield Finding("gas", wei >= LITTLE_WEI, text, "" if wei >= LITTLE_WEI else cure)
    text = f"{show(escrow.stake)} free in the escrow, {show(escrow.locked)} locked; {show(nrlc)} in the wallet"
    deposit = "pew account deposit <RLC>" if nrlc else f"get RLC to {account}, then pew account deposit <RLC>"
    yield Finding("money", escrow.stake > 0, text, "" if escrow.stake else deposit)


def _status(service: Service) -> dict[str, Any]:
    pool = service.get("/status")
    if (
        not isinstance(pool, dict)
        or not isinstance(pool.get("workers"), list)
        or not isinstance(pool.get("chain"), dict)
    ):
        raise PewError(f"{service.url} is no scheduler", hint="check the address")
    return pool


def _scheduler(service: Service, pool: dict[str, Any], where: Deployment) -> Finding:
    seen, text = pool["chain"], f"{service.url}, pool {pool.get('workerpool')}"
    if (seen.get("id"), str(seen.get("hub")).lower()) != (where.chain_id, where.hub.lower()):
        cure = "name the --deployment and --rpc of the network that the scheduler is on"
        return Finding("scheduler", False, f"{text} is on chain {seen.get('id')}, hub {seen.get('hub')}", cure)
    if seen.get("trouble") or not seen.get("caught_up"):
        return Finding("scheduler", False, f"{text} is behind the chain: {seen.get('trouble') or 'reading'}", "wait")
    return Finding("scheduler", True, text)


def _workers(pool: dict[str, Any]) -> Finding:
    states: dict[str, int] = {}
    for worker in pool["workers"]:
        states[str(worker.get("presence"))] = states.get(str(worker.get("presence")), 0) + 1
    text = ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none has come"
    ready = states.get("WAITING", 0) + states.get("WORKING", 0) > 0
    cure = "" if ready else "orders wait until a worker is awake: pew fleet status says when"
    return Finding("workers", ready, text, cure, needed=False)


def _book(service: Service, where: Deployment) -> Iterator[Finding]:
    try:
        offers = OrderBook(service, where.domain).pools()
    except PewError as error:
        yield Finding("book", False, error.message, error.hint)
        return
    text = f"{len(offers)} offers of pools, the cheapest {show(offers[0].order.workerpoolprice)}" if offers else "empty"
    yield Finding("book", bool(offers), text, "" if offers else "ask the pool's operator to publish an order")
