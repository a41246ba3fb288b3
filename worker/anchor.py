"""Makes the energy ledger public: each day's records to the scheduler, each day's root and sums to the chain.

The chain says what is anchored and the journal what is published: after a power cut both go on where they were. Tasks
come first: nothing is anchored while a stake is open, while the gate saves energy, or with what the next contribution
and its reveal may cost.
"""

from __future__ import annotations

from chain.deployment import Deployment
from poco.energy import DAY_S, RECORD_S, Claim, claim_of, domain, head_line, parse
from poco.errors import PewError
from poco.orders import Domain
from poco.wire import LedgerDay
from worker.chain import PoolChain
from worker.energy import LedgerConfig
from worker.journal import Journal
from worker.link import Link, SchedulerRefusedError
from worker.log import Log
from worker.power import Signer

#: Days in one transaction (31,000 gas each), and days published in one go.
_DAYS = 31
_GAS_DAY, _GAS_BASE = 31_000, 70_000
_PUBLISHED = "ledger.published"


class Anchor:
    """One worker's ledger on its way out.

    Args:
        config: whether to anchor and to publish; nothing is anchored on a chain without an `EnergyLedger`.
    """

    def __init__(self, config: LedgerConfig, journal: Journal, chain: PoolChain, link: Link, log: Log) -> None:
        self._config, self._contract = config, chain.deployment.energy_ledger
        self._journal, self._chain, self._link, self._log = journal, chain, link, log

    def step(self, *, may_spend: bool) -> None:
        """Publish and anchor what is complete; failures are logged and tried again at the next step.

        Args:
            may_spend: whether gas and energy may go into an anchor now.
        """
        for wanted, do in ((self._config.publish, self.publish), (may_spend and self._anchors, self.anchor)):
            if wanted:
                try:
                    do()
                except PewError as error:
                    self._log.warning("ledger_waits", what=do.__name__, why=error.message, hint=error.hint)

    @property
    def _anchors(self) -> bool:
        return self._config.anchor == "daily" and self._contract is not None

    def publish(self) -> None:
        """Give the scheduler the days that it has not got."""
        done = int(self._journal.note(_PUBLISHED) or -1)
        for day in self._complete_days(done)[:_DAYS]:
            lines = [self._head(), *self._journal.ledger_lines(day * DAY_S, (day + 1) * DAY_S)]
            try:
                self._link.publish(day, LedgerDay(lines=lines))
            except SchedulerRefusedError as error:
                if error.code != "OTHER_LEDGER":
                    raise
                self._log.error("ledger_refused", day=day, why=error.message, hint=error.hint)
            self._journal.set_note(_PUBLISHED, str(day))
            self._log.info("ledger_published", day=day)

    def anchor(self) -> None:
        """Anchor the days that the chain has not got, after what an earlier run began has come to its end."""
        chain = self._chain
        chain.recover("", "anchor")
        contract = chain.chain.contract("energy_ledger", self._contract or "")
        _, last, _ = chain.chain.ask(contract.functions.headOf(chain.me).call)
        _, _, now = chain.chain.block()
        claims = [self._claim(day) for day in self._complete_days(last) if (day + 1) * DAY_S <= now][:_DAYS]
        if not claims:
            return
        gas = _GAS_BASE + _GAS_DAY * len(claims)
        lacking = chain.gas_lacking(beside=gas)
        if lacking:
            self._log.info("anchor_waits", why=lacking)
            return
        call = contract.functions.anchor([claim.as_tuple() for claim in claims])
        receipt = chain.send("", "anchor", call)
        self._log.info("anchored", first=claims[0].day, last=claims[-1].day, tx=receipt.tx_hash, gas=receipt.gas_used)

    def _complete_days(self, after: int) -> list[int]:
        """Days with records, later than `after`, to which nothing is added any more."""
        last = self._journal.last_record()
        if last is None:
            return []
        ends = last.day + 1 if last.start % DAY_S == DAY_S - RECORD_S else last.day
        return [day for day in self._journal.ledger_days(after + 1) if day < ends]

    def _claim(self, day: int) -> Claim:
        lines = [self._head(), *self._journal.ledger_lines(day * DAY_S, (day + 1) * DAY_S)]
        ledger = parse(lines)
        return claim_of(day, [entry.record for entry in ledger.entries], ledger.profiles)

    def _head(self) -> str:
        where = ledger_domain(self._chain.deployment)
        return head_line(self._chain.me, where.chain_id, where.hub)


def signer(chain: PoolChain) -> Signer:
    """Signs that worker's ledger."""
    return Signer(chain.sender.wallet.sign_digest, ledger_domain(chain.deployment))


def ledger_domain(deployment: Deployment) -> Domain:
    """What the signatures of records are bound to: the energy ledger, on a chain without one its hub."""
    return domain(deployment.chain_id, deployment.energy_ledger or deployment.hub)
