"""What goes wrong, one function a kind. A fault begins, lasts its seconds and is over when its function returns."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.daemons import Daemon
from tests.chaos.node import CONFIRMATIONS, Anvil
from tests.chaos.world import World

#: No outage is so long that an honest worker could not reveal in time (the window is 60 s).
AWAY = (0.3, 3.0)
LASTS = (0.5, 4.0)
CLOCK_JUMPS = (-3600.0, -120.0, -30.0, 20.0, 120.0, 3600.0)


@dataclass(frozen=True)
class Fault:
    """What was done, in words that suffice to do it again."""

    kind: str
    where: str
    detail: str = ""


Make = Callable[[World], Fault | None]


def _pick(world: World, role: str | None = None) -> Daemon:
    found = [d for d in world.daemons.values() if role is None or d.role == role]
    return world.random.choice([d for d in found if d.settled] or found)


def _long(world: World, span: tuple[float, float] = LASTS) -> float:
    return round(world.random.uniform(*span), 2)


def kill_worker(world: World) -> Fault | None:
    victim = _pick(world, "worker")
    return Fault("kill-worker", victim.name) if victim.settled and world.kill(victim.name) else None


def kill_scheduler(world: World) -> Fault | None:
    settled = world.daemons["scheduler"].settled
    return Fault("kill-scheduler", "scheduler") if settled and world.kill("scheduler") else None


def kill_node(world: World) -> Fault | None:
    if not world.node_rested:
        return None
    away = _long(world, AWAY)
    world.restart_node(away=away)
    return Fault("kill-node", "chain", f"away {away} s")


def kill_node_lossy(world: World) -> Fault | None:
    if not isinstance(world.node, Anvil) or not world.node_rested:
        return None
    away, lost = _long(world, AWAY), world.random.randint(1, CONFIRMATIONS - 1)
    world.restart_node(lost, away)
    return Fault("kill-node-lossy", "chain", f"away {away} s, up to {lost} blocks lost")


def kill_two(world: World) -> Fault | None:
    ready = sorted(name for name, daemon in world.daemons.items() if daemon.settled)
    done = [name for name in world.random.sample(ready, min(2, len(ready))) if world.kill(name)]
    return Fault("kill-several", "+".join(done)) if done else None


def _line(kind: str, mode: str) -> Make:
    def make(world: World) -> Fault | None:
        name = world.random.choice(sorted(world.lines.lines))
        line = world.lines.lines[name]
        seconds = _long(world)
        chance = world.random.choice((0.3, 0.7, 1.0)) if mode in ("lose", "twice") else 1.0
        delay = round(world.random.uniform(0.2, 1.5), 2) if mode == "slow" else 0.0
        before, open_then = line.done.total(), len(line.clients)
        world.lines.set(name, mode, delay, chance)
        time.sleep(seconds)
        world.lines.set(name, "")
        if mode == "silent":
            time.sleep(0.1)  # who was kept waiting is counted when it is over
        met = line.done.total() > before or (mode == "cut" and open_then > 0)
        return None if not met else Fault(kind, name, f"{seconds} s, chance {chance}, delay {delay} s")

    return make


def pause_process(world: World) -> Fault | None:
    victim, seconds = _pick(world), _long(world)
    if not world.signal(victim.name, 19):
        return None
    time.sleep(seconds)
    world.signal(victim.name, 18)
    return Fault("pause", victim.name, f"{seconds} s")


def pause_node(world: World) -> Fault | None:
    seconds = _long(world)
    done = world.node_rested and world.pause_node(seconds)
    return Fault("pause-node", "chain", f"{seconds} s") if done else None


def reorganise(world: World) -> Fault | None:
    if not isinstance(world.node, Anvil):
        return None
    lose = world.random.random() < 0.5
    with world.node_guard:
        depth = world.node.reorganise(world.random.randint(1, CONFIRMATIONS - 1), lose=lose)
    return (
        Fault("reorganise", "chain", f"{depth} blocks, transactions {'lost' if lose else 'sent again'}")
        if depth
        else None
    )


def fill_disk(world: World) -> Fault | None:
    victim = _pick(world)
    if not victim.mounted:
        return None
    seconds = _long(world)
    ballast = victim.data / "ballast"
    _fill(ballast)
    time.sleep(seconds)
    ballast.unlink(missing_ok=True)
    return Fault("fill-disk", victim.name, f"{seconds} s")


def _fill(path: Path) -> None:
    block = b"\0" * 65_536
    with path.open("wb", buffering=0) as file:
        while True:
            try:
                file.write(block)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                if len(block) == 1:
                    return
                block = block[: len(block) // 2]


def jump_clock(world: World) -> Fault | None:
    victim, seconds = _pick(world), _long(world)
    jump = world.random.choice(CLOCK_JUMPS)
    victim.shift(jump)
    time.sleep(seconds)
    victim.shift(0)
    return Fault("jump-clock", victim.name, f"{jump:+.0f} s for {seconds} s")


#: Every kind, and how often it is chosen.
FAULTS: dict[str, tuple[Make, float]] = {
    "kill-worker": (kill_worker, 3),
    "kill-scheduler": (kill_scheduler, 2),
    "kill-node": (kill_node, 1),
    "kill-node-lossy": (kill_node_lossy, 0.7),
    "kill-several": (kill_two, 1),
    "cut": (_line("cut", "cut"), 1.5),
    "silence": (_line("silence", "silent"), 1),
    "delay": (_line("delay", "slow"), 1),
    "lose-answers": (_line("lose-answers", "lose"), 1.5),
    "repeat-requests": (_line("repeat-requests", "twice"), 1.5),
    "pause": (pause_process, 1),
    "pause-node": (pause_node, 0.5),
    "reorganise": (reorganise, 1.5),
    "fill-disk": (fill_disk, 1),
    "jump-clock": (jump_clock, 1),
}
