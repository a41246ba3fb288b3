"""The pool's standing orders: signed and published from `orders` in scheduler.yaml, renewed, withdrawn.

An order stands while a worker of the fleet could run its tasks and the deposit covers at least one. Withdrawn means
taken out of this book: a signed order that somebody has copied can be matched until it is closed on chain.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from typing import Any

from poco import amounts
from poco.consensus import Tally, further_workers
from poco.hexes import to_hex
from poco.orders import WorkerpoolOrder
from scheduler import funds, matcher, store
from scheduler.engine import Engine
from scheduler.log import log
from scheduler.matcher import Candidate, Terms
from scheduler.offers import Template
from scheduler.orderbook import OrderBook
from scheduler.owners import Owners

LOOK_SECONDS = 5.0


class Standing(threading.Thread):
    """Keeps the pool's orders as the templates want them.

    Args:
        templates: those in force.
        leading: whether this process is the one that does so.
    """

    def __init__(
        self,
        engine: Engine,
        book: OrderBook,
        workerpool: str,
        *,
        templates: Callable[[], tuple[Template, ...]],
        leading: Callable[[], bool],
    ) -> None:
        super().__init__(name="standing", daemon=True)
        self._engine = engine
        self._book = book
        self._pool = workerpool
        self._chain = engine.funds.chain
        self._templates = templates
        self._leading = leading
        self._stopping = threading.Event()
        self._said: dict[str, str] = {}
        #: for `/status`
        self.rows: list[dict[str, Any]] = []

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                if self._leading():
                    self.look()
            except Exception as error:  # an order that is not renewed must not end the thread
                log("standing_orders", level="warning", error=str(error) or repr(error))
            self._stopping.wait(LOOK_SECONDS)

    def stop(self) -> None:
        self._stopping.set()
        self.join(30)

    def look(self) -> None:
        """Publish, renew and withdraw once."""
        templates = {template.key(): template for template in self._templates()}
        with self._engine.store.read() as db:
            known = json.loads(store.get_meta(db, "orders") or "{}")
        free = self._chain.account(self._engine.wallet.address).stake if templates else 0
        rows, kept = [], {}
        for key, template in templates.items():
            order, why = self._keep(template, known.get(key), free)
            if order is not None:
                kept[key] = order
            rows.append(self._row(template, order, why))
            self._say(key, template, order, why)
        for key, order in known.items():
            if key not in templates:
                self._book.withdraw(order["hash"])
        if kept != known:
            with self._engine.store.write() as db:
                store.set_meta(db, "orders", json.dumps(kept))
        self.rows = rows

    def _keep(self, template: Template, order: dict[str, Any] | None, free: int) -> tuple[dict[str, Any] | None, str]:
        """(the order that stands for this template, or stood; why it is not published now)."""
        why = self._unable(template)
        each = funds.scheduler_stake(template.price)
        if not why and free < each:
            why = (
                f"a task needs {amounts.show(each)} of the pool owner's stake, {amounts.show(free)} are free: "
                f"deposit {amounts.show(each - free)} with pew account deposit"
            )
        left = order["volume"] - self._chain.consumed(order["hash"]) if order is not None else 0
        if why:
            if order is not None:
                self._book.withdraw(order["hash"])
            return order, why
        volume = min(template.volume, free // each) if each else template.volume
        if order is None or left <= 0 or left * each > free:
            if order is not None:
                self._book.withdraw(order["hash"])
            order = self._sign(template, volume)
        self._book.publish("workerpool", {"order": order["body"]}, self._engine.now())
        return order, ""

    def _sign(self, template: Template, volume: int) -> dict[str, Any]:
        domain = self._chain.deployment.domain
        order = WorkerpoolOrder(
            self._pool,
            template.price,
            volume,
            template.tag,
            template.category,
            template.trust,
            template.app,
            template.dataset,
            template.requester,
            to_hex(os.urandom(32)),
        )
        signed = self._engine.wallet.sign_order(order, domain)
        return {"hash": order.hash(domain), "volume": volume, "body": signed.as_json()}

    def _unable(self, template: Template) -> str:
        """Why the fleet, as it is known, cannot run such tasks; empty where it can."""
        seconds = self._chain.category(template.category).seconds
        terms = Terms(template.app, template.tag, 0, 0, 0, 0, seconds, template.trust, False, True)
        able = [one for one in self._fleet() if matcher.could_ever(one, terms, ())]
        if not able:
            return "no worker of the pool could run it"
        out: set[str] = set()
        weights = []
        for one in sorted(able, key=lambda one: -self._engine.funds.known_weight(one.wallet)):
            if one.wallet not in out:
                out |= one.kin
                weights.append(self._engine.funds.known_weight(one.wallet))
        if further_workers(Tally(template.trust), (), weights) is None:
            return f"{len(weights)} workers of different owners could run it, a trust of {template.trust} needs more"
        return ""

    def _fleet(self) -> list[Candidate]:
        now, seen = self._engine.now(), [one for one in self._engine.roll.all() if one.registered]
        owners = Owners(self._engine.owners)
        for one in seen:
            owners.put(one.wallet, one.operator, one.network)
        return [
            Candidate(
                wallet=one.wallet,
                platforms=one.platforms,
                presence=self._engine.roll.presence(one, now),
                free_slots=1,
                stake=None,
                features=one.features,
                kin=owners.kin(one.wallet),
            )
            for one in seen
        ]

    def _row(self, template: Template, order: dict[str, Any] | None, why: str) -> dict[str, Any]:
        left = max(order["volume"] - self._chain.consumed(order["hash"]), 0) if order is not None else 0
        return {
            "category": template.category,
            "price_nrlc": template.price,
            "trust": template.trust,
            "tags": list(template.tags),
            "order": order["hash"] if order is not None and not why else None,
            "remaining": left if not why else 0,
            "not_published_because": why,
        }

    def _say(self, key: str, template: Template, order: dict[str, Any] | None, why: str) -> None:
        said = why or (order["hash"] if order is not None else "")
        if self._said.get(key) != said:
            self._said[key] = said
            level = "warning" if why else "info"
            log("order", level=level, category=template.category, trust=template.trust, order=said if not why else None,
                not_published_because=why or None)  # fmt: skip
