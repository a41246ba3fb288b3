"""Reads from the hub, the registries and their entries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import requests
from eth_abi.abi import decode
from web3 import HTTPProvider, Web3
from web3.exceptions import BadFunctionCallOutput, ContractLogicError, Web3Exception
from web3.types import FilterParams

from chain import abi
from chain.deployment import Deployment
from chain.model import Account, App, Category, Contribution, Dataset, Deal, Event, Part, Task, Workerpool
from poco.errors import BadInputError, PewError
from poco.hexes import ZERO_ADDRESS, address, to_bytes, to_hex
from poco.states import ChainTaskStatus, ContributionStatus


class ChainUnreachableError(PewError):
    """The node does not answer; nothing is known of what was asked."""


class Chain:
    """One hub on one network, read at the latest block.

    Args:
        rpc_url: HTTP JSON-RPC endpoint.
        deployment: where the contracts are.
        timeout: seconds for one request.
    """

    def __init__(self, rpc_url: str, deployment: Deployment, timeout: float = 20) -> None:
        self.rpc_url = rpc_url
        self.deployment = deployment
        self.web3 = Web3(HTTPProvider(rpc_url, request_kwargs={"timeout": timeout}))
        self.hub = self.contract("hub", deployment.hub)
        self.rlc = self.contract("rlc", deployment.rlc)

    def contract(self, kind: str, where: str) -> Any:
        """The web3 contract of one of `abi.CONTRACTS` at an address."""
        return self.web3.eth.contract(address=Web3.to_checksum_address(where), abi=abi.load(kind))

    def ask(self, question: Callable[[], Any]) -> Any:
        """Run a request; ChainUnreachableError when the node does not answer."""
        try:
            return question()
        except (requests.RequestException, ConnectionError, TimeoutError) as error:
            raise ChainUnreachableError(
                f"no chain answers at {self.rpc_url} ({type(error).__name__})",
                hint="check the address of the node and that it runs",
                code="CHAIN_UNREACHABLE",
            ) from None

    def check(self) -> None:
        """BadInputError unless the node is on the deployment's chain and the hub is there."""
        chain_id = self.ask(lambda: self.web3.eth.chain_id)
        if chain_id != self.deployment.chain_id:
            raise BadInputError(
                f"the node at {self.rpc_url} is on chain {chain_id}, the deployment on {self.deployment.chain_id}",
                hint="use the node or the deployment file of the other network",
            )
        if not self.ask(lambda: self.web3.eth.get_code(Web3.to_checksum_address(self.deployment.hub))):
            raise BadInputError(
                f"there is no hub at {self.deployment.hub}",
                hint="the chain was started anew: deploy again (brownie run deploy --network <id>)",
            )

    def block_number(self) -> int:
        return int(self.ask(lambda: self.web3.eth.block_number))

    def block(self, number: int | str = "latest") -> tuple[int, str, int]:
        """(number, hash, Unix seconds) of a block."""
        found = self.ask(lambda: self.web3.eth.get_block(number))  # type: ignore[arg-type]
        return int(found["number"]), to_hex(found["hash"]), int(found["timestamp"])

    def native_balance(self, account: str) -> int:
        """Wei."""
        return int(self.ask(lambda: self.web3.eth.get_balance(Web3.to_checksum_address(account))))

    def rlc_balance(self, account: str) -> int:
        """nRLC in the wallet (outside the escrow)."""
        return int(self._call(self.rlc.functions.balanceOf(account)))

    def account(self, account: str) -> Account:
        """The escrow account: free stake and locked, nRLC."""
        return Account(*self._call(self.hub.functions.viewAccount(account)))

    def score(self, worker: str) -> int:
        return int(self._call(self.hub.functions.viewScore(worker)))

    def consumed(self, order_hash: str) -> int:
        """Volume of an order that deals have used, or its whole volume once it is closed."""
        return int(self._call(self.hub.functions.viewConsumed(to_bytes(order_hash, 32))))

    def category(self, number: int) -> Category:
        """BadInputError where there is no such category."""
        if number >= int(self._call(self.hub.functions.countCategory())):
            raise BadInputError(f"there is no category {number}", hint="XS is 0, S 1, M 2, L 3, XL 4")
        name, description, seconds = self._call(self.hub.functions.viewCategory(number))
        return Category(number, name, description, seconds)

    def deal(self, deal_id: str) -> Deal:
        """BadInputError where there is no such deal."""
        raw = self._call(self.hub.functions.viewDeal(to_bytes(deal_id, 32)))
        app, dataset, workerpool = (Part(address(p), address(o), price) for p, o, price in raw[:3])
        trust, category, tag, *rest = raw[3:]
        if app.pointer == ZERO_ADDRESS:
            raise BadInputError(f"there is no deal {deal_id}", hint="check the id and the network")
        return Deal(deal_id, app, dataset, workerpool, trust, category, to_hex(tag), *rest)

    def task(self, task_id: str) -> Task:
        """A task that nobody initialized has status UNSET and zeros."""
        raw = self._call(self.hub.functions.viewTask(to_bytes(task_id, 32)))
        status, deal, index, reference, contribution, reveal, final, consensus, revealed, winners = raw[:10]
        return Task(
            id=task_id,
            status=ChainTaskStatus(status),
            deal_id=to_hex(deal),
            index=index,
            reference_seconds=reference,
            contribution_deadline=contribution,
            reveal_deadline=reveal,
            final_deadline=final,
            consensus=to_hex(consensus),
            reveal_counter=revealed,
            winner_counter=winners,
            contributors=tuple(raw[10]),
            digest=to_hex(raw[11]),
            results=bytes(raw[12]),
        )

    def contribution(self, task_id: str, worker: str) -> Contribution:
        status, digest, seal, challenge, weight = self._call(
            self.hub.functions.viewContribution(to_bytes(task_id, 32), worker)
        )
        return Contribution(ContributionStatus(status), to_hex(digest), to_hex(seal), challenge, weight)

    def app(self, where: str) -> App:
        entry = self._entry("app", where, self.deployment.app_registry)
        return App(
            where,
            self._call(entry.owner()),
            self._call(entry.m_appName()),
            self._call(entry.m_appType()),
            _text(self._call(entry.m_appMultiaddr())),
            to_hex(self._call(entry.m_appChecksum())),
        )

    def dataset(self, where: str) -> Dataset:
        entry = self._entry("dataset", where, self.deployment.dataset_registry)
        return Dataset(
            where,
            self._call(entry.owner()),
            self._call(entry.m_datasetName()),
            _text(self._call(entry.m_datasetMultiaddr())),
            to_hex(self._call(entry.m_datasetChecksum())),
        )

    def workerpool(self, where: str) -> Workerpool:
        entry = self._entry("workerpool", where, self.deployment.workerpool_registry)
        return Workerpool(
            where,
            self._call(entry.owner()),
            self._call(entry.m_workerpoolDescription()),
            self._call(entry.m_workerStakeRatioPolicy()),
            self._call(entry.m_schedulerRewardRatioPolicy()),
        )

    def logs(self, first: int, last: int, names: Sequence[str], where: str | None = None) -> list[Event]:
        """The hub's events of those names in blocks `first` to `last`, in the order of the chain."""
        by_topic = abi.topics()
        wanted = [topic for topic, entry in by_topic.items() if entry["name"] in names]
        query: FilterParams = {
            "address": Web3.to_checksum_address(where or self.deployment.hub),
            "fromBlock": first,
            "toBlock": last,
            "topics": [wanted],
        }
        found = self.ask(lambda: self.web3.eth.get_logs(query))
        return [decode_log(log) for log in found if not log.get("removed")]

    def _entry(self, kind: str, where: str, registry: str) -> Any:
        known = self.contract("app_registry", registry).functions.isRegistered(Web3.to_checksum_address(where))
        if not self._call(known):
            raise BadInputError(f"{where} is not a registered {kind}", hint="check the address and the network")
        return self.contract(kind, where).functions

    def _call(self, function: Any) -> Any:
        try:
            return self.ask(function.call)
        except BadFunctionCallOutput:
            raise BadInputError(
                f"no contract answers at {function.address}",
                hint="check the address, and that the chain was not started anew since the deployment",
            ) from None
        except ContractLogicError as error:
            raise PewError(f"{function.fn_name}: {error}", hint="check the arguments", code="REVERTED") from None
        except Web3Exception as error:
            raise PewError(f"{function.fn_name}: {error}", hint="check the node", code="CHAIN_ERROR") from None


def decode_log(log: Any) -> Event:
    """One log of the hub as an `Event`."""
    entry = abi.topics()[to_hex(log["topics"][0])]
    indexed = [i for i in entry["inputs"] if i.get("indexed")]
    rest = [i for i in entry["inputs"] if not i.get("indexed")]
    args = {
        i["name"]: abi.plain(i["type"], decode([i["type"]], bytes(topic))[0])
        for i, topic in zip(indexed, log["topics"][1:], strict=True)
    }
    values = decode([i["type"] for i in rest], bytes(log["data"]))
    args |= {i["name"]: abi.plain(i["type"], v) for i, v in zip(rest, values, strict=True)}
    return Event(
        entry["name"],
        args,
        int(log["blockNumber"]),
        to_hex(log["blockHash"]),
        to_hex(log["transactionHash"]),
        int(log["logIndex"]),
    )


def _text(raw: bytes) -> str:
    return bytes(raw).decode("utf-8", "replace")
