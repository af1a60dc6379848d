"""`esimhooks demo` and `esimhooks simulate`: a simulated provider sells eSIMs, which live their whole lives in seconds.

Words come in; `simulation` does the work, `demo_receiver` checks what arrives, `demo_report` shows it; the exit code
goes out. A demo brings a server of its own, a simulation goes to one that runs.
"""

import asyncio
import os
import tempfile
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from esimhooks.cli import output
from esimhooks.cli.client import Client
from esimhooks.cli.messages import Failed
from esimhooks.cli.options import Account, AsReport, duration, web_address
from esimhooks.cli.resources import SHIPPED
from esimhooks.cli.serve import stop_on_signals

if TYPE_CHECKING:
    from esimhooks.cli.demo_report import Report
    from esimhooks.cli.simulation import Plan, Simulation

SHORTEST_S, ENDLESS_S = 5.0, 50.0
ENDING_S = 1.5
"""What stopping and counting take of the time of `--for`."""
GRACE_S = 3.0
"""How much longer lives may take on a slow machine before they are cut off."""
LIVING, ALLOCATED = 0.72, (0.01, 0.04)
"""Parts of the time: that a life takes, and after which an order is allocated."""
ARRIVAL_S, REQUEST_S = 15.0, 10.0

Duplicates = Annotated[
    float,
    typer.Option("--duplicates", metavar="P", min=0, max=1, help="Probability that a notification is sent twice."),
]
Disorder = Annotated[
    float,
    typer.Option(
        "--disorder", metavar="P", min=0, max=1, help="Probability that a notification is swapped with the next."
    ),
]


def demo(  # noqa: PLR0913 - each is an option
    *,
    for_: Annotated[
        str | None, typer.Option("--for", metavar="TIME", help="Exit after this time, such as 20s.")
    ] = None,
    esims: Annotated[
        int, typer.Option("--esims", metavar="N", min=1, max=1000, help="Number of eSIMs at a time.")
    ] = 12,
    speed: Annotated[
        float | None, typer.Option("--speed", metavar="N", min=1, help="Simulated seconds per second.")
    ] = None,
    duplicates: Duplicates = 0.1,
    disorder: Disorder = 0.0,
    against: Annotated[
        str | None,
        typer.Option("--against", metavar="URL", help="Use this running server, with an operator's ESIMHOOKS_API_KEY."),
    ] = None,
    as_json: AsReport = False,
) -> None:
    """Show the whole product at work on this machine.

    Runs a server with its own database, a simulated provider whose eSIMs go through their whole life in seconds, and a
    receiver.

    Exits with 0 only if every event arrived once and verified, and all eight event types occurred.
    """
    started_at = time.monotonic()
    for_s = None if for_ is None else duration(for_)
    if for_s is not None and for_s < SHORTEST_S:
        raise typer.BadParameter(f"--for {for_}: expected {SHORTEST_S:g}s or more, lives take longer")
    from esimhooks.cli.simulation import WHOLE_LIFE_S, Plan  # noqa: PLC0415 - commands that only ask need no provider
    from esimhooks.server.providers.sandbox.life import Ending  # noqa: PLC0415 - the same

    def plan() -> Plan:
        left_s = ENDLESS_S if for_s is None else for_s - (time.monotonic() - started_at) - ENDING_S
        window_s = WHOLE_LIFE_S / speed / LIVING if speed is not None else max(left_s, SHORTEST_S - 1)
        pace = WHOLE_LIFE_S / (window_s * LIVING)
        return Plan(
            esims=esims,
            speed=pace,
            duplicates=duplicates,
            disorder=disorder,
            allocation_s=(ALLOCATED[0] * window_s * pace, ALLOCATED[1] * window_s * pace),
            ending=Ending.USED,
            requeries=True,
            endless=for_s is None and against is None and speed is None,
            provider="sandbox" if against is None else "demo",
            account_name="Demo merchant",
            timeout_s=ARRIVAL_S,
        )

    demo_run = _DemoRun(as_json=as_json, limited=for_s is not None)
    if against is None:
        report = demo_run.run_own_server(plan)
    else:
        web_address(against, option="--against")
        report = asyncio.run(demo_run.run(Client(against, Client.from_environment().key), plan(), receives=True))
    raise typer.Exit(demo_run.finish(report, whole=True))


def simulate(  # noqa: PLR0913 - the options of a command
    *,
    esims: Annotated[int, typer.Option("--esims", metavar="N", min=1, max=20_000, help="Number of eSIMs.")] = 100,
    speed: Annotated[float, typer.Option("--speed", metavar="N", min=1, help="Simulated seconds per second.")] = 3600.0,
    duplicates: Duplicates = 0.0,
    disorder: Disorder = 0.0,
    days: Annotated[
        int, typer.Option("--days", metavar="N", min=1, max=365, help="Validity of each eSIM, in simulated days.")
    ] = 2,
    account: Account = None,
    webhook_url: Annotated[
        str | None, typer.Option("--webhook-url", metavar="URL", help="URL of a receiver for the new account.")
    ] = None,
    provider: Annotated[
        str,
        typer.Option("--provider", metavar="NAME", help="Its name; or a shipped document to play, such as airalo."),
    ] = "simulation",
    timeout: Annotated[
        str, typer.Option("--timeout", metavar="TIME", help="How long the server may take to catch up.")
    ] = "60s",
    as_json: AsReport = False,
) -> None:
    """Let a simulated provider sell eSIMs through a server.

    Needs an operator's key, and a server that can reach this machine at 127.0.0.1. The eSIMs are in mode test and belong to
    a new account, or to --account. Exits with 0 only if the server's state of every eSIM matches the provider's.

    With a shipped document, such as `--provider airalo`, its examples are sent instead, as the life of one eSIM.
    """
    if account is not None and webhook_url is not None:
        raise typer.BadParameter("--webhook-url is for the new account; --account names an existing one")
    timeout_s, operator = duration(timeout), Client.from_environment()
    if provider in SHIPPED:
        from esimhooks.cli.provider_life import run_examples  # noqa: PLC0415 - as above

        raise typer.Exit(run_examples(operator, provider, account=account, as_json=as_json))
    from esimhooks.cli.simulation import Plan  # noqa: PLC0415 - as above

    plan = Plan(
        esims=esims,
        speed=speed,
        duplicates=duplicates,
        disorder=disorder,
        days=days,
        provider=provider,
        account=account,
        webhook_url=webhook_url,
        timeout_s=timeout_s,
    )
    demo_run = _DemoRun(as_json=as_json)
    report = asyncio.run(demo_run.run(operator, plan, receives=False))
    raise typer.Exit(demo_run.finish(report, whole=False))


class _DemoRun:
    """One simulation, shown while it runs."""

    def __init__(self, *, as_json: bool, limited: bool = False) -> None:
        self._as_json = as_json
        self._limited = limited
        self._say = output.note if as_json else output.say
        self._copyable = output.copyable_note if as_json else output.copyable

    def run_own_server(self, plan: "Callable[[], Plan]") -> "Report":
        """Run it on a server of its own, made in a folder that is removed at the end."""
        import uvloop  # noqa: PLC0415 - commands that only ask a server start without loading one

        # It must not touch an installation that the environment describes.
        for name in [name for name in os.environ if name.startswith("ESIMHOOKS_")]:
            del os.environ[name]
        with tempfile.TemporaryDirectory(prefix="esimhooks-demo-", ignore_cleanup_errors=True) as folder:
            return uvloop.run(self._served(plan, Path(folder)))

    async def run(self, operator: Client, plan: "Plan", *, receives: bool) -> "Report":
        """Run it on the server of `operator`, with a receiver of this process where it `receives`."""
        from esimhooks.cli.demo_receiver import DemoReceiver  # noqa: PLC0415 - the same
        from esimhooks.cli.simulation import Simulation  # noqa: PLC0415 - the same

        stop = asyncio.Event()
        stop_on_signals(stop, force_on_second=False)
        async with AsyncExitStack() as stack:
            receiver = await stack.enter_async_context(DemoReceiver()) if receives else None
            simulation = Simulation(operator, plan, receiver)
            await stack.enter_async_context(simulation.connected())
            if receives:
                self._announce(operator, simulation)
            return await self._watch(simulation, stop, plan)

    def finish(self, report: "Report", *, whole: bool) -> int:
        """Print the report and return the exit code; a `whole` one has each of the eight events."""
        from esimhooks.cli.demo_report import drawn  # noqa: PLC0415 - the same

        console = output.screen()
        if self._as_json:
            output.json(report)
        else:
            console.print(drawn(report, output.room(console)))
        missing = report.missing() if whole else []
        faults = report.faults() + ([f"these never occurred: {', '.join(missing)}"] if missing else [])
        if faults:
            output.complain("\n".join(faults))
            return 1
        if self._as_json:
            return 0
        if report.arrived is None:
            self._say(f"the server has all {report.esims.total()} eSIMs as the provider has them")
        else:
            self._say(f"all {report.events.total()} events arrived once, verified")
        return 0

    async def _served(self, plan: "Callable[[], Plan]", folder: Path) -> "Report":
        from esimhooks.server.app.node import running  # noqa: PLC0415 - the same
        from esimhooks.server.app.settings import Settings  # noqa: PLC0415 - the same

        self._say(f"starting an embedded PostgreSQL and a server in {folder}")
        settings = Settings.read(
            data_dir=folder, port=0, allow_networks="127.0.0.0/8", usage_interval=0, log_level="error"
        )
        async with running(settings) as node:
            return await self.run(Client(node.url, node.admin_key, timeout_s=REQUEST_S), plan(), receives=True)

    async def _watch(self, simulation: "Simulation", stop: asyncio.Event, plan: "Plan") -> "Report":
        from esimhooks.cli.demo_report import keep_showing  # noqa: PLC0415 - the same

        async with asyncio.TaskGroup() as group:
            watchers = [group.create_task(simulation.follow(), name="counts")]
            if not self._as_json:
                watchers.append(group.create_task(keep_showing(output.screen(), simulation.snapshot), name="table"))
            limit_s = plan.life_s / LIVING + GRACE_S if self._limited else None
            await _until(stop, simulation.live(), limit_s=limit_s)
            if stop.is_set() and not plan.endless:
                raise Failed(f"stopped after {simulation.ended} of {plan.esims} eSIMs had ended")
            report = await simulation.close()
            for task in watchers:
                task.cancel()
        return report

    def _announce(self, operator: Client, simulation: "Simulation") -> None:
        self._say(f"esimhooks serves {operator.url}")
        if simulation.receiver is None:
            self._say("it does not deliver to this machine: deliveries are counted as the server reports them")
        if simulation.key is None:
            return
        self._copyable(f"open {operator.url}/sign-in and sign in with one of these:")
        self._copyable(f"  merchant  {simulation.key.key}")
        self._copyable(f"  operator  {operator.key}")
        self._say(f"or paste this in another terminal, then `{output.program()} deliveries list`:")
        self._copyable(f"  export ESIMHOOKS_URL={operator.url} ESIMHOOKS_API_KEY={simulation.key.key}")


async def _until(stop: asyncio.Event, work: Coroutine[None, None, None], *, limit_s: float | None) -> None:
    """Do the work until it is done, `stop` is set, or the time is over."""
    async with asyncio.TaskGroup() as group:
        working = group.create_task(work, name="lives")
        stopped = group.create_task(stop.wait(), name="stop")
        await asyncio.wait([working, stopped], timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        working.cancel()
        stopped.cancel()
