"""`esimhooks recover ENDPOINT`: send again what did not arrive there, and follow it until all is on its way."""

import time
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from msgspec import Struct
from rich.progress import Progress

from esimhooks.cli import output
from esimhooks.cli.client import Answer, Client
from esimhooks.cli.options import Account, AsJson, From, InMode, To
from esimhooks.cli.values import duration, path

POLL_S = 0.3


class State(Struct, rename="camel"):
    """How far a recovery is."""

    id: str
    total: int
    sent: int
    finished_at: str | None


def recover(  # noqa: PLR0913 - each is an option
    endpoint: Annotated[str, typer.Argument(metavar="ENDPOINT")],
    *,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="How far back, as 4h or 2d; or use --from.")
    ] = None,
    start: From = None,
    end: To = None,
    status: Annotated[
        list[str] | None,
        typer.Option(
            "--status", help="failed, stopped, never (the default), cancelled, delivered; repeatable.", metavar="STATUS"
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    account: Account = None,
    mode: InMode = None,
    as_json: AsJson = False,
) -> None:
    """Send again all that did not arrive at an endpoint, also what was never attempted."""
    if (since is None) == (start is None):
        raise typer.BadParameter("expected either --since, as 4h, or --from with a time")
    begin = start if since is None else _ago(since)
    told = {"from": begin, "to": end, "statuses": status or None, "dryRun": dry_run or None}
    client = Client.from_environment(account=account, mode=mode)
    body = {name: value for name, value in told.items() if value is not None}
    answer = client.post(path("endpoints", endpoint, "recover"), body)
    if not dry_run:
        answer = _followed(client, endpoint, answer)
    output.show_one(answer, "would be sent again" if dry_run else "sent again", as_json=as_json)


def _ago(since: str) -> str:
    return (datetime.now(UTC) - timedelta(seconds=duration(since))).isoformat()


def _followed(client: Client, endpoint: str, answer: Answer) -> Answer:
    """Show the progress until the recovery is finished; return its last state."""
    state = answer.as_(State)
    with Progress(console=output.screen(stderr=True), transient=True) as bar:
        task = bar.add_task("sending again", total=max(1, state.total))
        while state.finished_at is None:
            time.sleep(POLL_S)
            answer = client.get(path("endpoints", endpoint, "recoveries", state.id))
            state = answer.as_(State)
            bar.update(task, completed=state.sent)
    return answer
