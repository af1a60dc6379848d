"""What a demo or simulation came to, and how it is shown: a live table on a terminal, a plain line now and then elsewhere.

Counts come in, text goes out; nothing is counted here. A report says what went wrong, and is printed by `--json`.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator

from msgspec import Struct
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from esimhooks.cli import output
from esimhooks.cli.columns import lines
from esimhooks.vocabulary.events import EventType

REFRESH_S = 0.25
LINE_EVERY_S = 3.0
MAX_NAMED = 10


class Report(Struct, frozen=True, kw_only=True, rename="camel"):
    """The counts at one time, or at the end.

    `astray` are eSIMs of which the server says something else than the provider; `refused` are attempts at a
    notification that were not answered 2xx, each sent again; `waiting` are notifications not worked through. `arrived`
    is None, and `lost` to `unverified` are 0, where no receiver of this process takes the events.
    """

    account: str
    esims: Counter[str]
    events: Counter[str]
    deliveries: Counter[str]
    attempts: int
    notifications: int
    repeated: int
    refused: int
    astray: list[str] = []
    waiting: int = 0
    arrived: Counter[str] | None = None
    lost: int = 0
    duplicates: int = 0
    altered: int = 0
    unverified: int = 0
    took_s: float = 0.0

    def faults(self) -> list[str]:
        """Return what went wrong, one sentence each; nothing where every promise was kept."""
        named = ", ".join(self.astray[:MAX_NAMED])
        astray = [f"{len(self.astray)} eSIMs are not at the server as at the provider: {named}"] if self.astray else []
        if self.arrived is None:
            return astray
        counted = {
            "events did not arrive": self.lost,
            "requests repeated an event that had arrived": self.duplicates,
            "repeats had another body": self.altered,
            "requests did not verify": self.unverified,
            "notifications were not worked through": self.waiting,
            "deliveries did not end as delivered": self.deliveries.total() - self.deliveries["delivered"],
        }
        return astray + [f"{number} {what}" for what, number in counted.items() if number]

    def missing(self) -> list[str]:
        """Return the types of events that never occurred."""
        return [event.value for event in EventType if not self.events[event]]


async def keep_showing(console: Console, read: Callable[[], Report]) -> None:
    """Show the counts until cancelled."""
    if not console.is_terminal:
        while True:
            await asyncio.sleep(LINE_EVERY_S)
            console.print(Text(line(read())))
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            live.update(drawn(read(), output.room(console)), refresh=True)
            await asyncio.sleep(REFRESH_S)


def line(report: Report) -> str:
    """Return the counts in one line."""
    arrived = "" if report.arrived is None else f", {report.arrived.total()} arrived"
    return (
        f"{report.took_s:5.1f} s: {report.esims.total()} eSIMs ({counted(report.esims)}), {report.notifications} "
        f"notifications, {report.events.total()} events{arrived}, {report.deliveries['pending']} deliveries pending"
    )


def drawn(report: Report, width: int) -> Group:
    """Return the counts as a table of the eight events and the figures below it."""
    arrived = report.arrived
    rows = [
        {"event": event, "raised": report.events[event], "arrived": 0 if arrived is None else arrived[event]}
        for event in EventType
    ]
    total = {"event": "all", "raised": report.events.total(), "arrived": 0 if arrived is None else arrived.total()}
    columns = "event raised" if arrived is None else "event raised arrived"
    return Group(*lines([*rows, total], columns, width=width), Text(), *_figures(report, width))


def counted(counts: Counter[str]) -> str:
    """Return `8 IN_USE, 4 CREATED`."""
    return ", ".join(f"{number} {name}" for name, number in counts.most_common()) or "none yet"


def _figures(report: Report, width: int) -> Iterator[Text]:
    figures = {
        "eSIMs": f"{report.esims.total()}: {counted(report.esims)}",
        "notifications": f"{report.notifications}, {report.repeated} repeated, {report.refused} sent again",
        "deliveries": f"{report.deliveries.total()}: {counted(report.deliveries)}",
        "attempts": str(report.attempts),
        "time": f"{report.took_s:g} s",
    }
    if report.arrived is not None:
        figures |= {"lost": str(report.lost), "duplicates": str(report.duplicates)}
        figures |= {"unverified": str(report.unverified)}
    for name, figure in figures.items():
        for text in output.wrapped(f"{name:15}{figure}", width, below=" " * 15):
            yield Text(text)
