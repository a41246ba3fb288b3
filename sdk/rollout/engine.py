"""A rollout of one network: what is done, what is left, and doing it.

A step counts as done when a transaction with exactly what it wants to send is mined and still on the chain. Whatever
interrupts `apply`, the next one begins here again: nothing is believed that the chain does not show.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from web3.exceptions import BadFunctionCallOutput, ContractLogicError, TransactionNotFound, Web3Exception

from chain.client import Chain, ChainUnreachableError
from chain.deployment import Deployment
from chain.transactions import RevertedError, Sender
from chain.wallet import Wallet
from poco.errors import BadInputError, PewError
from poco.hexes import ZERO_ADDRESS, to_bytes
from sdk.rollout import build, costs
from sdk.rollout.journal import Entry, Journal, created
from sdk.rollout.network import Network
from sdk.rollout.steps import Addresses, Step, contracts_of, pool_of, standing, steps_of

#: How long nodes that do not answer are waited for, seconds, and the longest pause between two tries.
PATIENCE_SECONDS, PAUSE_SECONDS = 180.0, 8.0
#: A reorganisation while the last look is taken starts it anew, so often.
_LOOKS = 20


class State(StrEnum):
    """Where a step is."""

    DONE = "done"
    #: the chain shows it, though this rollout did not send it
    FOUND = "found there"
    SENT = "sent"
    #: it was mined, and a reorganisation took it back
    LOST = "lost"
    LEFT = "to do"


class _TakenBackError(Exception):
    """A reorganisation took away what a step stands on: begin again with the first."""


@dataclass(frozen=True)
class Seen:
    """A step, its state, and what the journal has of it."""

    step: Step
    state: State
    entry: Entry | None = None

    def as_json(self) -> dict[str, Any]:
        sent = self.entry.sent if self.entry is not None else None
        ended = self.entry.ended if self.entry is not None else None
        return {
            "step": self.step.name,
            "state": self.state.value,
            "tx": sent.tx_hash if sent is not None else None,
            "nonce": sent.nonce if sent is not None else None,
            "block": ended.block if ended is not None else None,
            "cost_wei": ended.cost_wei if ended is not None else None,
        }


def open_chain(network: Network, log: Callable[..., None] | None = None) -> Chain:
    """The network's nodes, each checked to be on its chain; there need be no hub."""
    nowhere = Deployment(network.network, network.chain_id, 0, *[ZERO_ADDRESS] * 5)
    chain = Chain(network.rpc_urls, nowhere, network.chain, log)
    chain.endpoints.check()
    return chain


class StepSender(Sender):
    """A sender whose finished steps keep their nonces: what a reorganisation took back is sent again as it was.

    An empty transaction in its place, as a daemon sends it, would leave the later steps with the address of a contract
    that can never be there.
    """

    book: Journal

    def resend(self) -> bool:
        """Send what was mined and is not known any more; whether there was any."""
        lost = [each.sent for each in self.book.entries.values() if each.mined and not self.known(each.sent.tx_hash)]
        for each in lost:
            self.broadcast(each)
        return bool(lost)

    def _fill_gaps(self) -> None:
        if not self.resend():
            super()._fill_gaps()

    def _nonce(self) -> int:
        nonce = super()._nonce()
        if any(each.mined and each.sent.nonce >= nonce for each in self.book.entries.values()):
            raise _TakenBackError
        return nonce


class Rollout:
    """The rollout of a network by a deployer.

    Args:
        network: what is wanted.
        chain: its nodes (`open_chain`).
        deployer: the address that sends everything.
        folder: deployment file and journal lie there.
        built: the compiled contracts.
        write: hold the journal for this process; else it is only read.
        say: told of every step.

    Raises:
        BadInputError: contracts are not compiled, or the journal began with other ones.
    """

    def __init__(
        self,
        network: Network,
        chain: Chain,
        deployer: str,
        folder: Path,
        *,
        built: Path = build.FOLDER,
        write: bool = False,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.network, self.chain, self.deployer, self.folder, self.say = network, chain, deployer, folder, say
        self.artifacts = contracts_of(network, built)
        self.steps = steps_of(network, chain, deployer, self.artifacts)
        head = {
            "network": network.network,
            "chain_id": network.chain_id,
            "deployer": deployer,
            "build": build.fingerprint(self.artifacts),
            "standing": standing(network),
        }
        self.journal = Journal(folder / f"{network.network}.journal", head, write=write)

    @property
    def file(self) -> Path:
        """The deployment file."""
        return self.folder / f"{self.network.network}.json"

    def addresses(self) -> dict[str, str]:
        """The contracts that have one: given, or created by a step that is mined."""
        known = dict(standing(self.network))
        for step in self.steps:
            entry = self.journal.entries.get(step.name)
            if step.creates and entry is not None and entry.mined:
                known[step.creates] = created(self.deployer, entry.sent.nonce)
        return known

    def look(self) -> list[Seen]:
        """Every step with its state, as the chain shows it now."""
        addresses = self.addresses()
        found, whole = [], True
        for step in self.steps:
            seen = self._seen(step, addresses, ask=whole)
            found.append(seen)
            whole = whole and (not step.creates or seen.state is State.DONE)
        return found

    def quote(self, seen: list[Seen]) -> costs.Quote:
        """What the steps cost that are not on the chain."""
        left = [each.step for each in seen if each.state in (State.LEFT, State.LOST, State.SENT)]
        # what a reorganisation took back or nobody mined yet is no address to ask a node about
        there = {**self.addresses()}
        for each in seen:
            if each.state is State.LOST:
                there.pop(each.step.creates, None)
        return costs.quote(self.network, self.chain, self.deployer, left, there)

    def apply(self, wallet: Wallet) -> None:
        """Send what is left, wait for each step to be deep enough, write the deployment file.

        Raises:
            BadInputError: something speaks against it (balance, fees, another chain); nothing was sent.
            PewError: a step failed or is not mined yet; what is done stays done, and the next `apply` goes on.
        """
        if wallet.address != self.deployer:
            raise BadInputError(f"the wallet is {wallet.address}'s, not {self.deployer}'s", hint="name the deployer's")
        sender = StepSender(self.chain, wallet, costs.policy(self.network), book=self.journal)
        self._patiently(lambda: self.quote(self.look()).require())
        for _ in range(_LOOKS):
            try:
                for step in self.steps:
                    self._patiently(lambda step=step: self._do(step, sender))  # type: ignore[misc]
            except _TakenBackError:
                self.say("a reorganisation took steps back")
                self._patiently(sender.resend)
                time.sleep(min(self.network.block_seconds, PAUSE_SECONDS))
                continue
            if all(each.state in (State.DONE, State.FOUND) for each in self._patiently(self.look)):
                break
        else:
            raise PewError("the chain keeps taking steps back", hint="raise chain.confirmations; then go on with apply")
        self._patiently(self.write)

    def write(self) -> dict[str, Any]:
        """Write `deployments/<network>.json`, which scheduler, worker and SDK read; returns its content."""
        data = self.content()
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self.file.with_suffix(f".{os.getpid()}")
        with draft.open("w") as file:
            file.write(json.dumps(data, indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(self.file)
        return data

    def content(self) -> dict[str, Any]:
        """What the deployment file says; categories are read back from the hub."""
        addresses = self.addresses()
        hub = self.chain.contract("hub", addresses["Hub"]).functions
        names = {"Rlc": "RLC", "Hub": "hub"}
        count = int(self.chain.ask(hub.countCategory().call))
        rows = [(i, self.chain.ask(hub.viewCategory(i).call)) for i in range(count)]
        data = {
            "network": self.network.network,
            "chain_id": self.network.chain_id,
            "deployer": self.deployer,
            "block": self._first_block(),
            "contracts": {names.get(name, name): where for name, where in addresses.items()},
            "categories": [{"id": i, "name": row[0], "seconds": row[2]} for i, row in rows],
        }
        pool = pool_of(self.network, self.chain, self.deployer, addresses)
        return {**data, "workerpool": pool} if pool is not None else data

    def _first_block(self) -> int:
        """Where logs are read from: the hub's block, or what the file says, or now."""
        entry = self.journal.entries.get("deploy Hub")
        if entry is not None and entry.ended is not None and entry.ended.block is not None:
            return entry.ended.block
        if self.network.attach is not None and self.network.attach.block is not None:
            return self.network.attach.block
        if self.file.exists():
            return int(json.loads(self.file.read_text())["block"])
        return self.chain.block_number()

    # one step

    def _seen(self, step: Step, addresses: Addresses, *, ask: bool = True) -> Seen:
        """A step as it is; `ask`: all contracts are there, so that they can say whether it is done already."""
        entry = self.journal.entries.get(step.name)
        if not set(step.needs) <= set(addresses):
            return Seen(step, State.LEFT, entry)
        if entry is not None and entry.ended is None:
            return Seen(step, State.SENT, entry)
        if entry is not None and entry.mined and _same(entry, step.call(addresses)):
            return Seen(step, State.DONE if self._mined(entry) else State.LOST, entry)
        if ask and step.found(addresses):
            return Seen(step, State.FOUND, entry)
        return Seen(step, State.LEFT, entry)

    def _do(self, step: Step, sender: Sender) -> None:
        seen = self._seen(step, self.addresses())
        if seen.state in (State.DONE, State.FOUND):
            return
        if seen.state is State.LOST:
            self.say(f"{step.name}: taken back by a reorganisation, sent again")
            lease = self.journal.reopen(step.name)
        elif seen.state is State.SENT and seen.entry is not None:
            self.say(f"{step.name}: sent before, {seen.entry.sent.tx_hash}")
            lease = seen.entry.lease
        else:
            lease = sender.begin(step.call(self.addresses()), step=step.name)
            self.say(f"{step.name}: sent, nonce {lease.nonce}, {lease.last.tx_hash}")
        receipt = sender.wait(lease, self.network.wait_seconds)
        where = f" at {created(self.deployer, lease.nonce)}" if step.creates else ""
        paid = costs.coin(receipt.cost_wei, self.network.coin)
        self.say(f"{step.name}: done{where}, block {receipt.block}, {receipt.gas_used:,} gas, {paid}")

    def _mined(self, entry: Entry) -> bool:
        hash_ = to_bytes(entry.sent.tx_hash)
        try:
            raw = self.chain.ask(lambda: self.chain.web3.eth.get_transaction_receipt(hash_))  # type: ignore[arg-type]
        except TransactionNotFound:
            return False
        return bool(raw["status"])

    def _patiently(self, act: Callable[[], Any]) -> Any:
        """Do it again while the nodes fail; _TakenBackError where a reorganisation took away what it stands on."""
        end, pause = time.monotonic() + PATIENCE_SECONDS, 0.5
        while True:
            try:
                return act()
            except (RevertedError, ChainUnreachableError, Web3Exception) as error:
                contracts_said_so = isinstance(error, RevertedError | ContractLogicError | BadFunctionCallOutput)
                if contracts_said_so and any(each.state is State.LOST for each in self.look()):
                    raise _TakenBackError from None
                if isinstance(error, RevertedError | ContractLogicError) or time.monotonic() > end:
                    raise
                self.say(f"the nodes do not answer, waiting: {str(error)[:120]}")
                time.sleep(pause)
                pause = min(2 * pause, PAUSE_SECONDS)


def _same(entry: Entry, call: Any) -> bool:
    """Whether what was sent is what the step wants to send."""
    sent = entry.sent
    wanted = str(call._encode_transaction_data())
    return to_bytes(wanted) == sent.data and (sent.to == "0x") == (not call.address)
