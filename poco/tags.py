"""Bits of an order's tag. A deal asks for what application, dataset and request ask for; its pool must offer all."""

from __future__ import annotations

#: iExec's lowest bit: a trusted execution environment. Theirs are numbered from here (2 and 4: its frameworks, 8: TDX,
#: 256: GPU).
TEE = "0x" + "00" * 31 + "01"
#: Ours, the highest bit: only workers whose energy ledger was net positive over the window that their pool declares.
GREEN = "0x80" + "00" * 31


def asks(tag: str, bit: str) -> bool:
    """Whether a tag has all bits of `bit` set."""
    wanted = int(bit, 16)
    return int(tag, 16) & wanted == wanted
