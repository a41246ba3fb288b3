"""Amounts of RLC as people write and read them (1 RLC = 10^9 nRLC)."""

from __future__ import annotations

import re

from poco.errors import BadInputError

NRLC_PER_RLC = 10**9
#: All the RLC there is: no amount is larger.
SUPPLY_NRLC = 87_000_000 * NRLC_PER_RLC

_AMOUNT = re.compile(r"(?P<whole>\d{1,20})(?:\.(?P<part>\d{1,9}))?\s*(?P<unit>rlc|nrlc)?", re.IGNORECASE | re.ASCII)


def parse(text: str) -> int:
    """nRLC of `1.5`, `1.5 RLC` or `1500000000 nRLC`; a number without a unit is RLC.

    Raises:
        BadInputError: not an amount, a fraction of an nRLC, or more than there is.
    """
    match = _AMOUNT.fullmatch(text.strip())
    hint = "write an amount as 1.5 (RLC), 1.5RLC or 1500000000nRLC"
    if match is None:
        raise BadInputError(f"'{text[:40]}' is not an amount of RLC", hint=hint)
    whole, part, unit = int(match["whole"]), match["part"] or "", (match["unit"] or "rlc").lower()
    if unit == "nrlc":
        if part.strip("0"):
            raise BadInputError(f"'{text[:40]}': there is nothing smaller than 1 nRLC", hint=hint)
        amount = whole
    else:
        amount = whole * NRLC_PER_RLC + int(part.ljust(9, "0"))
    if amount > SUPPLY_NRLC:
        raise BadInputError(f"'{text[:40]}' is more than all the RLC there is (87,000,000)", hint=hint)
    return amount


def show(nrlc: int) -> str:
    """`1.5 RLC`: exact, without trailing zeros."""
    sign = "-" if nrlc < 0 else ""
    whole, part = divmod(abs(nrlc), NRLC_PER_RLC)
    fraction = f".{part:09d}".rstrip("0").rstrip(".")
    return f"{sign}{whole}{fraction} RLC"
