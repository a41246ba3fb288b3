"""How values stand on a page: amounts, instants, ids, states. What these return is safe HTML; all else is escaped."""

from __future__ import annotations

import time
from collections.abc import Mapping

from markupsafe import Markup, escape

from poco.energy import DAY_S
from poco.states import Presence

NRLC = 10**9
#: Beyond it no date can be written.
_LAST_INSTANT = 100_000 * DAY_S
#: By presence: sign, words, and what it means.
PRESENCE: Mapping[Presence, tuple[str, str, str]] = {
    Presence.WORKING: ("●", "working", "runs a task"),
    Presence.WAITING: ("○", "waiting", "free and willing"),
    Presence.BUSY: ("◐", "not taking work", "awake; its energy gate takes no new task"),
    Presence.ASLEEP: ("☾", "asleep", "announced; it comes back by itself"),
    Presence.DRAINING: ("↓", "draining", "finishes what it has, takes nothing new"),
    Presence.UNKNOWN: ("?", "silent", "not heard of for longer than it should be"),
    Presence.LOST: ("✕", "lost", "silent past its lease; its tasks go to others"),
}


def rlc(nrlc: int | None) -> Markup:
    """An amount in RLC, rounded to a ten-thousandth; the exact nRLC is in its title."""
    if nrlc is None:
        return _NOT_KNOWN
    whole = f"{nrlc / NRLC:,.4f}".rstrip("0").rstrip(".")
    if whole in ("0", "-0") and nrlc:
        whole = "<0.0001"
    return Markup('<data value="{}" title="{} nRLC">{} RLC</data>').format(nrlc, f"{nrlc:,}", whole)


def when(at: int | None, form: str = "minute") -> Markup:
    """An instant in UTC; the page's script may show it in local time. `form`: `minute`, `second`, `clock` or `day`."""
    if at is None or not 0 < at < _LAST_INSTANT:
        return _NOT_KNOWN
    moment = time.gmtime(at)
    text = time.strftime(
        {"minute": "%Y-%m-%d %H:%M", "second": "%Y-%m-%d %H:%M:%S", "clock": "%H:%M", "day": "%Y-%m-%d"}[form], moment
    )
    instant = time.strftime("%Y-%m-%dT%H:%M:%SZ", moment)
    return Markup('<time datetime="{}" data-form="{}">{}</time>').format(instant, form, text)


def short(text: str | None, keep: int = 6) -> Markup:
    """An id or address: its ends, the whole of it in the title."""
    if not text:
        return _NONE
    if len(text) <= 2 * keep + 4:
        return Markup('<span class="id">{}</span>').format(text)
    return Markup('<span class="id" title="{}">{}…{}</span>').format(text, text[: keep + 2], text[-4:])


def state(presence: Presence) -> Markup:
    """A worker's presence as a sign and a word, so that colour alone says nothing."""
    sign, word, meaning = PRESENCE[presence]
    return Markup('<span class="state {}" title="{}"><span class="sign" aria-hidden="true">{}</span>{}</span>').format(
        presence.value.lower(), meaning, sign, word
    )


_TASK_SIGNS = {"COMPLETED": "✓", "FAILED": "✕", "RECEIVED": "·", "INITIALIZED": "○"}
_REPLICATE_SIGNS = {"ABORTED": "✕", "WORKER_LOST": "✕", "DECLINED": "–", "CREATED": "○"}


def status(name: str) -> Markup:
    """A task's or replicate's status as a sign and words."""
    words = name.lower().replace("_", " ")
    sign = {**_TASK_SIGNS, **_REPLICATE_SIGNS}.get(name, "◐")
    return Markup('<span class="status {}"><span class="sign" aria-hidden="true">{}</span>{}</span>').format(
        name.lower().replace("_", "-"), sign, words
    )


def number(value: float | None, unit: str = "", digits: int = 1) -> Markup:
    """A measured value with its unit; a dash where it is not known, which is not zero."""
    if value is None:
        return _NOT_KNOWN
    said = f"{value:,.{digits}f}"
    return Markup('{}<span class="unit"> {}</span>').format(said, unit) if unit else escape(said)


def battery(soc: float | None) -> Markup:
    """A state of charge (0 to 1) as a bar and per cent."""
    if soc is None:
        return _NOT_KNOWN
    level = "low" if soc < 0.2 else "fair" if soc < 0.5 else "good"
    bar = Markup(
        '<svg class="bar {}" viewBox="0 0 48 12" aria-hidden="true" focusable="false">'
        '<rect class="trough" x=".5" y=".5" width="44" height="11" rx="2.5"/><rect class="nub" x="45.5" y="3.5" '
        'width="2" height="5" rx="1"/><rect class="fill" x="2" y="2" width="{}" height="8" rx="1.5"/></svg>'
    ).format(level, f"{41 * max(0.0, min(soc, 1.0)):.1f}")
    return Markup('<span class="battery">{}<span class="figure">{} %</span></span>').format(bar, f"{100 * soc:.0f}")


def span(seconds: float) -> str:
    """A duration in words."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 2 * DAY_S else f"{seconds / DAY_S:.0f} days"


_NONE = Markup('<span class="none">–</span>')
_NOT_KNOWN = Markup('<span class="none" title="not known"><span aria-hidden="true">–</span>'
                    '<span class="unseen">not known</span></span>')  # fmt: skip
FILTERS = {
    "rlc": rlc,
    "when": when,
    "short": short,
    "state": state,
    "status": status,
    "number": number,
    "battery": battery,
    "span": span,
}
