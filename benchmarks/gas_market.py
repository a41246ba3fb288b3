"""A marketplace, ours or the original, driven step by step through one interface; a step returns the gas it used."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from eth_account import Account
from web3 import Web3

from chain.wallet import Wallet
from ops.console import ROOT
from ops.real_poco import GAS_LIMIT, Poco, deploy_code, deploy_rlc, published_abi
from ops.services import MNEMONIC
from poco.errors import PewError
from poco.hexes import ZERO_ADDRESS, keccak, to_bytes, to_hex, uint256
from poco.ids import authorization_hash, deal_id, result_hash, result_seal, task_id
from poco.orders import NO_DATASET, AppOrder, DatasetOrder, Domain, RequestOrder, WorkerpoolOrder

RLC = 10**9
CATEGORIES = (("XS", "up to 5 minutes", 300), ("S", "up to 20 minutes", 1_200))
CATEGORY = 1
PARAMS = ""  # as where the original's gas was published
RESULTS = json.dumps({"storage": "ipfs", "location": "/ipfs/QmfZ88JXmx2FJsAxT4ZsJBVhBUXdPoRbDZhbkSS1WsMbUA"}).encode()
DIGEST = "0x" + "d1" * 32
WRONG_DIGEST = "0x" + "d2" * 32
ACCOUNTS = 100


def deploy_ours(web3: Web3, deployer: str, categories: Sequence[tuple[str, str, int]] = ()) -> Poco:
    """Our contracts as Brownie compiled them, with the original's token, seen through the original's ABI."""
    rlc = deploy_rlc(web3, deployer)
    names = ("AppRegistry", "DatasetRegistry", "WorkerpoolRegistry")
    registries = [deploy_built(web3, deployer, name) for name in names]
    extension = deploy_built(web3, deployer, "HubExtension", rlc.address, *registries)
    ledger = deploy_built(web3, deployer, "EnergyLedger")
    hub = web3.eth.contract(
        address=Web3.to_checksum_address(deploy_built(web3, deployer, "Hub", extension, ledger)),
        abi=published_abi("IexecInterfaceToken"),
    )
    for category in categories:
        hub.functions.createCategory(*category).transact({"from": deployer, "gas": GAS_LIMIT})
    contracts = [
        web3.eth.contract(address=Web3.to_checksum_address(address), abi=published_abi(name))
        for name, address in zip(names, registries, strict=True)
    ]
    return Poco(hub, rlc, *contracts)


def deploy_built(web3: Web3, deployer: str, name: str, *arguments: str) -> str:
    """Create one of our contracts as Brownie compiled it; its address."""
    artifact = built(name)
    contract = web3.eth.contract(abi=artifact["abi"], bytecode=artifact["bytecode"])
    data = contract.constructor(*arguments).data_in_transaction
    return deploy_code(web3, deployer, data)


def built(name: str) -> dict[str, Any]:
    """What Brownie made of a contract: `abi`, `bytecode` and more. PewError where it is not compiled."""
    path = ROOT / "build" / "contracts" / f"{name}.json"
    if not path.exists():
        raise PewError(f"{name} is not compiled", hint="run `brownie compile`")
    artifact: dict[str, Any] = json.loads(path.read_text())
    return artifact


def wallets(number: int) -> list[Wallet]:
    """The chain's unlocked accounts, which sign orders too."""
    Account.enable_unaudited_hdwallet_features()
    return [Wallet(Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{i}")) for i in range(number)]


@dataclass
class Parties:
    """Who takes part in a deal, with the resources they own."""

    requester: Wallet
    scheduler: Wallet
    app_owner: Wallet
    dataset_owner: Wallet
    workers: list[Wallet]
    app: str = ""
    dataset: str = ""
    pool: str = ""


@dataclass
class Market:
    """One deployment with an endless supply of fresh accounts; RLC amounts in nRLC."""

    web3: Web3
    poco: Poco
    accounts: list[Wallet]
    #: the last transaction of each note: its hash and gas
    transactions: dict[str, tuple[str, int]] = field(default_factory=dict)
    _next: Iterator[int] = field(default_factory=lambda: count(1))
    _salts: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def domain(self) -> Domain:
        return Domain(self.web3.eth.chain_id, self.poco.hub.address)

    def fresh(self, deposit: int = 1_000 * RLC) -> Wallet:
        """An account that never did anything but to deposit."""
        wallet = self.accounts[next(self._next)]
        if deposit:
            self.send("fund", self.poco.rlc.functions.transfer(wallet.address, 2 * deposit), self.accounts[0])
            self.send("fund", self.poco.rlc.functions.approve(self.poco.hub.address, 2 * deposit), wallet)
            self.send("deposit", self.poco.hub.functions.deposit(deposit), wallet)
        return wallet

    def parties(self, workers: int) -> Parties:
        """Fresh parties; the owners of application and dataset have not deposited."""
        parties = Parties(
            requester=self.fresh(),
            scheduler=self.fresh(),
            app_owner=self.fresh(0),
            dataset_owner=self.fresh(0),
            workers=[self.fresh() for _ in range(workers)],
        )
        self.create(parties)
        return parties

    def create(self, parties: Parties) -> None:
        """Register application, dataset and workerpool."""
        checksum = b"\x5c" * 32
        image = b"registry.hub.docker.com/iexechub/vanityeth:1.1.1"
        location = b"/ipfs/QmW2WQi7j6c7UgJTarActp7tDNikE4B2qXtFCfLPdsgaTQ"
        create_app = self.poco.app_registry.functions.createApp(
            parties.app_owner.address, "vanityeth", "DOCKER", image, checksum, b""
        )
        create_dataset = self.poco.dataset_registry.functions.createDataset(
            parties.dataset_owner.address, "footage", location, checksum
        )
        create_pool = self.poco.workerpool_registry.functions.createWorkerpool(parties.scheduler.address, "solar pool")
        parties.app, parties.dataset, parties.pool = (f.call() for f in (create_app, create_dataset, create_pool))
        self.send("createApp", create_app, parties.app_owner)
        self.send("createDataset", create_dataset, parties.dataset_owner)
        self.send("createWorkerpool", create_pool, parties.scheduler)

    def match(
        self, parties: Parties, note: str, *, dataset: bool = False, trust: int = 1, volume: int = 1
    ) -> tuple[str, int]:
        """Sign four new orders and match them; (deal id, gas)."""
        salt = to_hex(keccak(uint256(next(self._salts))))
        domain = self.domain
        app = AppOrder(app=parties.app, appprice=RLC, volume=volume, salt=salt)
        pool = WorkerpoolOrder(
            workerpool=parties.pool, workerpoolprice=RLC, volume=volume, category=CATEGORY, trust=trust, salt=salt
        )
        request = RequestOrder(
            app=parties.app,
            appmaxprice=RLC,
            dataset=parties.dataset if dataset else ZERO_ADDRESS,
            datasetmaxprice=RLC if dataset else 0,
            workerpool=parties.pool,
            workerpoolmaxprice=RLC,
            requester=parties.requester.address,
            volume=volume,
            category=CATEGORY,
            trust=trust,
            beneficiary=parties.requester.address,
            params=PARAMS,
            salt=salt,
        )
        data = NO_DATASET
        if dataset:
            data = DatasetOrder(dataset=parties.dataset, datasetprice=RLC, volume=volume, salt=salt)
            data = parties.dataset_owner.sign_order(data, domain)
        orders = (
            parties.app_owner.sign_order(app, domain),
            data,
            parties.scheduler.sign_order(pool, domain),
            parties.requester.sign_order(request, domain),
        )
        call = self.poco.hub.functions.matchOrders(*(order.as_tuple() for order in orders))
        return deal_id(request.hash(domain), 0), self.send(note, call, parties.requester)

    def initialize(self, parties: Parties, deal: str, index: int, note: str) -> tuple[str, int]:
        """(task id, gas)."""
        call = self.poco.hub.functions.initialize(to_bytes(deal), index)
        return task_id(deal, index), self.send(note, call, parties.scheduler)

    def contribute(self, parties: Parties, task: str, worker: Wallet, note: str, digest: str = DIGEST) -> int:
        call = self.poco.hub.functions.contribute(
            to_bytes(task),
            to_bytes(result_hash(task, digest)),
            to_bytes(result_seal(worker.address, task, digest)),
            ZERO_ADDRESS,
            b"",
            self._authorization(parties, task, worker),
        )
        return self.send(note, call, worker)

    def reveal(self, task: str, worker: Wallet, note: str) -> int:
        return self.send(note, self.poco.hub.functions.reveal(to_bytes(task), to_bytes(DIGEST)), worker)

    def finalize(self, parties: Parties, task: str, note: str) -> int:
        return self.send(note, self.poco.hub.functions.finalize(to_bytes(task), RESULTS, b""), parties.scheduler)

    def contribute_and_finalize(self, parties: Parties, task: str, worker: Wallet, note: str) -> int:
        call = self.poco.hub.functions.contributeAndFinalize(
            to_bytes(task),
            to_bytes(DIGEST),
            RESULTS,
            b"",
            ZERO_ADDRESS,
            b"",
            self._authorization(parties, task, worker),
        )
        return self.send(note, call, worker)

    def pass_time(self, seconds: int) -> None:
        """Move the chain's clock."""
        provider: Any = self.web3.provider
        for method, arguments in (("evm_increaseTime", [seconds]), ("evm_mine", [])):
            provider.make_request(method, arguments)

    def send(self, note: str, call: Any, sender: Wallet) -> int:
        """Send a call; its gas. `note` names the step for the profile."""
        tx = call.transact({"from": sender.address, "gas": GAS_LIMIT})
        receipt = self.web3.eth.wait_for_transaction_receipt(tx, poll_latency=0.01)
        if receipt["status"] != 1:
            raise PewError(f"{note}: {call.fn_name} reverted", hint="the contracts differ from the original here")
        gas = int(receipt["gasUsed"])
        self.transactions[note] = (to_hex(tx), gas)
        return gas

    def gas_of(self, note: str) -> int:
        """Gas of the last transaction of that note."""
        return self.transactions[note][1]

    def _authorization(self, parties: Parties, task: str, worker: Wallet) -> bytes:
        return to_bytes(parties.scheduler.sign_message(authorization_hash(worker.address, task)))
