"""What the chain takes back is forgotten: the last common block is found, and tasks go back to what is still shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from chain.client import Chain
from poco.result import on_chain_location
from scheduler import model as m
from scheduler import store
from scheduler import tables as t
from scheduler.engine import Engine
from scheduler.log import log

#: So many block hashes are kept. A chain that takes back more is compared at the blocks of events.
KEPT_BLOCKS = 128
_KNOWN = select(t.blocks).order_by(t.blocks.c.number.desc())


def mark(db: Connection, blocks: dict[int, str]) -> None:
    """Remember hashes of blocks that were read."""
    db.execute(delete(t.blocks).where(t.blocks.c.number.in_(list(blocks))))
    db.execute(insert(t.blocks), [{"number": number, "hash": said} for number, said in blocks.items()])
    oldest = db.scalar(select(t.blocks.c.number).order_by(t.blocks.c.number.desc()).offset(KEPT_BLOCKS).limit(1))
    if oldest is not None:
        db.execute(delete(t.blocks).where(t.blocks.c.number <= oldest))


def last_common(known: Sequence[tuple[int, str]], same: Callable[[int, str], bool]) -> int | None:
    """The newest of `known` (number, hash; newest first) that the chain still has; None where it has none.

    The newest is looked at first; if it is gone, by halves: below a block that the chain has, it has all.
    """
    if not known:
        return None
    if same(*known[0]):
        return known[0][0]
    low, high = 0, len(known)  # known[low] is gone; known[high] is there, or beyond the end
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if same(*known[middle]) else (middle, high)
    return known[high][0] if high < len(known) else None


def agreed(engine: Engine, chain: Chain, end: tuple[int, str], *, patient: bool = False) -> int | None:
    """The last block read that is still part of the chain; what came after it is rolled back.

    Args:
        end: number and hash of the chain's newest block.
        patient: whether a chain that ends before what was read, and contradicts nothing of it, is that of a node that
            is behind: then nothing is rolled back, and the answer is None.
    """
    start = chain.deployment.block - 1
    with engine.store.read() as db:
        said = store.get_meta(db, "block")
        newest = db.execute(_KNOWN.limit(1)).first()
    if said is None:
        return start

    def same(number: int, block_hash: str) -> bool:
        return (number, block_hash) == end or (number < end[0] and chain.block(number)[1] == block_hash)

    if newest is not None and same(newest.number, newest.hash):
        return int(newest.number)
    with engine.store.read() as db:
        known = [(r.number, r.hash) for r in db.execute(_KNOWN)]
    if patient and newest is not None and newest.number > end[0]:
        shown = next((one for one in known if one[0] <= end[0]), None)
        if shown is None or same(*shown):
            return None
    found = last_common(known, same)
    if found is None:
        e = t.events.c
        query = select(e.block, e.block_hash).distinct().order_by(e.block.desc())
        with engine.store.read() as db:
            found = last_common([(row.block, row.block_hash) for row in db.execute(query)], same)
    common = start if found is None else found
    _roll_back(engine, common)
    chain.endpoints.forget(common)
    return common


def _roll_back(engine: Engine, common: int) -> None:
    log("reorganisation", level="warning", agreed_block=common)
    effects: list[m.Effect] = []
    with engine.store.write() as db:
        gone = t.events.c.block > common
        touched = set(db.scalars(select(t.events.c.task_id).where(gone, t.events.c.task_id.is_not(None))))
        db.execute(delete(t.events).where(gone))
        db.execute(delete(t.blocks).where(t.blocks.c.number > common))
        store.set_meta(db, "block", str(common))
        for task_id in sorted(touched):
            kept = select(t.events).where(t.events.c.task_id == task_id)
            rows = db.execute(kept.order_by(t.events.c.block, t.events.c.log_index)).mappings()
            again = [event for event in (meaning(row["name"], row["args"]) for row in rows) if event is not None]
            effects += engine.apply_in(db, task_id, m.RolledBack(), *again)
    engine.announce(effects)


def meaning(name: str, args: Any) -> m.Event | None:
    """What an event on chain means for its task."""
    match name:
        case "TaskInitialize":
            return m.Initialized()
        case "TaskContribute":
            return m.Contributed(args["worker"], args["hash"], args["weight"])
        case "TaskConsensus":
            return m.ConsensusReached(args["consensus"], args["reveal_deadline"])
        case "TaskReveal":
            return m.Revealed(args["worker"], args["digest"])
        case "TaskReopen":
            return m.Reopened()
        case "TaskFinalize":
            location = on_chain_location(bytes.fromhex(args["results"]))
            return m.Finalized(location, args.get("worker"), args.get("digest"))
        case "TaskClaimed":
            return m.Claimed()
    return None
