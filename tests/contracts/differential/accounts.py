"""Steps beside the tasks: money, the pools' policies, entries that change hands, and the owner's settings."""

from __future__ import annotations

from typing import Any

from ops.real_poco import published_abi
from poco.hexes import ZERO_ADDRESS
from tests.contracts.differential.cast import REGISTRIES, RLC, Party
from tests.contracts.differential.stage import HUGE, Stage
from tests.contracts.differential.twin import Pair


class Accounts(Stage):
    """Rules about money, entries and settings."""

    def money(self) -> None:
        giver, other = self.random.sample([self.cast.requester, *self.cast.schedulers, *self.cast.workers], 2)
        amount = self.pick([0, 1, self.random.randint(0, 60 * RLC), HUGE])
        target = self.pick([other.address] * 9 + [ZERO_ADDRESS])
        name, arguments = self.pick(
            [
                ("transfer", (target, amount)),
                ("withdraw", (amount,)),
                ("withdrawTo", (amount, target)),
                ("approve", (target, amount)),
                ("transferFrom", (other.address, giver.address, amount)),
                ("transferFrom", (other.address, target, amount)),
                ("increaseAllowance", (target, amount)),
                ("decreaseAllowance", (target, amount)),
                ("deposit", (amount,)),
                ("depositFor", (amount, target)),
                ("approveAndCall", (target, amount, b"")),
            ]
        )
        self.hub_step(name, giver, *arguments)
        self.twin.same([self.twin.query("allowance", giver.address, other.address)])
        self.twin.same([self.twin.query(view, giver.address) for view in ("balanceOf", "frozenOf")])

    def deposit(self) -> None:
        """RLC comes in, in each of the ways."""
        amount, admin = self.pick([0, RLC, 30 * RLC]), self.cast.admin
        targets = [party.address for party in self.random.sample(list(self.cast.parties.values()), 2)]
        if self.chance(0.1):
            targets[1] = ZERO_ADDRESS
        sides = self.twin.sides
        way = self.pick(["for", "array", "call"])
        if way == "call":
            calls = [s.poco.rlc.functions.approveAndCall(s.hub.address, amount, b"") for s in sides]
            self.send("RLC approveAndCall", calls, admin)
        elif way == "for":
            self.fund(targets[0], amount)
        else:
            total = amount + self.pick([0, 5, RLC])  # the second one needs RLC
            self.send("approve", [s.poco.rlc.functions.approve(s.hub.address, total) for s in sides], admin)
            amounts = [amount, RLC] if self.chance(0.9) else [amount]
            self.hub_step("depositForArray", admin, amounts, targets)

    def policy(self) -> None:
        index = self.random.randrange(len(self.cast.entries["workerpool"]))
        ratios = self.pick([0, 10, 30, 100, 150]), self.pick([0, 1, 50, 100, 101])
        owner = self.owners["workerpool", index]
        pools = [
            self.twin.web3.eth.contract(address=each, abi=published_abi("Workerpool"))
            for each in self.cast.entries["workerpool"][index]
        ]
        calls = [pool.functions.changePolicy(*ratios) for pool in pools]
        self.send("changePolicy", calls, owner if self.chance(0.9) else self.cast.workers[0])

    def entry(self) -> None:
        """An entry is offered, or changes hands."""
        kind = self.pick(list(REGISTRIES))
        index = self.random.randrange(len(self.cast.entries[kind]))
        owner, ids = self.owners[kind, index], self.cast.entries[kind][index]
        buyer = self.pick([self.cast.app_owner, self.cast.dataset_owner, *self.cast.schedulers, self.cast.firm])
        sender = owner if self.chance(0.6) else self.pick([self.cast.requester, buyer])
        if sender is buyer:
            buyer = self.cast.requester if sender is not self.cast.requester else self.cast.app_owner
        name, arguments = self.pick(
            [
                ("transferFrom", lambda token: (owner.address, buyer.address, token)),
                ("safeTransferFrom", lambda token: (owner.address, buyer.address, token)),
                ("transferFrom", lambda token: (buyer.address, owner.address, token)),
                ("transferFrom", lambda token: (owner.address, ZERO_ADDRESS, token)),
                ("approve", lambda token: (buyer.address, token)),
                ("setApprovalForAll", lambda _: (buyer.address, self.chance(0.3))),
            ]
        )
        if name == "approve" and buyer is owner:
            return
        registries = [getattr(side.poco, REGISTRIES[kind][0]) for side in self.twin.sides]
        values = [arguments(int(each, 16)) for each in ids]
        if name == "setApprovalForAll":
            values[1] = values[0]
        signature = "safeTransferFrom(address,address,uint256)" if name == "safeTransferFrom" else name
        calls = [each.functions[signature](*value) for each, value in zip(registries, values, strict=True)]
        if self.send(f"{kind} {name}", calls, sender) and "ransferFrom" in name:
            self.owners[kind, index] = self._holder(registries[0], ids[0])
        self._compare_entry((registries[0].address, registries[1].address), ids, owner, buyer)

    def _holder(self, registry: Any, entry: str) -> Party:
        return self.cast.parties[registry.functions.ownerOf(int(entry, 16)).call()]

    def _compare_entry(self, registries: Pair, ids: Pair, owner: Party, buyer: Party) -> None:
        query = self.twin.query
        queries = [query(name, ids, to=registries) for name in ("ownerOf", "getApproved", "isRegistered", "tokenURI")]
        for party in (owner, buyer):
            queries += [query("tokenOfOwnerByIndex", party.address, i, to=registries) for i in range(3)]
            queries.append(query("balanceOf", party.address, to=registries))
        queries += [query("tokenByIndex", i, to=registries) for i in range(4)]
        queries.append(query("isApprovedForAll", owner.address, buyer.address, to=registries))
        self.twin.same(queries)

    def administer(self) -> None:
        """What the owner may do, by the owner or by somebody else."""
        admin: Party = self.cast.admin if self.chance(0.8) else self.cast.requester
        broker = self.pick([None, None, self.cast.schedulers[0], self.cast.firm])
        name, arguments = self.pick(
            [
                ("setTeeBroker", (broker.address if broker else ZERO_ADDRESS,)),
                ("setCallbackGas", (self.pick([1_000_000, 1_000_000, 2_000_000, 0]),)),
                ("createCategory", ("new", "one more", self.pick([0, 60, 300]))),
                ("recover", ()),
                ("transferOwnership", (self.cast.admin.address,)),
            ]
        )
        if name == "recover":  # RLC that went astray
            calls = [side.poco.rlc.functions.transfer(side.hub.address, RLC) for side in self.twin.sides]
            self.send("RLC transfer", calls, self.cast.admin)
        if self.hub_step(name, admin, *arguments) and name == "setTeeBroker":
            self.broker = broker
        self.twin.same([self.twin.query(view) for view in ("teebroker", "callbackgas", "countCategory", "owner")])
        self.twin.same([self.twin.query("viewCategory", self.random.randrange(6))])
