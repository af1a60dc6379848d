"""What the demo shows while it runs and at its end: a live table on a terminal, a plain line now and then elsewhere.

Counts come in, text goes out; nothing is counted or judged here.
"""

import asyncio
from collections import Counter
from collections.abc import Callable

from msgspec import Struct
from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from esimhooks.cli.demo_ledger import Ledger
from esimhooks.vocabulary.events import EventType

REFRESH_S = 0.25
LINE_EVERY_S = 3.0


class View(Struct, frozen=True, kw_only=True):
    """The counts of one moment."""

    after_s: float
    esims: Counter[str]
    raised: Counter[str]
    arrived: Counter[str]
    pending: int
    attempts: int
    notifications: int
    repeated: int


async def keep_showing(console: Console, look: Callable[[], View]) -> None:
    """Show the counts until cancelled."""
    if not console.is_terminal:
        while True:
            await asyncio.sleep(LINE_EVERY_S)
            console.print(Text(line(look())))
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            live.update(drawn(look()), refresh=True)
            await asyncio.sleep(REFRESH_S)


def line(view: View) -> str:
    """Return the counts in one line."""
    return (
        f"{view.after_s:5.1f} s: {view.esims.total()} eSIMs ({counted(view.esims)}), "
        f"{view.notifications} notifications, {view.raised.total()} events raised, {view.arrived.total()} arrived, "
        f"{view.attempts} attempts, {view.pending} deliveries pending"
    )


def drawn(view: View) -> Group:
    """Return the counts as a table."""
    return Group(
        by_type(view.raised, view.arrived),
        figures(
            {
                "eSIMs": f"{view.esims.total()}  {counted(view.esims)}",
                "notifications": f"{view.notifications} sent, {view.repeated} of them again",
                "attempts": str(view.attempts),
                "pending": str(view.pending),
                "running for": f"{view.after_s:.0f} s",
            }
        ),
    )


def summary(ledger: Ledger, view: View) -> Group:
    """Return the end of the account."""
    return Group(
        by_type(ledger.raised, ledger.arrived),
        figures(
            {
                "eSIMs": f"{view.esims.total()}  {counted(view.esims)}",
                "notifications": f"{view.notifications} sent, {view.repeated} of them again",
                "deliveries": f"{ledger.deliveries.total()}  {counted(ledger.deliveries)}",
                "attempts": str(ledger.attempts),
                "lost": str(ledger.lost),
                "duplicates": str(ledger.duplicates),
                "unverified": str(ledger.unverified),
            }
        ),
    )


def by_type(raised: Counter[str], arrived: Counter[str]) -> Table:
    """Return the eight events, raised against arrived."""
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_footer=True)
    shown.add_column("event", footer="all")
    shown.add_column("raised", justify="right", footer=str(raised.total()))
    shown.add_column("arrived, verified", justify="right", footer=str(arrived.total()))
    for event in EventType:
        shown.add_row(Text(event), Text(str(raised[event])), Text(str(arrived[event])))
    return shown


def figures(named: dict[str, str]) -> Table:
    """Return names and figures, one pair a line."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold")
    grid.add_column()
    for name, figure in named.items():
        grid.add_row(Text(name), Text(figure))
    return grid


def counted(counts: Counter[str]) -> str:
    """Return `8 IN_USE, 4 CREATED`."""
    return ", ".join(f"{number} {name}" for name, number in counts.most_common()) or "none yet"
