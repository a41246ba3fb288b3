"""Who takes part on both sides: keys, a contract that signs, groups, receivers of results, and what they own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from eth_account import Account
from web3 import Web3

from benchmarks.gas_market import built, deploy_built
from ops.services import MNEMONIC
from poco.hexes import keccak, to_bytes, to_hex
from tests.contracts.differential.twin import Pair, Twin

RLC = 10**9
#: how a ContractWallet answers who asks for its signature
BY_LIST, REVERT, WRONG_WORD, SHORT, LONGER_WORD = range(5)
#: the kinds of entry, with the registry and the method that make one
REGISTRIES = {
    "app": ("app_registry", "createApp"),
    "dataset": ("dataset_registry", "createDataset"),
    "workerpool": ("workerpool_registry", "createWorkerpool"),
}


class Key:
    """An account with a private key, unlocked on the chain."""

    is_contract = False

    def __init__(self, index: int) -> None:
        Account.enable_unaudited_hdwallet_features()
        self._account = Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}")
        self.address = str(self._account.address)

    def sign(self, digests: Pair) -> tuple[bytes, bytes]:
        """Signatures of a hash on each side."""
        ours, original = (
            bytes(Account.unsafe_sign_hash(to_bytes(each), self._account.key).signature) for each in digests
        )
        return ours, original


class Firm:
    """An account that is a contract: it signs by ERC-1271 what it has on its list, and acts through `execute`."""

    is_contract = True

    def __init__(self, twin: Twin) -> None:
        self._twin = twin
        self.contract = deploy(twin, "ContractWallet")
        self.address = str(self.contract.address)

    def sign(self, digests: Pair) -> tuple[bytes, bytes]:
        self._twin.prepare([self.contract.functions.approveHash(to_bytes(each)) for each in digests])
        return b"", b""

    def answer(self, how: int) -> None:
        self._twin.prepare([self.contract.functions.setAnswer(how)])


Party = Key | Firm


def deploy(twin: Twin, name: str) -> Any:
    """One of the test's own contracts."""
    address = Web3.to_checksum_address(deploy_built(twin.web3, twin.accounts[0], name))
    return twin.web3.eth.contract(address=address, abi=built(name)["abi"])


def personal(digest: str) -> str:
    """What is signed when a hash is signed as a personal message."""
    return to_hex(keccak(b"\x19Ethereum Signed Message:\n32", to_bytes(digest)))


class Cast:
    """Made once per chain, before the state is kept that every market begins with."""

    def __init__(self, twin: Twin) -> None:
        self.twin = twin
        keys = [Key(i) for i in range(len(twin.accounts))]
        self.admin, self.requester, self.app_owner, self.dataset_owner, *rest = keys
        self.schedulers: list[Key] = rest[:2]
        self.firm = Firm(twin)
        self.workers: list[Party] = [*rest[2:], self.firm]
        self.parties: dict[str, Party] = {party.address: party for party in (*keys, self.firm)}
        self.owners: dict[tuple[str, int], Party] = {}
        self.entries: dict[str, list[Pair]] = {kind: [] for kind in REGISTRIES}
        self._name_everybody()
        for party in (self.app_owner, self.firm):
            self._create("app", party, "a", "DOCKER", b"x", b"\x01" * 32, b"")
            self._create("dataset", self.dataset_owner, f"of {party.address}", b"y", b"\x02" * 32)
        for owner in (*self.schedulers, self.firm):
            self._create("workerpool", owner, "pool")
        self.receivers = [deploy(twin, "Receiver") for _ in twin.sides]
        for side, receiver in zip(twin.sides, self.receivers, strict=True):
            side.name(receiver.address, "receiver")
        self.groups = [deploy(twin, name).address for name in ("Group", "Babbler")]
        self._fill_group()

    @property
    def receiver(self) -> Pair:
        ours, original = (str(each.address) for each in self.receivers)
        return ours, original

    def _name_everybody(self) -> None:
        named: dict[str, Party] = {"admin": self.admin, "requester": self.requester, "app owner": self.app_owner}
        named |= {"dataset owner": self.dataset_owner}
        named |= {f"scheduler {i}": each for i, each in enumerate(self.schedulers)}
        named |= {f"worker {i}": each for i, each in enumerate(self.workers[:-1])} | {"firm": self.firm}
        for name, party in named.items():
            for side in self.twin.sides:
                side.name(party.address, name)

    def _create(self, kind: str, owner: Party, *arguments: Any) -> None:
        registry, method = REGISTRIES[kind]
        made = []
        for side in self.twin.sides:
            call: Callable[..., Any] = getattr(side.poco, registry).functions[method]
            made.append(str(call(owner.address, *arguments).call()))
            self.twin.web3.eth.wait_for_transaction_receipt(
                call(owner.address, *arguments).transact({"from": self.admin.address})
            )
            side.name(made[-1], f"{kind} {len(self.entries[kind])}")
        self.owners[kind, len(self.entries[kind])] = owner
        self.entries[kind].append((made[0], made[1]))

    def _fill_group(self) -> None:
        """Half of everything is in the group."""
        group = self.twin.web3.eth.contract(address=self.groups[0], abi=built("Group")["abi"])
        members = [self.requester.address, *(each for kind in self.entries for each in self.entries[kind][0])]
        for member in members:
            self.twin.web3.eth.wait_for_transaction_receipt(
                group.functions.add(member).transact({"from": self.admin.address})
            )
