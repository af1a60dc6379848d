"""`esimhooks doctor`: what is wrong with an installation, and how to mend it.

Settings, or the address and key of a server, come in; each check is printed as ok, warn or fail. It changes nothing.
"""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import typer
from msgspec import Struct
from rich.text import Text

from esimhooks.cli import output
from esimhooks.cli.client import Client
from esimhooks.cli.remote_checkup import examine_server
from esimhooks.server.domain.errors import Broken
from esimhooks.server.domain.finding import Finding, Health, wrong
from esimhooks.version import __version__

STYLES = {Health.OK: "green", Health.WARN: "yellow", Health.FAIL: "red"}


class Setting(Struct, frozen=True):
    """One setting as it is in force, secrets hidden, and where it comes from."""

    name: str
    value: str
    origin: str


class Report(Struct, frozen=True):
    """What `--json` prints. `about` is the address of a server, or `this installation`."""

    about: str
    version: str
    healthy: bool
    checks: list[Finding]
    settings: list[Setting]


def doctor(
    *,
    data_dir: Annotated[Path | None, typer.Option("--data-dir", help="Folder of database and keys.")] = None,
    local: Annotated[
        bool, typer.Option("--local", help="Check this installation even where ESIMHOOKS_URL names a server.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Check settings, database, clock, keys, disk, providers, and say how to mend.

    With ESIMHOOKS_URL and ESIMHOOKS_API_KEY it asks that server; otherwise it checks the installation that the settings
    describe, running or not. Ends with 1 where a check fails.
    """
    url, key = (os.environ.get(name, "").strip() for name in ("ESIMHOOKS_URL", "ESIMHOOKS_API_KEY"))
    if url and key and not local and data_dir is None:
        about, examined = url, _Examined(examine_server(Client(url, key)), [])
    else:
        about, examined = "this installation", _installation(data_dir)
    healthy = all(one.health is not Health.FAIL for one in examined.checks)
    report = Report(about, __version__, healthy, examined.checks, examined.settings)
    if as_json:
        output.json(report)
    else:
        _show(report)
    raise typer.Exit(int(not healthy))


class _Examined(NamedTuple):
    checks: list[Finding]
    settings: list[Setting]


def _installation(data_dir: Path | None) -> _Examined:
    from esimhooks.server.app.checkup import examine  # noqa: PLC0415 - the same
    from esimhooks.server.app.settings import LogFormat, LogLevel, Settings  # noqa: PLC0415 - the same
    from esimhooks.server.observe import log  # noqa: PLC0415 - commands that only ask a server start without loading one

    log.configure(log_format=LogFormat.CONSOLE, level=LogLevel.ERROR)
    try:
        read = Settings.read(data_dir=data_dir)
    except Broken as error:
        mend = "correct what is named"
        return _Examined([wrong("settings", part, mend) for part in str(error).split("; ")], [])
    origins = Settings.origins()
    if data_dir is not None:
        origins["data_dir"] = "--data-dir"
    settings = [Setting(name, value, origins[name]) for name, value in read.shown().items()]

    async def collected() -> list[Finding]:
        return [finding async for finding in examine(read)]

    return _Examined(asyncio.run(collected()), settings)


def _show(report: Report) -> None:
    screen = output.screen()
    screen.print(Text(f"esimhooks {report.version}, {report.about}", style="bold"))
    if report.settings:
        _show_settings(report.settings)
    for one in report.checks:
        line = Text(f"{one.health:6}", style=STYLES[one.health]).append(f"{one.check:18} ", style="bold")
        screen.print(line.append(output.printable(one.seen), style="default"))
        if one.mend:
            screen.print(Text(f"      {output.printable(one.mend)}", style="italic"))
    count = {health: sum(one.health is health for one in report.checks) for health in Health}
    screen.print(Text(", ".join(f"{number} {health}" for health, number in count.items() if number), style="bold"))


def _show_settings(settings: Sequence[Setting]) -> None:
    screen = output.screen()
    for one in settings:
        line = Text(f"  {one.name:24} ", style="dim").append(output.printable(one.value) or "-", style="default")
        screen.print(line if one.origin == "default" else line.append(f"  ({one.origin})", style="dim"))
