"""What a worker reads from the chain and does there. The chain's word goes before the scheduler's.

Transactions are kept in the journal before they are sent; a step whose transaction was sent is never sent again under
another nonce while the first may still be mined.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chain.client import Chain, ChainUnreachableError
from chain.deployment import Deployment
from chain.energy import EnergyLedger
from chain.fees import FeePolicy, FeesTooHighError
from chain.model import Deal, Task
from chain.transactions import GAS_LIMITS, PendingError, Receipt, RevertedError, Sender
from chain.wallet import Wallet
from poco import consensus, params
from poco.errors import BadInputError, Cause, PewError
from poco.hexes import ZERO_ADDRESS, ZERO_BYTES32, to_bytes
from poco.ids import result_hash
from poco.states import ChainTaskStatus, ContributionStatus
from poco.tags import GREEN, TEE, asks
from worker import gas
from worker.config import WorkerConfig
from worker.core import Facts, Replicate, seen
from worker.journal import Journal
from worker.proof import check_authorization, prove
from worker.table import What
from worker.transactions import JournalBook, Steps

#: Seconds that must be left before a deadline for a transaction to be worth sending.
MARGIN_SECONDS = 5
#: The scheduler's node may be ahead of this worker's by so many seconds.
UNSEEN_SECONDS = 20
_LOG_SPAN = 1000


class RefusalError(PewError):
    """This worker will not, or cannot, take the task. `declined`: by choice, nothing is wrong with the task."""

    def __init__(
        self, cause: Cause | None, message: str, hint: str = "", *, declined: bool = False, facts: Facts | None = None
    ) -> None:
        super().__init__(message, hint=hint, code=cause.value if cause else "DECLINED")
        self.cause = cause
        self.declined = declined
        self.facts = facts


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a task brought: its status on chain, whether this worker's result counted, nRLC earned and stake lost."""

    status: ChainTaskStatus
    counted: bool
    reward_nrlc: int
    seized_nrlc: int


class PoolChain:
    """The chain as one worker of one pool sees it."""

    def __init__(self, config: WorkerConfig, chain: Chain, wallet: Wallet, journal: Journal) -> None:
        self.chain = chain
        self.me = wallet.address
        self._config = config
        self._journal = journal
        self.sender = Sender(chain, wallet, FeePolicy.of(config.fees), book=JournalBook(journal))
        self._steps = Steps(self.sender, journal)
        #: since when a task that was offered is not on the chain that this worker reads
        self._unseen: dict[str, int] = {}

    @property
    def deployment(self) -> Deployment:
        return self.chain.deployment

    def now(self) -> int:
        """Unix seconds of the newest block: what deadlines on chain count by."""
        return self.chain.block()[2]

    # before work is taken

    def verify(self, replicate: Replicate, now: int) -> Facts:
        """Check an offer against the chain; returns what is needed to do it.

        Raises:
            RefusalError: with the cause to report.
            ChainUnreachableError: ask again later.
        """
        stale = self.chain.stale(now)
        if stale:
            raise ChainUnreachableError(f"out of service: {stale}", hint="the nodes do not follow the chain")
        try:
            pool = self.chain.workerpool(self._config.workerpool)
            check_authorization(replicate, self.me, pool.owner)
            deal = self.chain.deal(replicate.deal_id)
        except BadInputError as error:
            raise RefusalError(Cause.TASK_NOT_ACTIVE, error.message, error.hint) from None
        if replicate.enclave_challenge != ZERO_ADDRESS or asks(deal.tag, TEE):
            raise RefusalError(
                Cause.TASK_NOT_ACTIVE, "the task asks for a trusted execution environment", declined=True
            )
        if deal.workerpool.pointer != self._config.workerpool:
            raise RefusalError(
                Cause.TASK_NOT_ACTIVE, f"the deal is with pool {deal.workerpool.pointer}, not {self._config.workerpool}"
            )
        if asks(deal.tag, GREEN) and not self._is_green():
            raise RefusalError(Cause.ENERGY, "the task is green, this worker's anchored ledger is not", declined=True)
        task = self.chain.task(replicate.task_id)
        self._require_seen(task, now)
        self.require_open(task, now)
        self._require_means(deal)
        facts = self._facts(replicate, deal, task)
        try:
            params.parse(deal.params, deal.trust)
        except BadInputError as error:
            raise RefusalError(Cause.TASK_DESCRIPTION_INVALID, error.message, error.hint, facts=facts) from None
        return facts

    def _is_green(self) -> bool:
        if self.deployment.energy_ledger is None:
            return False
        return EnergyLedger(self.chain).is_green(self.me, self._config.workerpool)

    def _require_seen(self, task: Task, now: int) -> None:
        """ChainUnreachableError for a while where the task is not there yet: this worker's node may be behind."""
        unset = task.status is ChainTaskStatus.UNSET
        waiting = unset and now - self._unseen.setdefault(task.id, now) < UNSEEN_SECONDS
        if not waiting:
            self._unseen.pop(task.id, None)
        else:
            raise ChainUnreachableError("the chain does not show the task yet", hint="this worker's node is behind")

    def require_open(self, task: Task, now: int) -> None:
        if task.status is not ChainTaskStatus.ACTIVE:
            raise RefusalError(Cause.TASK_NOT_ACTIVE, f"the task is {task.status.name} on chain")
        if now + MARGIN_SECONDS >= task.contribution_deadline:
            raise RefusalError(Cause.CONTRIBUTION_TIMEOUT, "the contribution deadline is over")
        if self.me in task.contributors:
            raise RefusalError(Cause.TASK_NOT_ACTIVE, "this worker has contributed already")

    def _facts(self, replicate: Replicate, deal: Deal, task: Task) -> Facts:
        try:
            app = self.chain.app(deal.app.pointer)
            dataset = self.chain.dataset(deal.dataset.pointer) if deal.has_dataset else None
        except BadInputError as error:
            raise RefusalError(Cause.TASK_NOT_ACTIVE, error.message, error.hint) from None
        return Facts(
            app=deal.app.pointer,
            image=app.multiaddr,
            checksum=app.checksum,
            dataset=dataset.address if dataset else None,
            dataset_url=dataset.multiaddr if dataset else "",
            dataset_checksum=dataset.checksum if dataset else "",
            params=deal.params,
            callback=deal.has_callback,
            bot_first=deal.bot_first,
            bot_size=deal.bot_size,
            trust=deal.trust,
            run_seconds=task.reference_seconds or self.chain.category(deal.category).seconds,
            contribution_deadline=task.contribution_deadline,
            final_deadline=task.final_deadline,
            stake_nrlc=deal.worker_stake,
            reward_nrlc=_share(deal),
            gas_nrlc=gas.expected_nrlc(self.chain, self.sender, replicate, self._config.fees.nrlc_per_native),
        )

    def _require_means(self, deal: Deal) -> None:
        """RefusalError STAKE_TOO_LOW unless stake and gas suffice to contribute and to reveal."""
        free = self.chain.account(self.me).stake
        if free < deal.worker_stake:
            raise RefusalError(
                Cause.STAKE_TOO_LOW,
                f"{self.me} has {free} nRLC free in the escrow, the task locks {deal.worker_stake}",
                f"deposit {deal.worker_stake - free} nRLC more, or raise stake_nrlc",
            )
        lacking = self.gas_lacking()
        if lacking:
            raise RefusalError(Cause.STAKE_TOO_LOW, lacking)

    def gas_lacking(self, beside: int = 0) -> str:
        """Why the wallet cannot pay for contribute and reveal (and `beside` gas for something else), or nothing."""
        try:
            need, have = self._two_steps_wei(beside), self.chain.native_balance(self.me)
        except FeesTooHighError as error:
            return str(error)
        return f"{self.me} has {have} wei for gas, contribute and reveal may take {need}" if have < need else ""

    def _two_steps_wei(self, beside: int = 0) -> int:
        return (GAS_LIMITS["contribute"] + GAS_LIMITS["reveal"] + beside) * self.sender.gas_price()

    def require_owner(self, scheduler: str) -> None:
        """BadInputError unless that address owns the pool on chain: only its authorisations count."""
        owner = self.chain.workerpool(self._config.workerpool).owner
        if scheduler != owner:
            raise BadInputError(
                f"the scheduler signs as {scheduler}, the pool {self._config.workerpool} belongs to {owner}",
                hint="check scheduler_url and workerpool",
                code="WRONG_POOL",
            )

    def stand_in(self) -> str:
        """See that the escrow holds `stake_nrlc`, and deposit what is lacking; returns what is wrong, or nothing."""
        wanted = self._config.stake_nrlc
        self.recover("", "deposit")
        account = self.chain.account(self.me)
        lacking = wanted - account.stake - account.locked
        if lacking > 0:
            have = self.chain.rlc_balance(self.me)
            if have < lacking:
                return (
                    f"{self.me} has {account.stake + account.locked} nRLC in the escrow and {have} in the wallet, "
                    f"stake_nrlc is {wanted}: send it {lacking - have} nRLC more, or lower stake_nrlc"
                )
            approve = self.chain.rlc.functions.approveAndCall(self.chain.deployment.hub, lacking, b"")
            self.send("", "deposit", approve)
        return self.gas_lacking()

    # steps of a task

    def contribute(self, replicate: Replicate, stop: Callable[[], bool]) -> str | None:
        """Contribute, or find the contribution that was made; returns its transaction where it is known.

        Raises:
            RefusalError: it cannot be done (any more); nothing is staked.
            ChainUnreachableError, PendingError, FeesTooHighError: ask again later.
        """
        task_id, digest = replicate.task_id, replicate.digest or ZERO_BYTES32
        mined = self.recover_in_time(replicate, "contribute")
        proof = prove(self.me, task_id, digest)
        found = self.chain.contribution(task_id, self.me)
        if found.status is not ContributionStatus.UNSET:
            if found.result_hash != proof.result_hash:
                raise RefusalError(Cause.CHAIN_REJECTED, "this worker has contributed another result to this task")
            return mined
        if stop():
            raise RefusalError(replicate.aborted or Cause.TASK_NOT_ACTIVE, "given up before anything was sent")
        now = int(time.time())
        task = self.chain.task(task_id)
        if task.status is ChainTaskStatus.REVEALING:
            raise RefusalError(Cause.CONSENSUS_REACHED, "the others agreed before this worker was ready")
        self.require_open(task, now)
        self.sender.gas_price()  # where it is dear now: what is done waits as long as it is of use
        self._require_means(self.chain.deal(replicate.deal_id))
        call = self.chain.hub.functions.contribute(
            to_bytes(task_id),
            to_bytes(proof.result_hash),
            to_bytes(proof.result_seal),
            ZERO_ADDRESS,
            to_bytes(ZERO_BYTES32),
            to_bytes(replicate.authorization),
        )
        try:
            return self.send(task_id, "contribute", call).tx_hash
        except RevertedError as error:
            raise self._why_refused(task_id, error) from None

    def recover_in_time(self, replicate: Replicate, step: str) -> str | None:
        """`recover`, but what the node will not take is forgotten once the contribution deadline is over."""
        try:
            return self.recover(replicate.task_id, step)
        except PewError as error:
            # a clock that is fast must not have forgotten what may still be mined: by the chain's own time
            if error.code != "NOT_SENT" or replicate.facts is None:
                raise
            if self.now() <= replicate.facts.contribution_deadline:
                raise
            for sent in self._journal.sent(replicate.task_id, step):
                if sent.state == "OPEN":
                    self._journal.transaction_ended(sent.tx_hash, "GONE")
            return None

    def _why_refused(self, task_id: str, error: RevertedError) -> PewError:
        """The cause of a refused contribution as the chain shows it now."""
        if self.chain.contribution(task_id, self.me).status is not ContributionStatus.UNSET:
            return PendingError(error.tx_hash or "", 0)
        status = self.chain.task(task_id).status
        if status is ChainTaskStatus.REVEALING:
            return RefusalError(Cause.CONSENSUS_REACHED, "the others agreed before this worker's transaction was mined")
        if error.name == "InsufficientStake":
            return RefusalError(Cause.STAKE_TOO_LOW, error.message, error.hint)
        return RefusalError(Cause.CHAIN_REJECTED, error.message, error.hint)

    def reveal(self, replicate: Replicate) -> str | None:
        """Reveal, or find that it was done; returns its transaction where it is known.

        Raises:
            RefusalError: it cannot be done any more (REVEAL_TIMEOUT), or the others agreed on another result.
            ChainUnreachableError, PendingError: ask again, soon.
        """
        task_id, digest = replicate.task_id, replicate.digest or ZERO_BYTES32
        mined = self.recover(task_id, "reveal")
        mine = self.chain.contribution(task_id, self.me).status
        if mine is ContributionStatus.PROVED:
            return mined
        task = self.chain.task(task_id)
        if task.status is ChainTaskStatus.ACTIVE and mine is ContributionStatus.CONTRIBUTED:
            raise ChainUnreachableError(
                "the chain shows no consensus any more", hint="a reorganisation; it comes again"
            )
        if task.status is not ChainTaskStatus.REVEALING:
            raise RefusalError(Cause.REVEAL_TIMEOUT, f"it is too late to reveal: the task is {task.status.name}")
        if task.consensus != result_hash(task_id, digest):
            raise RefusalError(Cause.CHAIN_REJECTED, "the others agreed on another result")
        try:
            # whether it is in time the chain decides: this machine's clock may be fast, and the stake is at risk
            call = self.chain.hub.functions.reveal(to_bytes(task_id), to_bytes(digest))
            return self.send(task_id, "reveal", call).tx_hash
        except RevertedError as error:
            task, mine = self.chain.task(task_id), self.chain.contribution(task_id, self.me).status
            if mine is ContributionStatus.PROVED:
                return error.tx_hash
            in_time = task.status is ChainTaskStatus.REVEALING and self.now() < task.reveal_deadline
            if mine is ContributionStatus.CONTRIBUTED and (in_time or task.status is ChainTaskStatus.ACTIVE):
                # a reorganisation may have mined it again before the consensus
                raise ChainUnreachableError(f"{error.message}, and there is time", hint="it is sent again") from None
            raise RefusalError(Cause.REVEAL_TIMEOUT, error.message, error.hint) from None

    def look(self, replicate: Replicate) -> What:
        """What the chain holds of a replicate."""
        task = self.chain.task(replicate.task_id)
        mine = self.chain.contribution(replicate.task_id, self.me)
        digest = replicate.digest
        agrees = digest is not None and task.consensus == result_hash(replicate.task_id, digest)
        return seen(task.status, mine.status, agrees=agrees)

    def settle(self, task_id: str) -> Settlement | None:
        """What a task brought this worker; None while it is not over."""
        status = self.chain.task(task_id).status
        if status not in (ChainTaskStatus.COMPLETED, ChainTaskStatus.FAILED):
            return None
        reward = seized = 0
        steps = ("contribute", "contributeAndFinalize")
        contributed = [t.block for step in steps for t in self._journal.sent(task_id, step) if t.block is not None]
        if contributed:
            first, last = min(contributed), self.chain.block_number()
            while first <= last:
                end = min(first + _LOG_SPAN - 1, last)
                for event in self.chain.logs(first, end, ["Reward", "Seize"]):
                    if event.args["owner"] == self.me and event.args["ref"] == task_id:
                        amount = int(str(event.args["amount"]))
                        reward, seized = (
                            (reward + amount, seized) if event.name == "Reward" else (reward, seized + amount)
                        )
                first = end + 1
        proved = self.chain.contribution(task_id, self.me).status is ContributionStatus.PROVED
        counted = proved and status is ChainTaskStatus.COMPLETED
        return Settlement(status, counted, reward, seized)

    # transactions

    def recover(self, task_id: str, step: str) -> str | None:
        """Bring what was sent for a step to its end; returns the transaction that was mined, if one was.

        Raises:
            PendingError, ChainUnreachableError: not known yet.
        """
        return self._steps.recover(task_id, step)

    def send(self, task_id: str, step: str, call: Any) -> Receipt:
        """Sign, keep, send and wait."""
        return self._steps.send(task_id, step, call)


def _share(deal: Deal) -> int:
    """nRLC that a new worker may expect: an equal part among as many as the trust needs."""
    for_workers = deal.workerpool.price * (100 - deal.scheduler_reward_ratio) // 100
    return for_workers // consensus.workers_needed(deal.trust)
