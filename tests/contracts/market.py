"""A deployed marketplace with its parties, and the steps of a task in one call each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import pbkdf2_hmac
from itertools import count
from typing import Any

from brownie import accounts, chain, rpc, web3
from brownie._config import CONFIG
from brownie.exceptions import VirtualMachineError
from eth_abi.abi import decode
from eth_account import Account
from eth_account.hdaccount import key_from_seed
from eth_account.messages import encode_defunct

from ops.services import MNEMONIC
from poco.hexes import to_bytes
from poco.ids import authorization_hash, deal_id, result_hash, result_seal, task_id
from poco.orders import NO_DATASET, AppOrder, DatasetOrder, Domain, Order, RequestOrder, WorkerpoolOrder
from scripts.deploy import abi, deploy

RLC = 10**9
DIGEST = "0x" + "d1" * 32
OTHER_DIGEST = "0x" + "d2" * 32
ZERO = "0x" + "00" * 20
KITTY = "0x99c2268479b93fDe36232351229815DF80837e23"
XS, S, M, L, XL = range(5)

_KEYS: dict[str, str] = {}


def key_of(address: str) -> str:
    """Private key of an account of the development chain."""
    if not _KEYS:
        # Ganache's may be no BIP-39 phrase; Anvil's is left at its default
        phrase = CONFIG.active_network["cmd_settings"].get("mnemonic", MNEMONIC)
        seed = pbkdf2_hmac("sha512", phrase.encode(), b"mnemonic", 2048)
        for i in range(10):
            key = key_from_seed(seed, f"m/44'/60'/0'/0/{i}")
            _KEYS[Account.from_key(key).address] = "0x" + key.hex().removeprefix("0x")
    return _KEYS[str(address)]


def sign_hash(signer: Any, digest: str) -> str:
    """Signature of a 32-byte hash."""
    return "0x" + Account.unsafe_sign_hash(to_bytes(digest, 32), key_of(signer)).signature.hex().removeprefix("0x")


def sign_message(signer: Any, digest: str) -> str:
    """Signature of a 32-byte hash as a personal message."""
    message = encode_defunct(to_bytes(digest, 32))
    return "0x" + Account.sign_message(message, key_of(signer)).signature.hex().removeprefix("0x")


def _errors() -> dict[bytes, tuple[str, list[str]]]:
    table = {}
    for interface in ("IHub", "IRlc", "IAppRegistry", "IWorkerpoolRegistry", "IWorkerpool", "IEnergyLedger"):
        for entry in abi(interface):
            if entry["type"] == "error":
                kinds = [part["type"] for part in entry["inputs"]]
                selector = web3.keccak(text=f"{entry['name']}({','.join(kinds)})")[:4]
                table[bytes(selector)] = (entry["name"], kinds)
    return table


def revert_of(call: Any, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
    """Name and arguments of the custom error that a contract method fails with, asked by eth_call."""
    sender = str(kwargs.pop("options", {}).get("from", ZERO))
    if CONFIG.argv["coverage"]:
        trace_refused(call, args, sender)
    request = {"to": call._address, "data": call.encode_input(*args), "from": sender}
    answer = web3.provider.make_request("eth_call", [request, "latest"])
    if "error" not in answer:
        raise AssertionError(f"{call._name} did not revert")
    data = answer["error"].get("data")
    data = bytes.fromhex((data if isinstance(data, str) else data["result"]).removeprefix("0x"))
    name, kinds = _errors().get(data[:4], (None, []))
    if name is None:
        return ("0x" + data.hex(),)
    return (name, *decode(kinds, data[4:]))


def trace_refused(call: Any, args: Sequence[Any], sender: str) -> None:
    """Send as a transaction what must fail, since coverage sees nothing else."""
    before = rpc._snapshot()
    with refused():
        call.transact(*args, {"from": accounts.at(sender, force=True), "allow_revert": True})
    chain._revert(before)


@contextmanager
def untraced() -> Iterator[None]:
    """Views that coverage need not see once more: it sends each as a transaction first."""
    traced, CONFIG.argv["always_transact"] = CONFIG.argv["always_transact"], False
    yield
    CONFIG.argv["always_transact"] = traced


@contextmanager
def refused() -> Iterator[None]:
    """The transaction within must revert."""
    try:
        yield
    except VirtualMachineError:
        return
    raise AssertionError("the transaction was not refused")


def same(value: Any) -> str:
    """Hex text of ids as Brownie returns them."""
    return str(value).lower()


@dataclass
class Deal:
    """A deal with the orders it was made of."""

    id: str
    orders: tuple[Order, Order, Order, Order]
    tx: Any
    tasks: list[str] = field(default_factory=list)


@dataclass
class Market:
    """Contracts and parties; `workers` are five accounts, everybody has 1,000 RLC in the hub."""

    hub: Any
    rlc: Any
    app_registry: Any
    dataset_registry: Any
    workerpool_registry: Any
    energy_ledger: Any
    domain: Domain
    admin: Any
    requester: Any
    scheduler: Any
    app_owner: Any
    dataset_owner: Any
    workers: list[Any]
    app: str = ""
    dataset: str = ""
    pool: str = ""
    _salts: Iterator[int] = field(default_factory=lambda: count(1))

    @classmethod
    def deploy(cls, accounts: Sequence[Any]) -> Market:
        contracts = deploy(accounts[0])
        hub = contracts["hub"]
        market = cls(
            hub=hub,
            rlc=contracts["RLC"],
            app_registry=contracts["AppRegistry"],
            dataset_registry=contracts["DatasetRegistry"],
            workerpool_registry=contracts["WorkerpoolRegistry"],
            energy_ledger=contracts["EnergyLedger"],
            domain=Domain(chain.id, hub.address),
            admin=accounts[0],
            requester=accounts[1],
            scheduler=accounts[2],
            app_owner=accounts[3],
            dataset_owner=accounts[4],
            workers=list(accounts[5:10]),
        )
        market.app = market.create_app("motion")
        market.dataset = market.create_dataset("footage")
        market.pool = market.create_pool("solar")
        for account in (market.requester, market.scheduler, *market.workers):
            market.fund(account, 1_000 * RLC)
        return market

    # registries and money

    def create_app(self, name: str) -> str:
        entry = (self.app_owner, name, "DOCKER", b"registry/motion:1", b"\x01" * 32, b"")
        return str(self.app_registry.createApp(*entry, {"from": self.admin}).return_value)

    def create_dataset(self, name: str) -> str:
        entry = (self.dataset_owner, name, b"/ipfs/Qm", b"\x02" * 32)
        return str(self.dataset_registry.createDataset(*entry, {"from": self.admin}).return_value)

    def create_pool(self, description: str) -> str:
        return str(
            self.workerpool_registry.createWorkerpool(self.scheduler, description, {"from": self.admin}).return_value
        )

    def fund(self, account: Any, amount: int) -> None:
        """Give an account stake in the hub."""
        self.rlc.approve(self.hub, amount, {"from": self.admin})
        self.hub.depositFor(amount, account, {"from": self.admin})

    def stake(self, account: Any) -> int:
        return int(self.hub.viewAccount(account)[0])

    def locked(self, account: Any) -> int:
        return int(self.hub.viewAccount(account)[1])

    def money(self, *others: Any) -> dict[str, tuple[int, int]]:
        """(stake, locked) of every party, of the kitty and of `others`."""
        parties = {self.requester, self.scheduler, self.app_owner, self.dataset_owner, self.admin, *self.workers}
        everybody = {str(account) for account in (*parties, *others, KITTY)}
        with untraced():
            views = {account: self.hub.viewAccount(account) for account in everybody}
        return {account: (int(view[0]), int(view[1])) for account, view in views.items()}

    # orders

    def salt(self) -> str:
        return "0x" + next(self._salts).to_bytes(32, "big").hex()

    def sign(self, order: Order, signer: Any) -> Order:
        return order.signed(sign_hash(signer, order.hash(self.domain)))

    def app_order(self, signer: Any = None, **values: Any) -> AppOrder:
        order = AppOrder(**{"app": self.app, "appprice": 1 * RLC, "salt": self.salt(), **values})
        return self.sign(order, signer or self.app_owner)

    def dataset_order(self, signer: Any = None, **values: Any) -> DatasetOrder:
        order = DatasetOrder(**{"dataset": self.dataset, "datasetprice": 2 * RLC, "salt": self.salt(), **values})
        return self.sign(order, signer or self.dataset_owner)

    def pool_order(self, signer: Any = None, **values: Any) -> WorkerpoolOrder:
        defaults = {"workerpool": self.pool, "workerpoolprice": 10 * RLC, "trust": 100, "salt": self.salt()}
        return self.sign(WorkerpoolOrder(**{**defaults, **values}), signer or self.scheduler)

    def request_order(self, signer: Any = None, **values: Any) -> RequestOrder:
        requester = str(self.requester)
        defaults = {
            "app": self.app,
            "appmaxprice": 5 * RLC,
            "datasetmaxprice": 5 * RLC,
            "workerpoolmaxprice": 20 * RLC,
            "requester": requester,
            "beneficiary": requester,
            "params": '{"iexec_args":"--fast"}',
            "salt": self.salt(),
        }
        order = RequestOrder(**{**defaults, **values})
        return self.sign(order, signer or order.requester)

    # the steps of a task

    def orders(
        self, volume: int = 1, trust: int = 1, category: int = XS, dataset: bool = False, **request: Any
    ) -> list[Order]:
        """Four orders that match."""
        return [
            self.app_order(volume=volume),
            self.dataset_order(volume=volume) if dataset else NO_DATASET,
            self.pool_order(volume=volume, category=category),
            self.request_order(
                volume=volume,
                trust=trust,
                category=category,
                **({"dataset": self.dataset} if dataset else {}),
                **request,
            ),
        ]

    def match(self, orders: Sequence[Order], sender: Any = None, sponsored: bool = False) -> Deal:
        """Match orders; the deal's id follows from the request order, and the chain must agree."""
        request_hash = orders[3].hash(self.domain)
        wanted = deal_id(request_hash, self.hub.viewConsumed(request_hash))
        method = self.hub.sponsorMatchOrders if sponsored else self.hub.matchOrders
        tx = method(*(order.as_tuple() for order in orders), {"from": sender or self.admin})
        assert same(tx.events["OrdersMatched"]["dealid"]) == wanted
        deal = self.hub.viewDeal(wanted)
        indexes = range(deal["botFirst"], deal["botFirst"] + deal["botSize"])
        return Deal(wanted, tuple(orders), tx, [task_id(wanted, i) for i in indexes])

    def deal(self, **options: Any) -> Deal:
        return self.match(self.orders(**options))

    def task(self, **options: Any) -> str:
        """An initialized task of a new deal."""
        deal = self.deal(**options)
        self.hub.initialize(deal.id, 0, {"from": self.scheduler})
        return deal.tasks[0]

    def authorization(self, worker: Any, task: str, enclave: str = ZERO, signer: Any = None) -> str:
        return sign_message(signer or self.scheduler, authorization_hash(str(worker), task, enclave))

    def contribution(self, worker: Any, task: str, digest: str = DIGEST) -> tuple[Any, ...]:
        """Arguments of `contribute`."""
        hashes = result_hash(task, digest), result_seal(str(worker), task, digest)
        return (task, *hashes, ZERO, "0x", self.authorization(worker, task))

    def contribute(self, worker: Any, task: str, digest: str = DIGEST) -> Any:
        return self.hub.contribute(*self.contribution(worker, task, digest), {"from": worker})

    def reveal(self, worker: Any, task: str, digest: str = DIGEST) -> Any:
        return self.hub.reveal(task, digest, {"from": worker})

    def finalize(self, task: str, results: bytes = b"result", callback: bytes = b"") -> Any:
        return self.hub.finalize(task, results, callback, {"from": self.scheduler})

    def complete(self, task: str, workers: Sequence[Any], digest: str = DIGEST) -> Any:
        """Contribute, reveal and finalize with workers that agree."""
        for worker in workers:
            self.contribute(worker, task, digest)
        for worker in workers:
            self.reveal(worker, task, digest)
        return self.finalize(task)

    def after_final_deadline(self, task: str) -> None:
        chain.sleep(int(self.hub.viewTask(task)["finalDeadline"]) - chain.time() + 1)
        chain.mine()
