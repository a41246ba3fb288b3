"""Both sides asked the same where they are meant to answer differently."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from eth_abi.abi import decode
from web3 import Web3

from benchmarks.gas_market import built
from poco.hexes import ZERO_ADDRESS, keccak, to_bytes, to_hex, uint256
from poco.ids import authorization_hash, deal_id, result_hash, result_seal, task_id
from poco.orders import NO_DATASET, AppOrder, Order, RequestOrder, WorkerpoolOrder
from tests.contracts.differential.campaign import Campaign
from tests.contracts.differential.cast import RLC, Party, personal
from tests.contracts.differential.stage import HUGE
from tests.contracts.differential.twin import GAS, Pair, Side, Twin, revert_data, signature

#: where the original keeps its state (PocoStorageLib), and the place of a mapping in it; ours begins at slot 0
ORIGINAL_STORAGE = 0x5862653C6982C162832160CF30593645E8487B257E44D77CDD6B51EEE2651B00
ORIGINAL_CONSUMED, ORIGINAL_SCORES = 13, 18
OUR_ACCOUNTS, OUR_ORDERS = 0, 1
ANY = "0x" + "ff" * 32
#: Error(string) and facetAddress(bytes4)
TEXT, FACET_ADDRESS = bytes.fromhex("08c379a0"), "0xcdffacc6"

OURS_ONLY, ORIGINAL_ONLY, BOTH, NEITHER = (True, False), (False, True), (True, True), (False, False)


class Contrast:
    """A market at its beginning, on both sides."""

    def __init__(self, campaign: Campaign) -> None:
        self.twin: Twin = campaign.twin
        self.cast = campaign.cast
        self.sides = self.twin.sides
        self.twin.rewind()
        self._salt = 0

    def takes(self, calls: Sequence[Any], sender: Party | str, gas: int = GAS) -> tuple[bool, bool]:
        """Whether ours and the original take a transaction."""
        address = sender if isinstance(sender, str) else sender.address
        ours, original = (int(receipt["status"], 16) == 1 for receipt in self.twin.outcomes(calls, address, gas))
        return ours, original

    def at_hubs(self, name: str, *arguments: Any) -> list[Any]:
        """A call of each hub with the same arguments."""
        return [side.hub.functions[name](*arguments) for side in self.sides]

    def about(self, name: str, ids: Sequence[str], *arguments: Any) -> list[Any]:
        """A call of each hub about something that has another id on each."""
        return [
            side.hub.functions[name](to_bytes(each), *arguments) for side, each in zip(self.sides, ids, strict=True)
        ]

    def ask(self, side: Side, name: str, *arguments: Any) -> dict[str, Any]:
        """What a hub answers to an eth_call, reverts included."""
        data = str(side.hub.functions[name](*arguments)._encode_transaction_data())
        return self.twin.ask({"to": side.hub.address, "data": data, "from": self.cast.admin.address})

    def knows(self, side: Side, selector: str) -> bool:
        """Whether a hub has a function: of ours the interfaces tell, of the original its table of facets."""
        if side is self.twin.ours:
            return selector in _ours()
        data = FACET_ADDRESS + selector.removeprefix("0x").ljust(64, "0")
        return int(self.twin.ask({"to": side.hub.address, "data": data})["result"], 16) != 0

    def answers(self, address: str, selector: str) -> bool:
        """Whether a contract says anything to a call of a function with zeros for arguments."""
        reply = self.twin.ask({"to": address, "data": selector + "00" * 320})
        return "result" in reply or revert_data(reply) != b""

    def refusal(self, call: Any, sender: Party | str) -> Any:
        """What a call of the hub would revert with: name and arguments of a typed error, or the text of a plain one."""
        address = sender if isinstance(sender, str) else sender.address
        data = str(call._encode_transaction_data())
        reply = self.twin.ask({"to": call.address, "data": data, "from": address, "gas": hex(30_000_000)})
        assert "error" in reply, "it was not refused"
        raw = revert_data(reply)
        if raw[:4] == TEXT:
            return decode(["string"], raw[4:])[0]
        name, kinds = _errors().get(raw[:4], (raw.hex(), []))
        return (name, *decode(kinds, raw[4:]))

    # orders

    def orders(self, signers: Sequence[Party | None] = (), **values: dict[str, Any]) -> list[list[Order]]:
        """Orders without a dataset that match for nothing, on each side; `values` by kind, a pair for each side."""
        self._salt += 1
        salt = "0x" + self._salt.to_bytes(32, "big").hex()
        both: list[list[Order]] = []
        for i, _ in enumerate(self.sides):

            def here(kind: str, i: int = i) -> dict[str, Any]:
                given = values.get(kind, {})
                return {name: value[i] if isinstance(value, tuple) else value for name, value in given.items()}

            app, pool = (self.cast.entries[kind][0][i] for kind in ("app", "workerpool"))
            requester = self.cast.requester.address
            maxima = {f"{kind}maxprice": HUGE for kind in ("app", "dataset", "workerpool")}
            both.append(
                [
                    AppOrder(**{"app": app, "salt": salt, **here("app")}),
                    NO_DATASET,
                    WorkerpoolOrder(**{"workerpool": pool, "trust": 9, "tag": ANY, "salt": salt, **here("pool")}),
                    RequestOrder(**{"app": app, "requester": requester, **maxima, "salt": salt, **here("request")}),
                ]
            )
        owners = (self.cast.app_owner, None, self.cast.schedulers[0], self.cast.requester)
        for index, owner in enumerate(signers or owners):
            if owner is not None:
                self.sign(both, index, owner)
        return both

    def sign(self, both: list[list[Order]], index: int, signer: Party) -> None:
        digests = self.hashes(both, index)
        for orders, each in zip(both, signer.sign((digests[0], digests[1])), strict=True):
            orders[index] = orders[index].signed(to_hex(each))

    def hashes(self, both: list[list[Order]], index: int) -> list[str]:
        """Hash of an order on each side."""
        return [orders[index].hash(side.domain) for orders, side in zip(both, self.sides, strict=True)]

    def consumed(self, both: list[list[Order]], index: int) -> list[int]:
        return [call.call() for call in self.about("viewConsumed", self.hashes(both, index))]

    def matches(self, both: list[list[Order]]) -> list[Any]:
        return [
            side.hub.functions.matchOrders(*(order.as_tuple() for order in orders))
            for side, orders in zip(self.sides, both, strict=True)
        ]

    # state that no sequence of steps would reach in time

    def store_score(self, account: str, score: int) -> None:
        """Give an account a score (its money at ours is lost)."""
        ours = keccak(to_bytes(account).rjust(32, b"\0"), uint256(OUR_ACCOUNTS))
        original = keccak(to_bytes(account).rjust(32, b"\0"), uint256(ORIGINAL_STORAGE + ORIGINAL_SCORES))
        self._store(0, ours, (score << 192) | 1_000 * RLC)
        self._store(1, original, score)

    def store_consumed(self, both: list[list[Order]], index: int, consumed: int) -> None:
        """Let an order be consumed to that number."""
        hashes = [to_bytes(each) for each in self.hashes(both, index)]
        self._store(0, keccak(hashes[0], uint256(OUR_ORDERS)), consumed << 160)
        self._store(1, keccak(hashes[1], uint256(ORIGINAL_STORAGE + ORIGINAL_CONSUMED)), consumed)

    def _store(self, side: int, slot: bytes, value: int) -> None:
        hub = self.sides[side].hub.address
        self.twin.rpc("anvil_setStorageAt", hub, to_hex(slot), to_hex(uint256(value)))


def first_task(contrast: Contrast, both: list[list[Order]]) -> Pair:
    """Match, and start the first task of the deal; its ids."""
    assert contrast.takes(contrast.matches(both), contrast.cast.admin) == BOTH
    deals = [deal_id(each, 0) for each in contrast.hashes(both, 3)]
    assert contrast.takes(contrast.about("initialize", deals, 0), contrast.cast.admin) == BOTH
    return task_id(deals[0], 0), task_id(deals[1], 0)


def contributions(contrast: Contrast, ids: Pair, worker: str, digest: str) -> list[Any]:
    """Calls of `contribute` by an address."""
    authorizations = [personal(authorization_hash(worker, each)) for each in ids]
    signed = contrast.cast.schedulers[0].sign((authorizations[0], authorizations[1]))
    made = []
    for side, each, sign in zip(contrast.sides, ids, signed, strict=True):
        hashes = to_bytes(result_hash(each, digest)), to_bytes(result_seal(worker, each, digest))
        made.append(side.hub.functions.contribute(to_bytes(each), *hashes, ZERO_ADDRESS, b"", sign))
    return made


def selector_of(entry: dict[str, Any]) -> str:
    """Selector of a function or an error in an ABI."""
    return to_hex(bytes(Web3.keccak(text=signature(entry))[:4]))


@cache
def _ours() -> set[str]:
    """Selectors that our hub and its extension dispatch."""
    entries = [each for name in ("Hub", "HubExtension") for each in built(name)["abi"]]
    return {selector_of(each) for each in entries if each["type"] == "function"}


@cache
def _errors() -> dict[bytes, tuple[str, list[str]]]:
    table = {}
    for entry in built("IHub")["abi"]:
        if entry["type"] == "error":
            kinds = [part["type"] for part in entry["inputs"]]
            table[to_bytes(selector_of(entry))] = (entry["name"], kinds)
    return table
