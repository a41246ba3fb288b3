"""What goes wrong on the way to a testnet, one at a time. Each ends with a rollout that is whole and was sent once."""

from __future__ import annotations

import json
import resource
import signal
import threading
import time
from collections.abc import Callable

from poco.errors import PewError
from tests.flaky_rpc import FlakyRpc
from tests.rollout.rig import CONFIRMATIONS, ETHER, STEPS, Rig

#: Bytes that a file may grow to where the disk is full: two steps of the journal.
FULL = 9_000


def kill_before(rig: Rig) -> None:
    """kill -9 at every step, the journal written and nothing sent; a half line left behind at every second one."""
    rig.kill_at_each(passed_on=False)
    _until_done(rig, torn=True)


def kill_after(rig: Rig) -> None:
    """kill -9 at every step, the transaction sent and no answer read."""
    rig.kill_at_each(passed_on=True)
    _until_done(rig)


def kill_any_time(rig: Rig) -> None:
    """kill -9 after seconds that fall anywhere, until nothing is left to kill."""
    for seconds in (1.2, 1.6, 2.1, 2.7, 3.4, 4.3, 5.1):
        killer = threading.Timer(seconds, lambda: rig.child.kill() if rig.child else None)
        killer.start()
        ran = rig.run("apply")
        killer.cancel()
        if ran.code not in (0, -signal.SIGKILL):
            raise PewError(f"neither done nor killed: {ran.err[-400:]}")
    rig.finish()


def drops(rig: Rig) -> None:
    """Connections break before and after the node has done what was asked; 502 and rubbish in between."""
    rig.node.change(drop=0.08, drop_answer=0.08, bad_gateway=0.05, garbage=0.05)
    _go_on(rig)


def rate_limits(rig: Rig) -> None:
    """HTTP 429 with Retry-After, and the same as a JSON-RPC error."""
    rig.node.change(too_many=0.12, too_many_code=0.08, retry_after=1)
    _go_on(rig)


def lagging(rig: Rig) -> None:
    """Two nodes; one is behind the other all the time."""
    with FlakyRpc(rig.url, seed=2) as behind:
        behind.faults.lag = 4
        rig.write(rpc_urls=[behind.url, rig.node.url])
        rig.run("apply").require()
        rig.settled()


def lagging_alone(rig: Rig) -> None:
    """The only node is behind itself: what it takes shows later."""
    rig.node.change(lag=3)
    rig.run("apply").require()
    rig.finish()


def twice(rig: Rig) -> None:
    """Every request reaches the node twice."""
    rig.node.change(duplicate=1.0)
    rig.finish()


def swallowed(rig: Rig) -> None:
    """The node answers to three transactions, and throws them away."""

    def lose() -> None:
        rig.node.change(swallow=True)
        threading.Timer(3, lambda: rig.node.change(swallow=False)).start()

    rig.at({0, 4, 8}, lose)
    rig.finish()


def reorganised(rig: Rig) -> None:
    """Blocks are taken back deeper than what counts as mined, while it runs."""

    def later() -> None:
        threading.Timer(2.5, lambda: rig.reorganise(CONFIRMATIONS + 4)).start()

    rig.at({2, 5, 7}, later)
    rig.run("apply").require()
    rig.settled()


def reorganised_later(rig: Rig) -> None:
    """After the last step half of the rollout is taken back: status says so, apply sends the same again."""
    rig.run("apply").require()
    addresses = (rig.folder / "rehearsal.json").read_text()
    first = json.loads(addresses)["block"]
    rig.reorganise(int(rig.ask("eth_blockNumber"), 16) - first + 2)
    rig.run("status").require(1)
    rig.finish()
    if json.loads((rig.folder / "rehearsal.json").read_text())["contracts"] != json.loads(addresses)["contracts"]:
        raise PewError("the contracts have other addresses than before")


def poor(rig: Rig) -> None:
    """Too little money: nothing is sent, the sum is said; with money it goes on."""
    rig.fund(ETHER // 1000)
    ran = rig.run("apply").require(2)
    if "more" not in ran.err or rig.sent() != (0, 0):
        raise PewError(f"sent {rig.sent()} and said: {ran.err[-400:]}")
    rig.fund(ETHER)
    rig.finish()


def poor_midway(rig: Rig) -> None:
    """Somebody else spends the money while it runs: the transaction that could not be paid is the next one's first."""
    rig.at({4}, lambda: rig.fund(1))
    ran = rig.run("apply")
    if ran.code == 0 or "balance" not in ran.err:
        raise PewError(f"ended with {ran.code}: {ran.err[-400:]}")
    rig.fund(ETHER)
    rig.finish()


def dear(rig: Rig) -> None:
    """Gas above the cap from the fourth step on: apply stops, and says the price; when that has fallen it goes on."""
    rig.write(wait_seconds=6)
    fallen = threading.Event()

    def rise() -> None:
        while not fallen.wait(0.1):
            rig.ask("anvil_setNextBlockBaseFeePerGas", hex(10**15))

    rig.at({3}, threading.Thread(target=rise, daemon=True).start)
    try:
        rig.run("apply").require(1)
        ran = rig.run("apply").require(2)
    finally:
        fallen.set()
    if "gwei" not in ran.err:
        raise PewError(f"the price was not said: {ran.err[-400:]}")
    rig.ask("anvil_setNextBlockBaseFeePerGas", hex(10**9))
    time.sleep(1)
    rig.write()
    rig.finish()


def other_chain(rig: Rig) -> None:
    """The node is on another chain: nothing is sent."""
    rig.node.change(chain_id=1)
    rig.run("apply").require(2)
    if rig.sent() != (0, 0):
        raise PewError("something was sent to another chain")
    rig.finish()


def full_disk(rig: Rig) -> None:
    """The journal cannot be written: nothing is sent that is not in it."""
    for grown in range(1, 4):
        ran = rig.run("apply", limit=lambda grown=grown: _limit(grown * FULL))  # type: ignore[misc]
        if ran.code != 1 or "room on the disk" not in ran.err:
            raise PewError(f"ended with {ran.code}: {ran.err[-400:]}")
    rig.finish()


def two_at_once(rig: Rig) -> None:
    """A second apply beside the first is refused."""
    ends: list[int] = []
    seen = threading.Event()

    def second() -> None:
        if not seen.is_set():
            seen.set()
            first, ran = rig.child, rig.run("apply")
            rig.child = first
            ends.append(ran.code)

    rig.at({1}, second)
    rig.run("apply").require()
    if ends != [2]:
        raise PewError(f"the second one ended with {ends}")
    rig.settled()


def _until_done(rig: Rig, *, torn: bool = False) -> None:
    """apply, killed again and again, until it comes to its end."""
    for number in range(2 * STEPS):
        ran = rig.run("apply")
        if ran.code == 0:
            if number < STEPS:
                raise PewError(f"it was killed {number} times, not at each of {STEPS} steps")
            break
        if ran.code != -signal.SIGKILL:
            raise PewError(f"neither done nor killed: {ran.err[-400:]}")
        if torn and number % 2:
            with (rig.folder / "rehearsal.journal").open("a") as file:
                file.write('{"kind": "keep", "step": "deplo')
    rig.settled()


def _go_on(rig: Rig) -> None:
    """apply over and over with the fault, as a person would; it has to come to its end."""
    for _ in range(5):
        if rig.run("apply").code == 0:
            break
    else:
        raise PewError("it did not end in five runs")
    rig.node.mend()
    rig.settled()


def _limit(size: int) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


#: Name to what happens; the short ones are also run by the tests.
FAULTS: dict[str, Callable[[Rig], None]] = {
    "kill -9 at every step, before it is sent": kill_before,
    "kill -9 at every step, after it is sent": kill_after,
    "kill -9 at any time": kill_any_time,
    "dropped connections": drops,
    "rate limits": rate_limits,
    "a node that lags": lagging,
    "the only node lags": lagging_alone,
    "every request twice": twice,
    "transactions that the node loses": swallowed,
    "reorganisations while it runs": reorganised,
    "a reorganisation afterwards": reorganised_later,
    "too little money": poor,
    "money that runs out": poor_midway,
    "gas above the cap": dear,
    "a node on another chain": other_chain,
    "a full disk": full_disk,
    "two at once": two_at_once,
}
