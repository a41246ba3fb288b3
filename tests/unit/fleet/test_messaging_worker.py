"""Commands at the worker: each once, in order, only from the pool's owner; wishes that the energy gate hears."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from hypothesis import given
from hypothesis import strategies as st

from chain.wallet import Wallet
from poco.commands import Command, CommandKind, CommandState, RemoteSettings, SignedCommand, checked, command_typed_data
from poco.states import Presence
from poco.wire import Sample
from worker import core
from worker.commands import Judge
from worker.core import Stance, Worker
from worker.energy.battery import Battery
from worker.energy.device import board
from worker.energy.gate import decide
from worker.energy.situation import Action, GateConfig, GateState, Mode, RunningTask, Situation
from worker.energy.source import PowerReading
from worker.journal import Journal
from worker.orders import Commanded, Inbox, Orders, Reply, obey, take
from worker.postbox import MOST_SAMPLES, Postbox

POOL = "0x5FC8d32690cc91D4c39d9d3abcBD16989F875707"
NOW = 1_700_000_000
OWNER, ME = Wallet(Account.create()), Account.create().address


def command(seq: int, kind: str, arguments: dict[str, Any] | None = None, **more: Any) -> SignedCommand:
    """As the scheduler makes it; `by` signs, `to` is its worker."""
    by, to = more.pop("by", OWNER), more.pop("to", ME)
    said = {"previous": 0, "expires": NOW + 60, **more}
    arguments = checked(CommandKind(kind), arguments or {})
    made = Command(seq=seq, kind=CommandKind(kind), arguments=arguments, **said)
    return SignedCommand(**made.model_dump(), signature=by.sign_typed(command_typed_data(1337, POOL, to, made)))


def unsigned(seq: int, previous: int, kind: str, arguments: dict[str, Any]) -> SignedCommand:
    said = {"seq": seq, "previous": previous, "kind": kind, "arguments": arguments, "expires": NOW + 60}
    return SignedCommand(**said, signature="0x" + "00" * 65)


KINDS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("DRAIN", {}),
    ("RESUME", {}),
    ("PAUSE", {"until": NOW + 30}),
    ("PAUSE", {"until": NOW - 30}),
    ("WAKE_AT", {"at": NOW + 40}),
    ("CONFIGURE", {"settings": {"poll_seconds": 60}}),
    ("CONFIGURE", {"settings": {"poll_seconds": None}}),
)


@given(
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=6),
    brought=st.lists(st.integers(min_value=0, max_value=5), max_size=20),
    polls=st.lists(st.integers(min_value=0, max_value=20), max_size=3),
)
def test_each_is_obeyed_once_and_in_order_whatever_a_broker_does(
    kinds: list[tuple[str, dict[str, Any]]], brought: list[int], polls: list[int]
) -> None:
    """A broker brings them early, late, twice or never; polls tell all that is not acknowledged, again and again."""
    rows = [unsigned(10 + n, 9 + n if n else 0, *each) for n, each in enumerate(kinds)]
    inbox, replies = Inbox(0, 0, Orders()), list[Reply]()

    def arrives(each: SignedCommand, *, told: bool) -> None:
        nonlocal inbox
        inbox, said = take(inbox, Commanded(each.seq, told, each, True), NOW)
        replies.extend(said)

    for at, index in enumerate(brought):
        if at in polls:
            for each in [row for row in rows[: len(rows) // 2] if row.seq > inbox.acked]:
                arrives(each, told=True)
        arrives(rows[index % len(rows)], told=False)
    for each in rows:
        arrives(each, told=True)
    wanted = Orders()
    for each in rows:
        wanted, _ = obey(wanted, each, NOW)
    assert [reply.seq for reply in replies] == [row.seq for row in rows]
    assert inbox == Inbox(rows[-1].seq, rows[-1].seq, wanted)


def test_what_each_kind_leaves_behind() -> None:
    orders = Orders()
    for seq, (kind, arguments) in enumerate(KINDS[:1] + KINDS[2:3] + KINDS[4:6], 1):
        orders, reply = obey(orders, unsigned(seq, 0, kind, arguments), NOW)
        assert reply.state is CommandState.DONE
    settings = RemoteSettings(poll_seconds=60)
    assert orders == Orders(drain=True, pause_until=NOW + 30, wake_at=NOW + 40, settings=settings)
    assert orders.paused(NOW) and not orders.paused(NOW + 30)
    orders, _ = obey(orders, unsigned(9, 0, "RESUME", {}), NOW)
    assert orders == Orders(wake_at=NOW + 40, settings=settings)
    for kind, arguments in (("PAUSE", {"until": 2**53}), ("WAKE_AT", {"at": NOW})):
        assert obey(orders, unsigned(9, 0, kind, arguments), NOW)[1].state is CommandState.REFUSED
    late = obey(orders, unsigned(9, 0, "DRAIN", {}), NOW + 61)
    assert late[0] == orders and late[1].state is CommandState.EXPIRED
    assert obey(orders, unsigned(9, 0, "DIAGNOSE", {}), NOW)[1].state is None


def test_only_what_the_owner_has_signed_for_this_worker_is_genuine() -> None:
    judge = Judge(1337, POOL, ME, (CommandKind.DRAIN, CommandKind.CONFIGURE))
    right = command(5, "DRAIN")
    owner = OWNER.address
    assert judge.brought(right.model_dump_json().encode(), owner) == Commanded(5, False, right, True)
    assert judge.told(right.model_dump(), owner, 5) == Commanded(5, True, right, True)
    assert "not signed" in judge.told(right.model_dump(), owner, 6).refusal
    foreign = [
        command(5, "DRAIN", by=Wallet(Account.create())),
        command(5, "DRAIN", to=owner),
        right.model_copy(update={"expires": NOW + 10**6}),
        right.model_copy(update={"seq": 6}),
        right.model_copy(update={"kind": CommandKind.RESUME}),
    ]
    for each in foreign:
        assert judge.brought(each.model_dump_json().encode(), owner) is None
        assert not judge.told(each.model_dump(), owner, each.seq).genuine
    for payload in (b"", b"{}", b"\xff" * 100, b"[" * 5000, right.model_dump_json().encode()[:-9]):
        assert judge.brought(payload, owner) is None
    assert "does not obey RESUME" in judge.told(command(5, "RESUME").model_dump(), owner, 5).refusal
    odd = Command(seq=5, previous=0, kind=CommandKind.CONFIGURE, arguments={"settings": {"rpc_urls": "x"}}, expires=NOW)
    signature = OWNER.sign_typed(command_typed_data(1337, POOL, ME, odd))
    assert "rpc_urls" in judge.told({**odd.model_dump(), "signature": signature}, owner, 5).refusal


def test_a_draining_worker_takes_nothing_until_it_is_resumed() -> None:
    state = Worker(slots=1, stance=Stance(willing=True))
    drain = Commanded(5, True, unsigned(5, 0, "DRAIN", {}), True)
    after, _ = core.step(state, drain, NOW)
    assert (core.presence(after), core.free_slots(after), after.acked) == (Presence.DRAINING, 0, 5)
    again, said = core.step(after, drain, NOW)
    assert again == after and said == []
    resumed, _ = core.step(after, Commanded(6, True, unsigned(6, 5, "RESUME", {}), True), NOW)
    assert core.presence(resumed) is Presence.WAITING
    false, said = core.step(state, Commanded(7, True, None, False, "nonsense"), NOW)
    assert (false.acked, false.commanded) == (7, 0) and said == [Reply(7, CommandState.REFUSED, "nonsense")]
    far = Commanded(1000 * (NOW + 10**6), True, unsigned(1000 * (NOW + 10**6), 0, "DRAIN", {}), True)
    assert core.step(state, far, NOW) == (state, [])


def situation(soc: float | None, **values: Any) -> Situation:
    battery = Battery(capacity_wh=100.0)
    reading = PowerReading(at=float(NOW), battery_soc=soc)
    return Situation(now=NOW, reading=reading, battery=battery, device=board("pi-zero-2w"), **values)


RUNNING = (RunningTask("0x1", 60.0),)


@pytest.mark.parametrize("soc", [0.9, 0.3, None])
def test_the_gate_hears_a_pause(soc: float | None) -> None:
    pausing = decide(GateState(), situation(soc, running=RUNNING, pause_until=NOW + 50), GateConfig())
    assert (pausing.action, pausing.resume_at) == (Action.PAUSE, NOW + 50)
    assert "operator" in pausing.reason
    idle = decide(GateState(), situation(soc, pause_until=NOW + 50), GateConfig())
    assert idle.action is Action.DECLINE and "operator" in idle.reason
    over = decide(GateState(), situation(0.9, running=RUNNING, pause_until=NOW), GateConfig())
    assert over.action is Action.RUN


def test_an_empty_battery_sleeps_whatever_the_operator_wants_and_wakes_when_asked() -> None:
    asleep = GateState(Mode.ASLEEP)
    plain = decide(asleep, situation(0.1), GateConfig())
    assert plain.action is Action.SLEEP and plain.resume_at is not None
    paused = decide(asleep, situation(0.1, pause_until=NOW + 50), GateConfig())
    assert paused == plain
    woken = decide(asleep, situation(0.1, wake_at=NOW + 50), GateConfig())
    assert (woken.action, woken.resume_at) == (Action.SLEEP, NOW + 50)
    assert decide(asleep, situation(0.1, wake_at=NOW - 1), GateConfig()) == plain


def test_a_planned_nap_ends_when_the_operator_wakes_it() -> None:
    napping = GateState(rest_until=NOW + 900.0)
    assert decide(napping, situation(0.9, rest_s=900.0), GateConfig()).action is Action.SLEEP
    ahead = decide(napping, situation(0.9, rest_s=900.0, wake_at=NOW + 60), GateConfig())
    assert (ahead.action, ahead.resume_at) == (Action.SLEEP, NOW + 60)
    assert decide(napping, situation(0.9, rest_s=900.0, wake_at=NOW - 60), GateConfig()).action is Action.RUN


def test_orders_and_replies_survive_and_samples_are_bounded(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.db")
    before = Worker(slots=1)
    after, said = core.step(before, Commanded(5, True, unsigned(5, 0, "DRAIN", {}), True), NOW)
    asked, more = core.step(after, Commanded(6, True, unsigned(6, 5, "DIAGNOSE", {}), True), NOW)
    replies = [each for each in (*said, *more) if isinstance(each, Reply)]
    journal.commit(before, asked, replies, NOW)
    samples = [Sample(at=900 * n, soc=0.5) for n in range(MOST_SAMPLES + 5)]
    journal.energy_kept({}, samples=samples)
    journal.close()
    again = Journal(tmp_path / "journal.db")
    loaded = again.load(1)
    assert (loaded.acked, loaded.commanded, loaded.orders) == (6, 6, Orders(drain=True))
    box = Postbox(again)
    found = box.next_reply()
    assert found is not None and found[0] == 5 and found[1].state is CommandState.DONE
    assert box.unanswered() == [6]
    box.replied(5)
    assert box.next_reply() is None
    box.keep(Reply(6, CommandState.DONE, "[]"))
    assert box.unanswered() == [] and box.next_reply() is not None
    assert box.waiting() == MOST_SAMPLES
    first = box.samples(2)
    assert first == samples[5:7]
    box.told(first)
    assert box.samples(1) == samples[7:8]
    again.close()
