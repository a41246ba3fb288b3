"""Text that strangers' programs write, made fit to be sent, kept and shown."""

from __future__ import annotations

#: Control characters can move a terminal's cursor, and cost six bytes each in JSON; of them only these are text.
_KEPT = {"\n", "\t", "\r"}
_PLAIN = {code: "\ufffd" for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in _KEPT}
_PLAIN |= dict.fromkeys(range(0xD800, 0xE000), "\ufffd")


def plain(text: str) -> str:
    """The text with U+FFFD in place of each control character and lone surrogate; its length stays."""
    return text.translate(_PLAIN)
