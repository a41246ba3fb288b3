"""Steps of a market: orders signed in every way, matched, mixed, signed and closed on chain."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from poco.hexes import ZERO_ADDRESS, ZERO_BYTES32, keccak, to_bytes, to_hex, uint256
from poco.ids import deal_id
from poco.orders import NO_DATASET, AppOrder, DatasetOrder, Order, RequestOrder, WorkerpoolOrder
from tests.contracts.differential.cast import BY_LIST, LONGER_WORD, REVERT, RLC, SHORT, WRONG_WORD, Party
from tests.contracts.differential.stage import HUGE, KINDS, Deal, Stage, struct_digest
from tests.contracts.differential.twin import Pair, Query

TEE = "0x" + "00" * 31 + "01"
GPU = "0x" + "00" * 30 + "0100"
ANY = "0x" + "ff" * 32
CATEGORIES = (0, 0, 0, 0, 1, 1, 2, 3, 9)
CLASSES = (AppOrder, DatasetOrder, WorkerpoolOrder, RequestOrder)
RESTRICTIONS = (
    ("request", "workerpool", "workerpool"),
    ("app", "datasetrestrict", "dataset"),
    ("app", "workerpoolrestrict", "workerpool"),
    ("app", "requesterrestrict", "requester"),
    ("dataset", "apprestrict", "app"),
    ("dataset", "workerpoolrestrict", "workerpool"),
    ("dataset", "requesterrestrict", "requester"),
    ("workerpool", "apprestrict", "app"),
    ("workerpool", "datasetrestrict", "dataset"),
    ("workerpool", "requesterrestrict", "requester"),
)
SIGN, CLOSE = 0, 1
NOWHERE: Pair = (ZERO_ADDRESS, ZERO_ADDRESS)


class Orders(Stage):
    """Rules about orders and deals."""

    def match(self) -> None:
        """Four new orders that fit more often than not."""
        entry = {kind: self.random.randrange(len(each)) for kind, each in self.cast.entries.items()}
        has_dataset = self.chance(0.4)
        requester = self.pick([self.cast.requester] * 3 + [self.cast.firm])
        target = {kind: self.cast.entries[kind][i] for kind, i in entry.items()}
        target["requester"] = (requester.address, requester.address)
        if not has_dataset:
            target["dataset"] = NOWHERE
        fair = self.chance(0.6)
        values = self._fair_terms(requester) if fair else self._terms(requester)
        callback = self._callback()
        restrictions = [self._restriction(target, fair) for _ in range(self.pick([0, 0, 0, 1, 1, 2]))]
        signers: list[Party] = [self.owners[kind, entry[kind]] for kind in KINDS[:3]] + [requester]
        if self.chance(0.04):
            signers[self.random.randrange(4)] = self.cast.workers[0]
        self.salts += 1
        salt = "0x" + self.salts.to_bytes(32, "big").hex()
        both: list[list[Order]] = [[], []]
        for i, kind in enumerate(KINDS):
            for side in range(2):
                named = {kind: target[kind][side]} if kind in target else {}
                if kind == "request":
                    named = {"app": target["app"][side], "dataset": target["dataset"][side]}
                    named["callback"] = callback[side]
                named |= {field: allowed[side] for owner, field, allowed in restrictions if owner == kind}
                absent = kind == "dataset" and not has_dataset
                both[side].append(NO_DATASET if absent else CLASSES[i](**values[kind], **named, salt=salt))
        for i in range(4):
            if both[0][i] is not NO_DATASET:
                self._sign(both, i, signers[i])
        self.orders.append(both)
        self._send_match(both, sponsored=self.chance(0.25))

    def _terms(self, requester: Party) -> dict[str, dict[str, Any]]:
        """What the orders say but for the resources."""
        pick, price = self.pick, self._price
        volume, category = pick([1, 1, 2, 3, 5]), pick(CATEGORIES)
        trust = pick([0, 1, 1, 2, 3, 4, 5, self.random.randint(0, 20)])
        tags = [ZERO_BYTES32] * 5 + [TEE, GPU]
        return {
            "app": {"appprice": price(), "volume": volume + pick([0, 0, 1]), "tag": pick([*tags, TEE])},
            "dataset": {"datasetprice": price(), "volume": volume + pick([0, 0, 2]), "tag": pick(tags)},
            "workerpool": {
                "workerpoolprice": price(),
                "volume": volume + pick([0, 0, 3, -1]),
                "category": category if self.chance(0.97) else 0,
                "trust": pick([20, 20, 20, trust, 1]),
                "tag": pick([ANY, ANY, ANY, ANY, ZERO_BYTES32, TEE]),
            },
            "request": {
                "appmaxprice": pick([HUGE] * 9 + [RLC]),
                "datasetmaxprice": pick([HUGE] * 9 + [RLC]),
                "workerpoolmaxprice": pick([HUGE] * 3 + [4 * RLC]),
                "requester": requester.address,
                "volume": volume + pick([0, 0, 4]),
                "tag": pick(tags),
                "category": category,
                "trust": trust,
                "beneficiary": pick([requester.address, self.cast.workers[0].address, ZERO_ADDRESS]),
                "params": pick(["", "{}", "x" * 31, "x" * 32, "x" * 200]),
            },
        }

    def _fair_terms(self, requester: Party) -> dict[str, dict[str, Any]]:
        """Terms on which everybody agrees."""
        values, tag = self._terms(requester), self.pick([ZERO_BYTES32] * 4 + [TEE, GPU])
        trust, category = values["request"]["trust"], self.pick([0, 0, 0, 0, 1, 2, 3])
        values["app"]["tag"], values["dataset"]["tag"] = tag, ZERO_BYTES32
        values["workerpool"] |= {"category": category, "trust": max(trust, 3), "tag": ANY}
        values["workerpool"]["volume"] = max(1, values["workerpool"]["volume"])
        prices = {f"{kind}maxprice": HUGE for kind in ("app", "dataset", "workerpool")}
        values["request"] |= {"tag": self.pick([ZERO_BYTES32, tag]), "category": category, **prices}
        return values

    def _callback(self) -> Pair:
        account = self.cast.workers[0].address
        return self.pick([NOWHERE] * 6 + [(account, account), self.cast.receiver, self.cast.receiver])

    def _restriction(self, target: dict[str, Pair], fair: bool) -> tuple[str, str, Pair]:
        """One of the ten: whose order, which field, and whom it lets through on each side."""
        owner, field, whom = self.pick(RESTRICTIONS)
        group, babbler = ((each, each) for each in self.cast.groups)
        stranger, firm = ((each.address, each.address) for each in (self.cast.workers[1], self.cast.firm))
        exact = target[whom]
        return (
            owner,
            field,
            self.pick([exact, exact, exact, group] if fair else [exact, group, stranger, babbler, firm]),
        )

    def _sign(self, both: list[list[Order]], index: int, signer: Party) -> None:
        """Put signatures in place on both sides; a few are spoilt."""
        digests = self.hashes(both, index)
        label = f"{KINDS[index]} order {self.salts}"
        for side, digest in zip(self.twin.sides, digests, strict=True):
            side.name(digest, label)
        signatures = list(signer.sign(digests))
        if self.chance(0.06):
            state = self.random.getstate()
            spoilt = []
            for each in signatures:  # the same spoiling on both sides
                self.random.setstate(state)
                spoilt.append(self.badly(each))
            signatures = spoilt
        for orders, signature in zip(both, signatures, strict=True):
            orders[index] = orders[index].signed(to_hex(signature))

    def match_again(self) -> None:
        """Orders of earlier tries, perhaps mixed: bags that are partly consumed."""
        if not self.orders:
            return
        tries = self.orders[-8:]
        if self.chance(0.5):
            self._send_match(self.pick(tries), sponsored=False)
            return
        chosen = [self.pick(tries) for _ in range(4)]
        if self.chance(0.7):  # with the dataset that the request asks for
            chosen[1] = chosen[3]
        self._send_match([[chosen[i][side][i] for i in range(4)] for side in range(2)], sponsored=self.chance(0.2))

    def _send_match(self, both: list[list[Order]], *, sponsored: bool) -> None:
        name = "sponsorMatchOrders" if sponsored else "matchOrders"
        sender = self.pick([self.cast.requester, *self.cast.workers]) if sponsored else self.cast.admin
        hashes = self.hashes(both, 3)
        before = int(self.view("viewConsumed", hashes)[0], 16)
        ids = (deal_id(hashes[0], before), deal_id(hashes[1], before))
        label = f"deal {len(self.deals)}"
        for side, each in zip(self.twin.sides, ids, strict=True):
            side.name(each, label)
        self.twin.same([Query("computeDealVolume", self._order_data("computeDealVolume", both))])
        moody = self.chance(0.08)
        if moody:
            self.cast.firm.answer(self.pick([REVERT, WRONG_WORD, SHORT, LONGER_WORD]))
        taken = self.send(name, self._order_calls(name, both), sender)
        if moody:
            self.cast.firm.answer(BY_LIST)
        if not taken:
            return
        self.twin.same([self.twin.query("viewConsumed", self.hashes(both, i)) for i in range(4)])
        self.view("viewDeal", ids)
        view = self.twin.ours.hub.functions.viewDeal(to_bytes(ids[0])).call()
        trust, tag, callback, first, volume = view[3], view[5], view[8], view[11], view[12]
        scheduler = self.cast.parties[view[2][1]]
        enclave = bool(tag[31] & 1)
        self.deals.append(Deal(label, ids, first, volume, trust, enclave, self.callback_of(callback), scheduler))

    def _order_calls(self, name: str, both: list[list[Order]]) -> list[Any]:
        return [
            side.hub.functions[name](*(order.as_tuple() for order in orders))
            for orders, side in zip(both, self.twin.sides, strict=True)
        ]

    def _order_data(self, name: str, both: list[list[Order]]) -> list[str]:
        return [str(call._encode_transaction_data()) for call in self._order_calls(name, both)]

    def manage(self) -> None:
        """Sign or close an order on chain: by its owner, with its owner's signature, or by somebody else."""
        if not self.orders:
            return
        both, index = self.pick(self.orders[-5:]), self.random.randrange(4)
        if both[0][index] is NO_DATASET:
            return
        owner = self._owner_of(both[0][index])
        operation = self.pick([SIGN, SIGN, CLOSE])
        method = f"manage{CLASSES[index].NAME}"
        signatures: tuple[bytes, bytes] = (b"\x00" * 65, b"\x00" * 65)
        sender = owner if self.chance(0.8) else self.cast.workers[0]
        if self.chance(0.5):  # anybody, with a signature of this or of the other operation
            sender = self.cast.admin
            signed = operation if self.chance(0.8) else 1 - operation
            signatures = (owner if self.chance(0.9) else self.cast.workers[0]).sign(
                self._operation_hashes(both, index, signed)
            )
        calls = [
            side.hub.functions[method]((orders[index].as_tuple(), operation, signature))
            for orders, side, signature in zip(both, self.twin.sides, signatures, strict=True)
        ]
        self.send(method, calls, sender)
        each = self.hashes(both, index)
        self.twin.same([self.twin.query(view, each) for view in ("viewPresigned", "viewConsumed")])
        self.twin.same([self.twin.query("verifyPresignature", owner.address, each)])
        if operation == SIGN:
            unsigned = [[replace(o, sign="0x") if i == index else o for i, o in enumerate(e)] for e in both]
            self.orders.append(unsigned)
            if self.chance(0.6):
                self._send_match(unsigned, sponsored=False)

    def _owner_of(self, order: Order) -> Party:
        """Who owns the resource of one of our orders, or the requester."""
        if isinstance(order, RequestOrder):
            return self.cast.parties[order.requester]
        kind = KINDS[CLASSES.index(type(order))]
        ours = [pair[0] for pair in self.cast.entries[kind]]
        return self.owners[kind, ours.index(getattr(order, kind))]

    def _operation_hashes(self, both: list[list[Order]], index: int, operation: int) -> Pair:
        name, types = CLASSES[index].NAME, CLASSES[index].TYPES
        fields = ",".join(f"{kind} {field}" for field, kind in types.items())
        kind = f"{name}Operation({name} order,uint256 operation){name}({fields})"
        ours, original = (
            to_hex(
                struct_digest(
                    side.domain.separator(),
                    keccak(kind.encode()),
                    orders[index].struct_hash(),
                    uint256(operation),
                )
            )
            for orders, side in zip(both, self.twin.sides, strict=True)
        )
        return ours, original

    def broadcast(self) -> None:
        """Make an order known; the signature is left out, as it differs."""
        if not self.orders:
            return
        both, index = self.pick(self.orders[-5:]), self.random.randrange(4)
        method = f"broadcast{CLASSES[index].NAME}"
        calls = [
            side.hub.functions[method](replace(orders[index], sign="0x").as_tuple())
            for orders, side in zip(both, self.twin.sides, strict=True)
        ]
        self.send(method, calls, self.pick(self.cast.workers))

    def compatible(self) -> None:
        """Whether a dataset order would fit a deal."""
        offers = [both for both in self.orders[-10:] if both[0][1] is not NO_DATASET]
        if offers and self.deals:
            both, deal = self.pick(offers), self.pick(self.deals[-5:])
            name = "assertDatasetDealCompatibility"
            data = [
                str(side.hub.functions[name](orders[1].as_tuple(), to_bytes(each))._encode_transaction_data())
                for side, orders, each in zip(self.twin.sides, both, deal.ids, strict=True)
            ]
            self.twin.same([Query(name, data)])

    def _price(self) -> int:
        return self.pick([0, 1, 33, RLC, RLC, self.random.randint(0, 9 * RLC), self.random.randint(0, 9 * RLC)])
