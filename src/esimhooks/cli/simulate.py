"""`esimhooks simulate`: load for a running server, made by a simulated provider on this machine.

Words come in; `simulation` does the work; progress and a summary go out.
"""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from esimhooks.cli import output
from esimhooks.cli.client import Client
from esimhooks.cli.options import Account, duration
from esimhooks.cli.serve import stop_on_signals

if TYPE_CHECKING:
    from esimhooks.cli.simulation import Report

MOST_NAMED = 10


def simulate(  # noqa: PLR0913 - the options of a command
    *,
    esims: Annotated[int, typer.Option("--esims", min=1, max=20_000, help="How many.")] = 100,
    speed: Annotated[float, typer.Option("--speed", min=1, help="Simulated seconds a second.")] = 3600.0,
    duplicates: Annotated[
        float, typer.Option("--duplicates", min=0, max=1, help="Chance that a notification comes twice.")
    ] = 0.0,
    disorder: Annotated[
        float, typer.Option("--disorder", min=0, max=1, help="Chance that it changes places with the next.")
    ] = 0.0,
    days: Annotated[int, typer.Option("--days", min=1, max=365, help="Validity of each, in simulated days.")] = 2,
    account: Account = None,
    webhook_url: Annotated[
        str | None, typer.Option("--webhook-url", metavar="URL", help="A receiver for the new account's events.")
    ] = None,
    provider: Annotated[str, typer.Option("--provider", metavar="NAME", help="Its name meanwhile.")] = "simulation",
    timeout: Annotated[
        str, typer.Option("--timeout", metavar="TIME", help="How long the server may take to catch up.")
    ] = "60s",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Let a simulated provider on this machine sell eSIMs through a running server.

    Needs an operator's key, and a server that reaches this machine at 127.0.0.1. The eSIMs are of mode test, of a new
    account unless one is named. Ends with 0 only if the server has every eSIM as the provider has it.
    """
    if account is not None and webhook_url is not None:
        raise typer.BadParameter("--webhook-url is for the new account; --account names one that is there")
    from esimhooks.cli.simulation import Plan, Simulation  # noqa: PLC0415 - only this command needs a provider

    plan = Plan(
        esims=esims,
        speed=speed,
        duplicates=duplicates,
        disorder=disorder,
        days=days,
        provider=provider,
        account=account,
        webhook_url=webhook_url,
        patience_s=duration(timeout),
    )
    simulation = Simulation(Client.from_environment(), plan)
    columns = (TextColumn("eSIMs ended"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())

    async def simulated() -> "Report | None":
        stop = asyncio.Event()
        stop_on_signals(stop, insisting=False)
        with Progress(*columns, console=output.screen(stderr=True), transient=True, disable=as_json) as progress:
            task = progress.add_task("", total=esims)
            async with asyncio.TaskGroup() as group:
                running = group.create_task(
                    simulation.run(lambda ended: progress.update(task, completed=ended)), name="simulation"
                )
                stopped = group.create_task(stop.wait(), name="stop")
                await asyncio.wait([running, stopped], return_when=asyncio.FIRST_COMPLETED)
                stopped.cancel()
                running.cancel()
        return None if running.cancelled() else running.result()

    report = asyncio.run(simulated())
    if report is None:
        output.complain(f"stopped after {simulation.ended} of {esims} eSIMs had ended")
        raise typer.Exit(1)
    if as_json:
        output.json(report)
    else:
        _show(report)
    if not report.complete:
        named = ", ".join(report.astray[:MOST_NAMED])
        output.complain(f"{len(report.astray)} eSIMs are not at the server as at the provider: {named}")
    raise typer.Exit(int(not report.complete))


def _show(report: "Report") -> None:
    told = {
        "account": report.account,
        "eSIMs": report.esims,
        "notifications": {"taken": report.notifications, "repeated": report.repeated, "sent again": report.refused},
        "events": report.events or None,
        "deliveries": report.deliveries or None,
        "took": f"{report.took_s:g} s",
    }
    output.fields("simulation", told)
