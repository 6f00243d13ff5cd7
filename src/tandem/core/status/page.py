"""The status page as HTML: no script, one style that the Content-Security-Policy names by its hash, nothing loaded."""

import base64
import hashlib
from collections.abc import Sequence
from html import escape

from tandem.core.status.schemas import Component, LatencyOfADay, State, StatusPage

STYLE = """
:root{color-scheme:light dark;--ok:#1a7f4b;--degraded:#b26a00;--down:#c0392b;--unknown:#9aa0a6;--soft:#8883}
body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem}h2{font-size:1rem;margin:0}
.now{padding:.8rem 1rem;border-radius:.5rem;color:#fff;font-weight:600}
.now.operational{background:var(--ok)}.now.degraded{background:var(--degraded)}
.now.down{background:var(--down)}.now.unknown{background:var(--unknown)}
section{border:1px solid var(--soft);border-radius:.5rem;padding:.8rem 1rem;margin:1rem 0}
header{display:flex;justify-content:space-between;gap:1rem}
svg{width:100%;height:2.2rem;display:block;margin:.5rem 0 .2rem}
footer,.ends{color:#888;font-size:.85rem}.ends{display:flex;justify-content:space-between}
span.operational{color:var(--ok)}span.degraded{color:var(--degraded)}
span.down{color:var(--down)}span.unknown{color:var(--unknown)}
rect.operational{fill:var(--ok)}rect.degraded{fill:var(--degraded)}rect.down{fill:var(--down)}rect.unknown{fill:var(--soft)}
rect.time{fill:#4a7bd0}
"""
_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

_TITLES = {"api": "API", "database": "Database", "cache": "Cache", "jobs": "Background jobs"}
_WORDS: dict[State, str] = {
    "operational": "Operational",
    "degraded": "Degraded",
    "down": "Down",
    "unknown": "Unknown",
}
_NOW: dict[State, str] = {
    "operational": "All systems are operational",
    "degraded": "Some things do not work as they should",
    "down": "There is an outage",
    "unknown": "Nothing is known yet",
}


def render(title: str, status: StatusPage) -> str:
    name = escape(title)
    parts = "\n".join(_component(one) for one in status.components)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="60">
<title>{name}: {_WORDS[status.status].lower()}</title>
<style>{STYLE}</style>
</head>
<body>
<h1>{name} status</h1>
<p class="now {status.status}" role="status">{_NOW[status.status]}</p>
{parts}
{_latency(status.latency_ms)}
<footer>As of <time>{escape(status.updated_at)}</time>. Times are UTC.
This page loads itself anew every minute.</footer>
</body>
</html>
"""


def _component(one: Component) -> str:
    bars = [(40.0, _class(hour.uptime), f"{_clock(hour.begins)}: {_said(hour.uptime, '%')}") for hour in one.hours]
    return _section(
        f"{_TITLES[one.name]} · {_said(one.uptime, '%')}",
        f'<span class="{one.status}">{_WORDS[one.status]}</span>',
        f"{_TITLES[one.name]}: uptime in the last 24 hours",
        bars,
    )


def _latency(latency: LatencyOfADay) -> str:
    longest = max((hour.p95 or 0.0 for hour in latency.hours), default=0.0) or 1.0
    bars = [
        (
            max(40.0 * (hour.p95 or 0.0) / longest, 1.0),
            "time" if hour.p95 is not None else "unknown",
            f"{_clock(hour.begins)}: {_said(hour.p95, ' ms')}",
        )
        for hour in latency.hours
    ]
    numbers = f"p50 {_said(latency.p50, ' ms')} · p95 {_said(latency.p95, ' ms')} · p99 {_said(latency.p99, ' ms')}"
    return _section("Response time", numbers, "95th percentile of the response time in the last 24 hours", bars)


def _section(title: str, right: str, label: str, bars: Sequence[tuple[float, str, str]]) -> str:
    """`bars`: height out of 40, class, and what it says."""
    drawn = "".join(
        f'<rect class="{name}" x="{place * 10}" y="{40 - height:.1f}" width="8" height="{height:.1f}">'
        f"<title>{escape(said)}</title></rect>"
        for place, (height, name, said) in enumerate(bars)
    )
    return f"""<section>
<header><h2>{title}</h2><span>{right}</span></header>
<svg viewBox="0 0 {len(bars) * 10} 40" preserveAspectRatio="none" role="img" aria-label="{label}">{drawn}</svg>
<div class="ends"><span>24 hours ago</span><span>now</span></div>
</section>"""


def _class(uptime: float | None) -> State:
    if uptime is None:
        return "unknown"
    if uptime >= 99.9:
        return "operational"
    return "degraded" if uptime >= 95 else "down"


def _said(value: float | None, unit: str) -> str:
    return "no data" if value is None else f"{value:g}{unit}"


def _clock(text: str) -> str:
    return escape(text[11:16])
