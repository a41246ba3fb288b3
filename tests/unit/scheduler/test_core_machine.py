"""The core against a small model of the contracts: any order of what workers, clock and outbox do, and repeats."""

from __future__ import annotations

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, precondition, rule

from poco.consensus import Tally, tally, would_agree
from poco.errors import Cause
from poco.ids import result_hash, task_id
from poco.states import FINAL_TASK
from poco.states import ReplicateStatus as R
from poco.wire import NotificationType as N
from poco.wire import Verdict
from scheduler import model as m
from scheduler import transitions as tr
from scheduler.core import step, take, wants_worker
from scheduler.rules import due, error_hash, follow, pending_weights, tally_of

DEAL = "0x" + "11" * 32
WORKERS = [f"0x{n:040x}" for n in range(1, 6)]
DIGESTS = ["0x" + "aa" * 32, "0x" + "bb" * 32]
T = 10


class Chain:
    """What the contracts hold of one task, and the events they have emitted."""

    def __init__(self, trust: int) -> None:
        self.trust = trust
        self.id = task_id(DEAL, 0)
        self.status = "UNSET"
        self.contributions: dict[str, str] = {}
        self.rejected: set[str] = set()
        self.revealed: set[str] = set()
        self.consensus: str | None = None
        self.reveal_deadline = 0
        self.log: list[m.Event] = []

    def votes(self) -> Tally:
        return tally(self.trust, [(h, 2) for w, h in self.contributions.items() if w not in self.rejected])

    def winners(self) -> list[str]:
        return [w for w, h in self.contributions.items() if h == self.consensus and w not in self.rejected]

    def initialize(self) -> bool:
        if self.status != "UNSET":
            return False
        self.status = "ACTIVE"
        self.log.append(m.Initialized())
        return True

    def contribute(self, worker: str, found: str, now: int) -> None:
        self.contributions[worker] = found
        self.log.append(m.Contributed(worker, found))
        if self.votes().reached(found):
            self.status, self.consensus, self.reveal_deadline = "REVEALING", found, now + 2 * T
            self.log.append(m.ConsensusReached(found, self.reveal_deadline))

    def send(self, kind: m.Tx, now: int) -> bool:
        """Whether the contracts accept; what is done already counts as accepted."""
        if kind is m.Tx.INITIALIZE:
            return self.initialize() or True
        if kind is m.Tx.FINALIZE:
            over = now >= self.reveal_deadline and self.revealed
            if self.status == "REVEALING" and now < 10 * T and (over or set(self.winners()) == self.revealed):
                self.status = "COMPLETED"
                self.log.append(m.Finalized("/ipfs/x"))
            return self.status == "COMPLETED"
        if kind is m.Tx.REOPEN:
            if self.status == "REVEALING" and now >= self.reveal_deadline and not self.revealed and now < 10 * T:
                self.rejected |= set(self.winners())
                self.status, self.consensus = "ACTIVE", None
                self.log.append(m.Reopened())
            return self.status == "ACTIVE"
        if self.status in {"ACTIVE", "REVEALING"} and now >= 10 * T:
            self.status = "FAILED"
            self.log.append(m.Claimed())
        return self.status in {"COMPLETED", "FAILED"}


TASKS, REPLICATES = tr.moves(tr.TASK_ROWS), tr.moves(tr.REPLICATE_ROWS)


class Life(RuleBasedStateMachine):
    authorized = Bundle("authorized")

    @initialize(trust=st.sampled_from([1, 4, 5]))
    def begin(self, trust: int) -> None:
        self.now = 0
        self.chain = Chain(trust)
        self.seen = 0
        self.outbox: list[m.Send] = []
        self.told: Counter[tuple[str, int, str]] = Counter()
        self.allowed: set[str] = set()
        terms = m.TaskTerms(DEAL, "0x" + "33" * 20, False, trust, 5, T, 7 * T, 10 * T)
        self.task = terms.task(0)
        self.apply(m.Tick())

    def apply(self, event: m.Event) -> list[m.Effect]:
        before = self.task
        self.task, effects = step(before, event, self.now)
        self.check_moves(before, self.task, event)
        for effect in effects:
            if isinstance(effect, m.Send):
                assert not self.outbox, "one transaction at a time"
                self.outbox.append(effect)
            elif isinstance(effect, m.Recall):
                self.outbox = [one for one in self.outbox if one.kind is not effect.kind]
            elif isinstance(effect, m.Notify):
                replicate = self.task.replicate(effect.worker)
                assert replicate is not None
                kind = "END" if effect.type in {N.ABORT, N.COMPLETE} else effect.type.value
                self.told[effect.worker, replicate.attempt, kind] += 1
        return list(effects)

    def check_moves(self, before: m.Task, after: m.Task, event: m.Event) -> None:
        """Only what the tables list: first by the event itself, then by the rules."""
        told, _ = take(before, event, self.now)
        kind = type(event).__name__
        for old, name, new in ((before, kind, told), (told, tr.RULES, after)):
            if old.status is not new.status:
                assert new.status in TASKS[old.status, name], (old.status, new.status, event)
            for r in new.replicates:
                known = old.replicate(r.worker)
                status = tr.NOBODY if known is None else known.status
                said = f"reports {event.status}" if isinstance(event, m.Reported) and name == kind else name
                if status != r.status:
                    assert r.status in REPLICATES[status, said], (status, r.status, event)

    @rule(worker=st.sampled_from(WORKERS))
    def lease(self, worker: str) -> None:
        before = self.task
        enough = would_agree(tally_of(before), pending_weights(before, self.now))
        effects = self.apply(m.Leased(worker, 2))
        if any(isinstance(e, m.Authorize) for e in effects):
            assert not enough
            self.allowed.add(worker)

    @rule(worker=st.sampled_from(WORKERS), status=st.sampled_from(list(R)), cause=st.sampled_from(list(Cause)))
    def report_anything(self, worker: str, status: R, cause: Cause) -> None:
        before = self.task
        effects = self.apply(m.Reported(worker, status, cause))
        (answer,) = [e for e in effects if isinstance(e, m.Answer)]
        if answer.verdict is None:
            assert self.task == before
        replicate = self.task.replicate(worker)
        if status is R.CONTRIBUTED and worker not in self.chain.contributions:
            assert replicate is None or replicate.status is not R.CONTRIBUTED
        if answer.verdict is Verdict.ABORT and replicate is not None and before.status not in FINAL_TASK:
            assert replicate.result_hash is None, "nobody with a stake is told to stop"

    @rule(worker=st.sampled_from(WORKERS), upto=st.integers(1, 6))
    def work(self, worker: str, upto: int) -> None:
        for status in (R.STARTED, R.APP_DOWNLOADED, R.DATA_DOWNLOADED, R.COMPUTING, R.COMPUTED, R.CONTRIBUTING)[:upto]:
            self.apply(m.Reported(worker, status))

    @rule(worker=st.sampled_from(WORKERS), cause=st.sampled_from([Cause.APP_COMPUTE_FAILED, Cause.APP_COMPUTE_TIMEOUT]))
    def fail(self, worker: str, cause: Cause) -> None:
        self.apply(m.Reported(worker, R.FAILED, cause))

    @rule(worker=st.sampled_from(WORKERS), digest=st.sampled_from(DIGESTS))
    def contribute(self, worker: str, digest: str) -> None:
        chain = self.chain
        if chain.status == "ACTIVE" and worker in self.allowed and worker not in chain.contributions:
            replicate = self.task.replicate(worker)
            asked = replicate.asked if replicate else None
            found = error_hash(self.task, asked) if asked else result_hash(chain.id, digest)
            if self.now < 7 * T:
                chain.contribute(worker, found, self.now)

    @rule(worker=st.sampled_from(WORKERS))
    def reveal(self, worker: str) -> None:
        chain = self.chain
        if chain.status != "REVEALING" or worker not in chain.winners() or worker in chain.revealed:
            return
        for digest in DIGESTS:
            if result_hash(chain.id, digest) == chain.consensus and self.now < chain.reveal_deadline:
                chain.revealed.add(worker)
                chain.log.append(m.Revealed(worker, digest))

    @precondition(lambda self: self.seen < len(self.chain.log))
    @rule(count=st.integers(1, 4))
    def read_chain(self, count: int) -> None:
        for event in self.chain.log[self.seen : self.seen + count]:
            self.apply(event)
            self.seen += 1
            after = self.task
            self.apply(event)  # seen twice
            assert after == self.task

    @precondition(lambda self: self.outbox)
    @rule()
    def mine(self) -> None:
        send = self.outbox.pop()
        if not self.chain.send(send.kind, self.now):
            self.apply(m.TransactionFailed(send.kind))

    @rule(worker=st.sampled_from(WORKERS))
    def upload(self, worker: str) -> None:
        self.apply(m.Uploaded(worker, "/ipfs/x"))
        if self.task.location:
            assert any(r.revealed for r in self.task.replicates)

    @rule(worker=st.sampled_from(WORKERS))
    def upload_refused(self, worker: str) -> None:
        self.apply(m.UploadRefused(worker))

    @rule(worker=st.sampled_from(WORKERS))
    def lose(self, worker: str) -> None:
        self.apply(m.WorkerLost(worker))

    @rule()
    def exhaust(self) -> None:
        self.apply(m.Exhausted())

    @rule(seconds=st.integers(1, 25))
    def wait(self, seconds: int) -> None:
        self.now += seconds
        self.apply(m.Tick())

    @rule(seconds=st.integers(1, 200))
    def clock_jumps(self, seconds: int) -> None:
        """It shows too much for a while."""
        self.now += seconds
        self.apply(m.Tick())
        self.now -= seconds
        self.apply(m.ClockSetBack())
        if self.now <= 10 * T:
            assert self.task.sent is not m.Tx.CLAIM
            assert all(send.kind is not m.Tx.CLAIM for send in self.outbox)
        assert all(max(r.since, r.leased_at) <= self.now for r in self.task.replicates)

    @invariant()
    def rules_rest(self) -> None:
        if not hasattr(self, "task"):
            return
        again, effects = follow(self.task, self.now)
        assert effects == ()
        assert again == self.task
        when = due(self.task, self.now)
        assert when is None or when > self.now, (when, self.now, self.task)

    @invariant()
    def told_once(self) -> None:
        if hasattr(self, "told"):
            assert all(n == 1 for (_, _, kind), n in self.told.items() if kind != "UPLOAD"), self.told

    @invariant()
    def uploader_is_one(self) -> None:
        if hasattr(self, "task"):
            asked = [
                r.worker for r in self.task.replicates if r.status in {R.RESULT_UPLOAD_REQUESTED, R.RESULT_UPLOADING}
            ]
            assert len(asked) <= 1

    def teardown(self) -> None:
        """Whatever happened, it ends once everything is let happen."""
        if not hasattr(self, "task"):
            return
        for _ in range(12):
            self.now += T
            self.apply(m.Tick())
            for _ in range(3):
                while self.outbox:
                    self.mine()
                while self.seen < len(self.chain.log):
                    self.read_chain(1)
                self.apply(m.Tick())
        self.now += 400
        self.apply(m.Tick())
        while self.outbox:
            self.mine()
        while self.seen < len(self.chain.log):
            self.read_chain(1)
        assert self.task.status in FINAL_TASK, self.task
        assert not wants_worker(self.task, self.now)
        assert all(r.closed for r in self.task.replicates)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
