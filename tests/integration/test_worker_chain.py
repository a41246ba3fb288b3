"""The worker's own view of a real chain: transactions that count once, stakes won and lost."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chain import wallet as keystores
from chain.client import Chain, ChainUnreachableError
from chain.transactions import GAS_LIMITS, Sender
from chain.wallet import Wallet
from poco import ids
from poco.errors import Cause, PewError
from poco.hexes import ZERO_ADDRESS
from poco.states import ChainTaskStatus, ContributionStatus
from tests.integration.worker_net import PRICE, RLC, STAKE, Net, network
from worker.chain import PoolChain, RefusalError
from worker.config import WorkerConfig
from worker.core import Replicate
from worker.journal import Journal
from worker.table import What

pytestmark = pytest.mark.chain
DIGEST = "0x" + "ab" * 32
OTHER = "0x" + "cd" * 32


@pytest.fixture(scope="module")
def net(hub: Chain, registry: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    with network(hub, registry, tmp_path_factory.mktemp("net")) as made:
        yield made


class Actor:
    """A worker without a process: wallet, journal and chain."""

    def __init__(self, net: Net, folder: Path, rlc: int = 10 * RLC, stake: int = RLC) -> None:
        self.net, self.wallet = net, net.actor("worker", rlc)
        folder.mkdir(exist_ok=True)
        there = Path("x")
        config = WorkerConfig(
            scheduler_url="http://127.0.0.1:1", rpc_url=net.chain.rpc_url, deployment=there, keystore=there,
            password_file=there, data_dir=folder, name="w", workerpool=net.pool, stake_nrlc=stake,
        )  # fmt: skip
        self.journal = Journal(folder / f"{self.wallet.address}.db")
        self.chain = PoolChain(config, net.chain, self.wallet, self.journal)

    def replicate(self, deal_id: str, digest: str = DIGEST, signer: Wallet | None = None) -> Replicate:
        task_id = ids.task_id(deal_id, 0)
        message = ids.authorization_hash(self.wallet.address, task_id)
        made = Replicate(
            task_id=task_id, run=1, deal_id=deal_id, index=0, enclave_challenge=ZERO_ADDRESS, digest=digest,
            authorization=(signer or self.net.scheduler.owner).sign_message(message),
        )  # fmt: skip
        return made.model_copy(update={"facts": self.chain.verify(made, int(time.time()))})


@pytest.fixture
def actor(net: Net, tmp_path: Path) -> Callable[..., Actor]:
    return lambda **options: Actor(net, tmp_path, **options)


def never() -> bool:
    return False


def test_the_stake_is_deposited_once(net: Net, actor: Callable[..., Actor]) -> None:
    one = actor()
    assert one.chain.stand_in() == ""
    assert one.chain.stand_in() == ""
    assert net.chain.account(one.wallet.address).stake == RLC
    assert net.chain.rlc_balance(one.wallet.address) == 9 * RLC
    poor = actor(rlc=RLC // 4)
    assert f"send it {3 * RLC // 4} nRLC more, or lower stake_nrlc" in poor.chain.stand_in()
    assert net.chain.account(poor.wallet.address).stake == 0


def test_an_offer_is_read_from_the_chain(net: Net, actor: Callable[..., Actor]) -> None:
    one = actor()
    one.chain.stand_in()
    facts = one.replicate(net.deal("a b", trust=4).id).facts
    assert facts is not None
    assert (facts.app, facts.run_seconds, facts.stake_nrlc) == (net.app, 300, STAKE)
    assert facts.reward_nrlc == PRICE * 99 // 100 // 2, "trust 4 takes two new workers"
    assert facts.contribution_deadline > time.time() + 2000
    assert facts.image.startswith(net.registry)


def test_offers_that_are_refused(net: Net, actor: Callable[..., Actor], monkeypatch: pytest.MonkeyPatch) -> None:
    poor, rich = actor(rlc=0, stake=0), actor()
    rich.chain.stand_in()
    deal = net.deal("x")
    with pytest.raises(RefusalError) as caught:
        poor.replicate(deal.id)
    assert caught.value.cause is Cause.STAKE_TOO_LOW
    assert f"deposit {STAKE} nRLC more" in caught.value.hint
    with pytest.raises(RefusalError, match="the authorisation was signed by"):
        rich.replicate(deal.id, signer=rich.wallet)
    unseen = net.deal("x", initialize=False).id
    with pytest.raises(ChainUnreachableError, match="does not show the task yet"):
        rich.replicate(unseen)
    monkeypatch.setattr("worker.chain.UNSEEN_SECONDS", 0)
    with pytest.raises(RefusalError, match="UNSET on chain"):
        rich.replicate(unseen)
    with pytest.raises(RefusalError) as caught:
        rich.replicate(net.deal("x", params={"iexec_secrets": {"0": "a"}}).id)
    assert caught.value.cause is Cause.TASK_DESCRIPTION_INVALID
    assert caught.value.facts is not None, "it is known well enough to contribute the error"


def test_contribute_and_reveal_count_once_however_often_they_are_done(net: Net, actor: Callable[..., Actor]) -> None:
    one = actor()
    one.chain.stand_in()
    replicate = one.replicate(net.deal("x").id)
    first = one.chain.contribute(replicate, never)
    assert one.chain.contribute(replicate, never) == first
    assert one.chain.look(replicate) is What.SEEN_REVEAL
    revealed = one.chain.reveal(replicate)
    assert one.chain.reveal(replicate) == revealed
    assert one.chain.look(replicate) is What.SEEN_PROVED
    assert one.chain.settle(replicate.task_id) is None
    net.finalize(replicate.task_id, "/ipfs/x")
    settled = one.chain.settle(replicate.task_id)
    assert settled is not None
    assert (settled.status, settled.counted) == (ChainTaskStatus.COMPLETED, True)
    assert (settled.reward_nrlc, settled.seized_nrlc) == (PRICE * 99 // 100, 0)
    assert net.chain.web3.eth.get_transaction_count(one.wallet.address) == 3
    with pytest.raises(RefusalError, match="another result"):
        one.chain.contribute(replicate.model_copy(update={"digest": OTHER}), never)


def test_a_reveal_that_was_mined_at_a_bad_moment_is_made_anew(
    net: Net, actor: Callable[..., Actor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reorganisation may mine it again before the consensus: it fails then, and there is time left."""
    one = actor()
    one.chain.stand_in()
    replicate = one.replicate(net.deal("x").id)
    one.chain.contribute(replicate, never)
    with monkeypatch.context() as short:
        short.setitem(GAS_LIMITS, "reveal", 28_000)  # it fails on chain, and not when it is tried out
        with pytest.raises(ChainUnreachableError, match="there is time"):
            one.chain.reveal(replicate)
    assert [sent.state for sent in one.journal.sent(replicate.task_id, "reveal")] == ["REVERTED"]
    assert one.chain.reveal(replicate) is not None
    assert one.chain.look(replicate) is What.SEEN_PROVED


def test_a_clock_that_is_fast_costs_no_stake(
    net: Net, actor: Callable[..., Actor], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = actor()
    one.chain.stand_in()
    replicate = one.replicate(net.deal("x").id)
    one.chain.contribute(replicate, never)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3600)
    assert one.chain.look(replicate) is What.SEEN_REVEAL
    assert one.chain.reveal(replicate) is not None
    assert one.chain.look(replicate) is What.SEEN_PROVED


def test_what_was_signed_and_not_sent_is_sent(
    net: Net, actor: Callable[..., Actor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut between the journal and the network."""
    one = actor()
    one.chain.stand_in()
    replicate = one.replicate(net.deal("x").id)
    with monkeypatch.context() as cut:
        cut.setattr(Sender, "broadcast", lambda *_: (_ for _ in ()).throw(PewError("cut")))
        with pytest.raises(PewError, match="cut"):
            one.chain.contribute(replicate, never)
    (sent,) = one.journal.open_transactions()
    assert net.chain.contribution(replicate.task_id, one.wallet.address).status is ContributionStatus.UNSET
    assert one.chain.contribute(replicate, never) == sent.tx_hash
    assert not one.journal.open_transactions()


def test_a_signed_transaction_whose_nonce_went_to_another_is_made_anew(
    net: Net, actor: Callable[..., Actor], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = actor()
    one.chain.stand_in()
    replicate = one.replicate(net.deal("x").id)
    with monkeypatch.context() as cut:
        cut.setattr(Sender, "broadcast", lambda *_: (_ for _ in ()).throw(PewError("cut")))
        with pytest.raises(PewError, match="cut"):
            one.chain.contribute(replicate, never)
    Sender(net.chain, one.wallet).transact(net.chain.rlc.functions.approve(net.pool, 1))
    (lost,) = one.journal.open_transactions()
    made = one.chain.contribute(replicate, never)
    assert made not in (None, lost.tx_hash)
    assert {t.tx_hash: t.state for t in one.journal.sent(replicate.task_id, "contribute")} == {
        lost.tx_hash: "GONE", made: "MINED",
    }  # fmt: skip


def test_a_loser_keeps_watching_and_books_what_it_lost(net: Net, actor: Callable[..., Actor]) -> None:
    loser, first, second = actor(), actor(), actor()
    deal = net.deal("x", trust=3)
    for each in (loser, first, second):
        each.chain.stand_in()
    wrong = loser.replicate(deal.id, digest=OTHER)
    right = [each.replicate(deal.id) for each in (first, second)]
    loser.chain.contribute(wrong, never)
    for each, replicate in zip((first, second), right, strict=True):
        each.chain.contribute(replicate, never)
    third = actor()
    third.chain.stand_in()
    if net.chain.task(wrong.task_id).status is ChainTaskStatus.ACTIVE:
        third.chain.contribute(third.replicate(deal.id), never)
    assert net.chain.task(wrong.task_id).status is ChainTaskStatus.REVEALING
    assert loser.chain.look(wrong) is What.SEEN_WAIT
    with pytest.raises(RefusalError, match="another result"):
        loser.chain.reveal(wrong)
    late = actor()
    late.chain.stand_in()
    with pytest.raises(RefusalError) as caught:
        late.chain.contribute(wrong.model_copy(update={"digest": DIGEST}), never)
    assert caught.value.cause is Cause.CONSENSUS_REACHED
    for each, replicate in zip((first, second), right, strict=True):
        each.chain.reveal(replicate)
    if third.journal.sent(wrong.task_id, "contribute"):
        third.chain.reveal(wrong.model_copy(update={"digest": DIGEST}))
    net.finalize(wrong.task_id, "/ipfs/x")
    settled = loser.chain.settle(wrong.task_id)
    assert settled is not None
    assert (settled.counted, settled.reward_nrlc, settled.seized_nrlc) == (False, 0, STAKE)


def test_given_up_before_anything_was_sent(net: Net, actor: Callable[..., Actor]) -> None:
    one = actor()
    one.chain.stand_in()
    replicate = one.replicate(net.deal("x").id)
    with pytest.raises(RefusalError, match="given up"):
        one.chain.contribute(replicate, lambda: True)
    assert net.chain.account(one.wallet.address).locked == 0
    assert not one.journal.open_transactions()


def test_many_steps_of_one_wallet_at_once(net: Net, actor: Callable[..., Actor]) -> None:
    """Slots contribute side by side; every one has its own nonce."""
    one = actor(stake=3 * RLC)
    one.chain.stand_in()
    replicates = [one.replicate(net.deal("x").id) for _ in range(5)]
    failures: list[Exception] = []

    def contribute(replicate: Replicate) -> None:
        try:
            one.chain.contribute(replicate, never)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=contribute, args=(each,)) for each in replicates]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    for each in replicates:
        assert net.chain.contribution(each.task_id, one.wallet.address).status is ContributionStatus.CONTRIBUTED


def test_another_owner_of_the_pool_is_not_believed(net: Net, actor: Callable[..., Actor], tmp_path: Path) -> None:
    one = actor()
    one.chain.require_owner(net.scheduler.owner.address)
    stranger = keystores.create(tmp_path / "s.json", secrets.token_hex(4), iterations=1024)
    with pytest.raises(PewError, match="belongs to"):
        one.chain.require_owner(stranger.address)
