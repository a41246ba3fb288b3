"""Nonces and replacement: whatever chain, strangers and crashes do, each step is done at most once, and in the end."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chain.fees import Fee
from chain.nonces import TAKEN_SECONDS, Attempt, Lease, Sight, Verdict, gaps, judge, next_nonce, raised, strangers

GWEI = 10**9
amounts = st.integers(0, 10**15)


def lease(nonce: int = 5, *ats: int) -> Lease:
    return Lease("a step", nonce, tuple(Attempt(f"0x{n}", b"", at) for n, at in enumerate(ats or (100,))))


def verdict(sight: Sight, now: int = 101, confirmations: int = 1, one: Lease | None = None) -> Verdict:
    return judge(one or lease(), sight, confirmations=confirmations, stuck_seconds=60, now=now)


def test_what_is_mined_counts_when_it_is_deep_enough():
    for head, expected in ((10, Verdict.WAIT), (11, Verdict.WAIT), (12, Verdict.DONE), (13, Verdict.DONE)):
        assert verdict(Sight(head, 10, True, 0, None), confirmations=3) is expected
    assert verdict(Sight(12, 10, False, 0, None), confirmations=3) is Verdict.REVERTED


def test_what_is_mined_is_never_lost_nor_replaced():
    assert verdict(Sight(10, 10, True, 6, 1), now=10_000) is Verdict.DONE
    assert verdict(Sight(10, 10, True, 6, 1), now=10_000, confirmations=2) is Verdict.WAIT


def test_a_nonce_is_taken_only_when_that_stays_so():
    used = Sight(10, None, False, 6, 100)
    assert verdict(used, now=100 + TAKEN_SECONDS - 1) is Verdict.WAIT
    assert verdict(used, now=100 + TAKEN_SECONDS) is Verdict.TAKEN
    assert verdict(replace(used, used=5, missing_since=None)) is Verdict.WAIT


def test_what_is_stuck_is_replaced_again_and_again():
    waiting = Sight(10, None, False, 5, None)
    assert verdict(waiting, now=159) is Verdict.WAIT
    assert verdict(waiting, now=160) is Verdict.REPLACE
    assert verdict(waiting, now=219, one=lease(5, 100, 160)) is Verdict.WAIT
    assert verdict(waiting, now=220, one=lease(5, 100, 160)) is Verdict.REPLACE


def test_gaps_are_filled_and_strangers_are_noticed():
    assert next_nonce(5, 5, {6, 7}) == 5
    assert next_nonce(5, 7, {5, 6}) == 7
    assert next_nonce(5, 5, {5, 6}) == 7
    assert gaps(5, 6, {6, 8}) == [7] and gaps(5, 5, {5}) == gaps(5, 5, set()) == []
    assert strangers(5, 8, {5, 7}) == [6]
    assert strangers(5, 5, {6}) == []


@given(amounts, st.none() | amounts, amounts, st.none() | amounts, amounts)
def test_a_replacement_pays_an_eighth_more_and_never_above_the_cap(limit, tip, market, market_tip, cap):
    before = Fee(limit, None if tip is None else min(tip, limit))
    found = raised(before, Fee(market, market_tip), cap)
    if found is None:
        assert cap < limit * 9 / 8 + 1
        return
    assert found.limit <= cap and found.limit * 8 >= limit * 9 and found.limit > limit
    assert (found.tip is None) == (before.tip is None)
    if before.tip is not None:
        assert before.tip < found.tip <= found.limit and found.tip * 8 >= before.tip * 9


@given(st.integers(0, 50), st.integers(0, 20), st.sets(st.integers(0, 80)))
def test_the_next_nonce_is_nobodys(used, waiting, leased):
    nonce = next_nonce(used, used + waiting, leased)
    assert nonce >= used + waiting and nonce not in leased
    assert all(n in leased for n in range(used + waiting, nonce))


@dataclass
class Network:
    """A chain of blocks of (nonce, name) with a pool of what waits; it can take blocks back."""

    blocks: list[list[tuple[int, str]]] = field(default_factory=lambda: [[]])
    pool: dict[int, set[str]] = field(default_factory=dict)

    @property
    def head(self) -> int:
        return len(self.blocks) - 1

    def used(self, upto: int) -> int:
        return sum(len(block) for block in self.blocks[: max(upto, 0) + 1])

    def pending(self) -> int:
        nonce = self.used(self.head)
        while nonce in self.pool:
            nonce += 1
        return nonce

    def mined(self, name: str) -> int | None:
        return next((n for n, block in enumerate(self.blocks) if any(x == name for _, x in block)), None)

    def send(self, nonce: int, name: str) -> None:
        if nonce >= self.used(self.head):
            self.pool.setdefault(nonce, set()).add(name)


class Wallet(RuleBasedStateMachine):
    """One wallet's leases, kept in a book that survives crashes, against a network that misbehaves."""

    CONFIRMATIONS = 2
    STUCK = 20

    def __init__(self) -> None:
        super().__init__()
        self.net = Network()
        self.now = 100
        self.book: dict[str, Lease] = {}
        self.done: dict[str, str] = {}
        self.names = 0
        self.steps = 0
        #: the highest block there ever was
        self.top = 0
        self.missing: dict[str, int] = {}

    def name(self, step: str) -> str:
        self.names += 1
        return f"{step}/{self.names}"

    def begin(self, step: str, *, crash: bool) -> None:
        used = self.net.used(self.net.head)
        nonce = next_nonce(used, self.net.pending(), {x.nonce for x in self.book.values()})
        name = self.name(step)
        self.book[step] = Lease(step, nonce, (Attempt(name, b"", self.now),))
        if not crash:
            self.net.send(nonce, name)

    @rule(crash=st.booleans())
    def a_step_is_sent(self, crash: bool) -> None:
        self.steps += 1
        self.begin(f"step{self.steps}", crash=crash)

    @rule()
    def a_stranger_sends(self) -> None:
        self.net.send(self.net.pending(), self.name("stranger"))

    @rule(data=st.data())
    def a_block_is_mined(self, data) -> None:
        block: list[tuple[int, str]] = []
        nonce = self.net.used(self.net.head)
        for _ in range(data.draw(st.integers(0, 3))):
            if nonce not in self.net.pool:
                break
            block.append((nonce, data.draw(st.sampled_from(sorted(self.net.pool.pop(nonce))))))
            nonce += 1
        self.net.blocks.append(block)
        self.top = max(self.top, self.net.head)

    @precondition(lambda self: self.net.head > max(0, self.top - self.CONFIRMATIONS + 1))
    @rule(back=st.booleans())
    def the_newest_block_is_taken_back(self, back: bool) -> None:
        """Not deeper than what is waited for; its transactions wait again, or are forgotten."""
        for nonce, name in self.net.blocks.pop():
            if back:
                self.net.pool.setdefault(nonce, set()).add(name)

    @rule(data=st.data())
    def the_node_forgets(self, data) -> None:
        if self.net.pool:
            del self.net.pool[data.draw(st.sampled_from(sorted(self.net.pool)))]

    @rule(seconds=st.integers(1, 30))
    def time_passes_and_all_is_looked_at(self, seconds: int) -> None:
        self.now += seconds
        self.look()

    def look(self) -> None:
        for step, one in list(self.book.items()):
            found = next((a.tx_hash for a in one.attempts if self.net.mined(a.tx_hash) is not None), None)
            used = self.net.used(self.net.head - self.CONFIRMATIONS + 1)
            if found is None and used > one.nonce:
                self.missing.setdefault(step, self.now)
            else:
                self.missing.pop(step, None)
            block = None if found is None else self.net.mined(found)
            sight = Sight(self.net.head, block, True, used, self.missing.get(step))
            said = judge(one, sight, confirmations=self.CONFIRMATIONS, stuck_seconds=self.STUCK, now=self.now)
            if said is Verdict.DONE:
                assert found is not None
                self.done[step] = found
                del self.book[step]
            elif said is Verdict.TAKEN:
                assert found is None
                del self.book[step]
                self.missing.pop(step, None)
                self.begin(step, crash=False)
            elif said is Verdict.REPLACE:
                leased = {x.nonce for x in self.book.values()}
                for nonce in gaps(self.net.used(self.net.head), self.net.pending(), leased):
                    self.net.send(nonce, self.name(f"gap{self.names}"))
                again = Attempt(self.name(step), b"", self.now)
                self.book[step] = replace(one, attempts=(*one.attempts, again))
                self.net.send(one.nonce, again.tx_hash)
            elif found is None:
                self.net.send(one.nonce, one.last.tx_hash)

    @invariant()
    def each_step_is_on_chain_at_most_once(self) -> None:
        mined = [
            name.split("/")[0] for block in self.net.blocks for _, name in block if not name.startswith("stranger")
        ]
        assert len(mined) == len(set(mined))

    @invariant()
    def no_nonce_belongs_to_two_steps(self) -> None:
        held = [one.nonce for one in self.book.values()]
        assert len(held) == len(set(held))

    def teardown(self) -> None:
        """When the network is well again, all that was begun is done, once."""
        for _ in range(200):
            if not self.book:
                break
            self.now += TAKEN_SECONDS
            nonce = self.net.used(self.net.head)
            self.net.blocks.append([(nonce, sorted(self.net.pool.pop(nonce))[0])] if nonce in self.net.pool else [])
            self.look()
        assert not self.book
        self.each_step_is_on_chain_at_most_once()


Wallet.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestWallet = Wallet.TestCase
