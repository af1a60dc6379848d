"""The page of a run: figures and machine in, one HTML file out that loads nothing from elsewhere."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

Figures = Mapping[str, float]

PROMISED: dict[tuple[str, str], tuple[str, float]] = {
    ("drain", "ratio to the bare client"): (">=", 0.6),
    ("drain", "two against one"): (">", 1.0),
    ("accept", "answer p99 ms"): ("<", 100.0),
    ("accept", "commits per event, all roles"): ("<", 0.2),
    ("steady", "200/s arrival p99 ms"): ("<", 1000.0),
    ("neighbour", "times"): ("<=", 2.0),
    ("burst", "times"): ("<=", 2.0),
    ("crowd", "answer times"): ("<=", 2.0),
    ("burst", "p99 beside the flood ms"): ("<=", 1000.0),
    ("growth", "slowest deliveries/s against the first"): (">=", 0.8),
    ("growth", "longest answer p99 against the first"): ("<=", 1.2),
    ("memory", "peak resident of one process MiB"): ("<=", 300.0),
}
"""What a run on two idle cores is to reach: scenario and figure to a comparison and its bound."""

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #667; --bar: #2f6fb5; --paper: #fff; --line: #d8dce2; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --soft: #9aa4b1; --bar: #6aa9ee; --paper: #14171b; --line: #333a43; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 60rem;
       margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
td, th { border-bottom: 1px solid var(--line); padding: .2rem .6rem; text-align: left; }
td.figure { text-align: right; font-variant-numeric: tabular-nums; }
svg text { fill: var(--ink); font: 12px system-ui, sans-serif; }
svg rect { fill: var(--bar); }
dt { color: var(--soft); } dd { margin: 0 0 .3rem; overflow-wrap: anywhere; }
"""

ROW = 24
LABEL = 330
WIDTH = 860


def verdict(scenario: str, what: str, value: float) -> str:
    """Return what was promised of a figure and whether it holds; empty where nothing was."""
    if (scenario, what) not in PROMISED:
        return ""
    sign, bound = PROMISED[scenario, what]
    holds = {">=": value >= bound, ">": value > bound, "<=": value <= bound, "<": value < bound}[sign]
    return f"{sign} {bound:g}: {'yes' if holds else 'missed'}"


def page(machine: Mapping[str, Any], figures: Mapping[str, Figures]) -> str:
    """Return the page."""
    parts = [_scenario(name, rows) for name, rows in figures.items()]
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(_text(value))}</dd>" for name, value in machine.items())
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Benchmarks</title><style>{STYLE}</style>'
    note = "<p>All processes share the cores of one machine: compare figures within one run only.</p>"
    return f"{head}<h1>Benchmarks</h1>{note}{''.join(parts)}<h2>Machine</h2><dl>{rows}</dl></html>\n"


def _scenario(name: str, rows: Figures) -> str:
    body = "".join(
        f'<tr><td>{escape(what)}</td><td class="figure">{value:,.3f}</td><td>{escape(verdict(name, what, value))}</td></tr>'
        for what, value in rows.items()
    )
    table = f"<table><tr><th>figure</th><th>value</th><th>promised</th></tr>{body}</table>"
    plots = [
        _plot([(what, value) for what, value in rows.items() if _unit(what) == unit])
        for unit in dict.fromkeys(map(_unit, rows))
        if unit
    ]
    return f"<h2>{escape(name)}</h2>{''.join(plots)}{table}"


def _unit(what: str) -> str:
    """Return what bars of one plot have in common; empty where a bar says nothing."""
    return next((unit for unit in (" ms", "/s", "MiB") if unit in what and "share" not in what), "")


def _plot(bars: Sequence[tuple[str, float]]) -> str:
    maximum = max((value for _, value in bars), default=0.0) or 1.0
    room = WIDTH - LABEL - 100
    drawn = "".join(
        f'<text x="{LABEL - 8}" y="{index * ROW + 16}" text-anchor="end">{escape(what)}</text>'
        f'<rect x="{LABEL}" y="{index * ROW + 4}" width="{max(1.0, value / maximum * room):.1f}" height="{ROW - 8}"/>'
        f'<text x="{LABEL + value / maximum * room + 6:.1f}" y="{index * ROW + 16}">{value:,.1f}</text>'
        for index, (what, value) in enumerate(bars)
    )
    return f'<svg viewBox="0 0 {WIDTH} {len(bars) * ROW + 4}" role="img" width="100%">{drawn}</svg>'


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {one}" for name, one in value.items())
    return str(value)
