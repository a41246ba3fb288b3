"""Reads from the hub, the registries and their entries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from typing import Any

from eth_abi.abi import decode
from web3 import Web3
from web3.exceptions import BadFunctionCallOutput, ContractLogicError, Web3Exception
from web3.types import RPCEndpoint

from chain import abi
from chain.answers import too_wide
from chain.deployment import Deployment
from chain.endpoints import Endpoints, Head
from chain.model import Account, App, Category, Contribution, Dataset, Deal, Event, Part, Task, Workerpool
from chain.settings import ChainSettings
from poco.errors import BadInputError, PewError
from poco.hexes import ZERO_ADDRESS, address, to_bytes, to_hex
from poco.states import ChainTaskStatus, ContributionStatus

#: The newest logs are read again and again, in case that some came late.
REMEMBERED_LOGS = 4096


class ChainUnreachableError(PewError):
    """The node does not answer; nothing is known of what was asked."""


class LogsTooWideError(PewError):
    """The node refuses a log query because it covers too much."""


class Chain:
    """One hub on one network, read at the latest block.

    Args:
        rpc_urls: JSON-RPC endpoints over HTTP, the preferred one first; one alone may be given as text.
        deployment: where the contracts are.
        settings: how far the endpoints are believed.
        log: told when an endpoint fails and comes back: (event, fields).
    """

    def __init__(
        self,
        rpc_urls: str | Sequence[str],
        deployment: Deployment,
        settings: ChainSettings | None = None,
        log: Callable[..., None] | None = None,
    ) -> None:
        urls = [rpc_urls] if isinstance(rpc_urls, str) else list(rpc_urls)
        self.rpc_url = urls[0]
        self.deployment = deployment
        self.settings = settings or ChainSettings()
        self.log: Callable[..., None] = log or (lambda *_, **__: None)
        self.endpoints = Endpoints(urls, deployment.chain_id, self.settings, self.log)
        self.web3 = Web3(self.endpoints)
        self.web3.codec = abi.codec()
        self.hub = self.contract("hub", deployment.hub)

    @cached_property
    def rlc(self) -> Any:
        """The token's contract."""
        return self.contract("rlc", self.deployment.rlc)

    @property
    def confirmations(self) -> int:
        """Blocks, its own included, until a transaction counts as mined."""
        return self.settings.depth(self.deployment.chain_id)

    def contract(self, kind: str, where: str) -> Any:
        """The web3 contract of one of `abi.CONTRACTS` at an address."""
        functions = [entry for entry in abi.load(kind) if entry["type"] == "function"]
        return self.web3.eth.contract(address=Web3.to_checksum_address(where), abi=functions)

    def ask(self, question: Callable[[], Any]) -> Any:
        """Run a request; ChainUnreachableError when no node answers it."""
        try:
            return question()
        except (ConnectionError, TimeoutError) as error:
            raise ChainUnreachableError(
                f"no chain answers: {error}",
                hint="check the addresses of the nodes and that they run",
                code="CHAIN_UNREACHABLE",
            ) from None

    def check(self) -> None:
        """BadInputError unless the nodes are on the deployment's chain and the hub is there."""
        self.endpoints.check()
        if not self.ask(lambda: self.web3.eth.get_code(Web3.to_checksum_address(self.deployment.hub))):
            raise BadInputError(
                f"there is no hub at {self.deployment.hub}",
                hint="the chain was started anew: deploy again (brownie run deploy --network <id>)",
            )

    def head(self) -> Head:
        """The newest block that any endpoint has."""
        head: Head = self.ask(self.endpoints.head)
        return head

    def stale(self, now: float, saw: Callable[[int], None] = lambda _time: None) -> str:
        """Why the chain is out of service at that Unix time: its newest block is too old. Empty where it is not.

        Args:
            saw: told the newest block's time, where its age counts.
        """
        bound = self.settings.block_age(self.deployment.chain_id)
        if bound is None:
            return ""
        newest = self.head().time
        saw(newest)
        age = now - newest
        return f"the newest block is {age:.0f} s old (at most {bound})" if age > bound else ""

    def block_number(self) -> int:
        return int(self._request("eth_blockNumber", []), 16)

    def block(self, number: int | str = "latest") -> tuple[int, str, int]:
        """(number, hash, Unix seconds) of a block."""
        found = self._block(number)
        return int(found["number"], 16), str(found["hash"]).lower(), int(found["timestamp"], 16)

    def block_gas(self) -> int:
        """What the newest block may hold."""
        return int(self._block("latest")["gasLimit"], 16)

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
        """Asked at every contribution, so without web3's forms, which cost ten times as much."""
        data = self._ask_score + to_bytes(worker, 20).rjust(32, b"\0").hex()
        found = self._request("eth_call", [{"to": self.hub.address, "data": data}, "latest"])
        if len(found) != 66:
            raise BadInputError(f"no hub answers at {self.hub.address}", hint="a chain started anew? deploy again")
        return int(found, 16)

    @cached_property
    def _ask_score(self) -> str:
        return str(self.hub.encode_abi("viewScore", [ZERO_ADDRESS]))[:10]

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
        """A task that nobody initialized has status UNSET and zeros. It decides about money: two endpoints agree."""
        with self.endpoints.agreement():
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
        """What a worker has staked on a task. It decides about money: two endpoints must agree."""
        with self.endpoints.agreement():
            found = self._call(self.hub.functions.viewContribution(to_bytes(task_id, 32), worker))
        status, digest, seal, challenge, weight = found
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
        query = {
            "address": Web3.to_checksum_address(where or self.deployment.hub),
            "fromBlock": hex(first),
            "toBlock": hex(last),
            "topics": [wanted],
        }
        return [_event(log) for log in self._request("eth_getLogs", [query]) if not log.get("removed")]

    def _block(self, number: int | str) -> dict[str, Any]:
        name = number if isinstance(number, str) else hex(number)
        found: dict[str, Any] | None = self._request("eth_getBlockByNumber", [name, False])
        if found is None:
            raise PewError(f"the chain has no block {number}", hint="ask again", code="CHAIN_ERROR")
        return found

    def _request(self, method: str, params: list[Any]) -> Any:
        """The plain answer: what is asked many times a second does without web3's forms."""
        answer = self.ask(lambda: self.endpoints.make_request(RPCEndpoint(method), params))
        error = answer.get("error")
        if error is None:
            return answer["result"]
        if too_wide(error, method):
            raise LogsTooWideError(f"the node does not answer for so many blocks: {error.get('message')}")
        raise PewError(f"{method}: {error.get('message')}", hint="check the node", code="CHAIN_ERROR")

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
    """One log of the hub, in web3's form, as an `Event`."""
    name, args = _meaning(tuple(map(to_hex, log["topics"])), to_hex(log["data"]))
    hashes = to_hex(log["blockHash"]), to_hex(log["transactionHash"])
    return Event(name, args, int(log["blockNumber"]), *hashes, int(log["logIndex"]))


def _event(log: dict[str, Any]) -> Event:
    name, args = _meaning(tuple(str(topic).lower() for topic in log["topics"]), log["data"])
    hashes = log["blockHash"].lower(), log["transactionHash"].lower()
    return Event(name, args, int(log["blockNumber"], 16), *hashes, int(log["logIndex"], 16))


@lru_cache(REMEMBERED_LOGS)
def _meaning(topics: tuple[str, ...], data: str) -> tuple[str, dict[str, Any]]:
    entry = abi.topics()[topics[0]]
    indexed = [i for i in entry["inputs"] if i.get("indexed")]
    rest = [i for i in entry["inputs"] if not i.get("indexed")]
    args = {
        i["name"]: abi.plain(i["type"], decode([i["type"]], to_bytes(topic))[0])
        for i, topic in zip(indexed, topics[1:], strict=True)
    }
    values = decode([i["type"] for i in rest], to_bytes(data))
    args |= {i["name"]: abi.plain(i["type"], v) for i, v in zip(rest, values, strict=True)}
    return entry["name"], args


def _text(raw: bytes) -> str:
    return bytes(raw).decode("utf-8", "replace")
