"""Bits of an order's tag. A deal asks for what application, dataset and request ask for; its pool must offer all.

Which bits a standard task may carry: `GPU` (a worker must say that it has one) and `GREEN`. All others are of trusted
execution environments, or of nobody we know: a task with one of them is never given to a worker.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

#: iExec's lowest bit: a trusted execution environment. Theirs are numbered from here (2 and 4: its frameworks, 8: TDX).
TEE = "0x" + "00" * 31 + "01"
#: iExec's ninth bit.
GPU = "0x" + "00" * 30 + "0100"
#: Ours, the highest bit: only workers whose energy ledger was net positive over the window that their pool declares.
GREEN = "0x80" + "00" * 31

#: What a worker may say that it has, and the bit that asks for it.
FEATURES = {"gpu": GPU}

_NAMES = {
    1 << 0: "tee",
    1 << 1: "scone",
    1 << 2: "gramine",
    1 << 3: "tdx",
    1 << 8: "gpu",
    1 << 255: "green",
}


def asks(tag: str, bit: str) -> bool:
    """Whether a tag has all bits of `bit` set."""
    wanted = int(bit, 16)
    return int(tag, 16) & wanted == wanted


def unmet(tag: str, features: Collection[str]) -> list[str]:
    """What a tag asks for and a worker with those features has not, by name (`bit 7` for an unknown one).

    `GREEN` is left out: only the chain says who is.
    """
    left = int(tag, 16) & ~int(GREEN, 16)
    for name in features:
        left &= ~int(FEATURES.get(name, "0x0"), 16)
    return [_NAMES.get(1 << bit, f"bit {bit}") for bit in range(256) if left >> bit & 1]


def union(tags: Iterable[str]) -> str:
    """A tag with all their bits."""
    bits = 0
    for tag in tags:
        bits |= int(tag, 16)
    return f"0x{bits:064x}"
