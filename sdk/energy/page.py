"""One page about one worker: its day, month and year, its balance, and what the gate decided last."""

from __future__ import annotations

import time
from html import escape

from poco.energy import DAY_S, Ledger
from sdk.energy.plot import draw
from sdk.energy.report import Report
from sdk.energy.series import Series

_DECISIONS = 40
_STYLE = """
:root{--page:#f1eee7;--ink:#2b2a27;--faint:#8a867d;--card:#fbfaf7;--line:#e6e2d9}
@media(prefers-color-scheme:dark){:root{--page:#0e1013;--ink:#e9e6df;--faint:#8d8f98;--card:#15171c;--line:#2b2f38}}
*{box-sizing:border-box}body{margin:0;background:var(--page);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1000px;margin:0 auto;padding:24px 16px}h1{font-size:22px;margin:8px 0}
h2{font-size:16px;margin:28px 0 8px}
section,figure{background:var(--card);border:1px solid var(--line);border-radius:12px;margin:0;padding:12px}
svg{display:block;width:100%;height:auto}pre{margin:0;overflow-x:auto;font:13px/1.6 ui-monospace,monospace}
table{border-collapse:collapse;width:100%;font-size:13px}
td{border-top:1px solid var(--line);padding:4px 8px;vertical-align:top}
td:first-child{white-space:nowrap;color:var(--faint)}p{color:var(--faint)}
"""


def build(ledger: Ledger) -> str:
    """The page as HTML. It draws what the ledger says: `pew energy verify` looks whether that is so."""
    from poco.audit import balance

    series = Series(ledger)
    report = Report(ledger, 30, [], balance(ledger, 30), None)
    figures = "".join(
        f"<h2>{title}</h2><figure>{draw(series, kind)}</figure>"
        for kind, title in (("day", "The last full day"), ("month", "Thirty days"), ("year", "The year"))
        if kind == "day" or len(series.span(kind, None)) > 1
    )
    balance_text = "\n".join(report.balance_lines())
    return (
        "<!doctype html><html lang=en><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width,initial-scale=1">'
        f"<title>Energy of {ledger.worker}</title><style>{_STYLE}</style><main>"
        f"<h1>Energy of a worker</h1><p>{ledger.worker}, {len(ledger.entries)} signed quarter hours</p>"
        f"{figures}<h2>Balance</h2><section><pre>{escape(balance_text)}</pre></section>{_decisions(ledger)}"
        "<p>Tamper-evident and physically plausible is all that such a ledger can be: audit it with "
        "<code>pew energy verify</code>.</p></main></html>\n"
    )


def _decisions(ledger: Ledger) -> str:
    made = [note for note in ledger.notes if note.get("kind") == "decision" and isinstance(note.get("at"), int)]
    if not made:
        return ""
    rows = "".join(
        f"<tr><td>{_instant(note['at'])}" + "".join(f"<td>{escape(str(note.get(k, '')))}" for k in ("action", "reason"))
        for note in reversed(made[-_DECISIONS:])
    )
    return f"<h2>What the gate decided</h2><section><table>{rows}</table></section>"


def _instant(at: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(at)) if 0 <= at < 100_000 * DAY_S else "?"
