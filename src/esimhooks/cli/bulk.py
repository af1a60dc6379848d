"""Commands that begin long work at the server and follow it to its end: `recover` and `esims requery`.

What is meant comes in as options; progress goes to standard error, the last state to standard output. Ctrl-C ends the
following only: the server continues.
"""

import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from rich.progress import Progress

from esimhooks.cli import output
from esimhooks.cli.client import Answer, Client
from esimhooks.cli.messages import Unreached
from esimhooks.cli.options import Account, AsJson, InMode, duration, path
from esimhooks.vocabulary.statuses import EsimStatus

POLL_S = 0.3
PATIENCE_S = 60.0
"""How long a server may be away before following its work ends."""

DryRun = Annotated[bool, typer.Option("--dry-run", help="Only count them.")]


def recover(  # noqa: PLR0913 - each is an option
    endpoint: Annotated[str, typer.Argument(metavar="ENDPOINT")],
    *,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="How far back, such as 4h or 2d; or use --from.")
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Not before this time, such as 2026-11-23T10:00:00Z.")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", metavar="TIME", help="Before this time, such as 2026-11-24T10:00:00Z.")
    ] = None,
    statuses: Annotated[
        list[str] | None,
        typer.Option(
            "--status",
            help="failed, stopped and never by default; or cancelled, delivered; repeatable.",
            metavar="STATUS",
        ),
    ] = None,
    dry_run: DryRun = False,
    account: Account = None,
    mode: InMode = None,
    as_json: AsJson = False,
) -> None:
    """Send an endpoint everything it missed, attempted or not."""
    if (since is None) == (start is None):
        raise typer.BadParameter("expected either --since, such as 4h, or --from with a time")
    begin = start if since is None else (datetime.now(UTC) - timedelta(seconds=duration(since))).isoformat()
    client = Client.from_environment(account=account, mode=mode)
    body = _without_empty({"from": begin, "to": end, "statuses": statuses, "dryRun": dry_run})
    answer = client.post(path("endpoints", endpoint, "recover"), body)
    if not dry_run:
        where = path("endpoints", endpoint, "recoveries", _state(answer, "id", str))
        answer = _follow(client, answer, where, "sending again", done="sent", of="total")
    _show(answer, "would be sent again" if dry_run else "sent again", as_json=as_json)


def requery(  # noqa: PLR0913 - each is an option
    esim: Annotated[str | None, typer.Argument(metavar="ID")] = None,
    *,
    status: Annotated[
        EsimStatus | None,
        typer.Option("--status", metavar="STATUS", help="Only those with this status, such as IN_USE."),
    ] = None,
    iccid: Annotated[str | None, typer.Option("--iccid", help="Only the one with this ICCID.")] = None,
    transaction_id: Annotated[
        str | None, typer.Option("--transaction-id", help="Only those of the order with this transaction id.")
    ] = None,
    order_no: Annotated[
        str | None, typer.Option("--order-no", help="Only those of the order with this provider's number.")
    ] = None,
    all_of_them: Annotated[bool, typer.Option("--all", help="All eSIMs of the account and mode.")] = False,
    dry_run: DryRun = False,
    account: Account = None,
    mode: InMode = None,
    as_json: AsJson = False,
) -> None:
    """Refresh one or more eSIMs from their provider; raises esim.requeried."""
    where = _without_empty({"status": status, "iccid": iccid, "transactionId": transaction_id, "orderNo": order_no})
    if (esim is not None) + bool(where) + all_of_them != 1:
        raise typer.BadParameter("expected an eSIM's id, a filter such as --status IN_USE, or --all")
    client = Client.from_environment(account=account, mode=mode)
    if esim is not None:
        _show(client.post(path("esims", esim, "requery")), esim, as_json=as_json)
        return
    answer = client.post(path("esims", "requery"), where | _without_empty({"dryRun": dry_run}))
    if dry_run:
        _show(answer, "would be refreshed", as_json=as_json)
        return
    follow = path("requeries", _state(answer, "id", str))
    answer = _follow(client, answer, follow, "refreshing", done="done", of="matched")
    _show(answer, "refreshed", as_json=as_json)
    if _state(answer, "failed", int):
        raise typer.Exit(1)


def _follow(client: Client, answer: Answer, where: str, what: str, *, done: str, of: str) -> Answer:
    """Show the progress until the work is finished; return its last state.

    The work goes on while its server, or what is before it, does not answer: it is followed again as soon as it does.
    """
    answered_at = time.monotonic()
    with Progress(console=output.screen(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=max(1, _state(answer, of, int)))
        while answer.as_(dict[str, Any])["finishedAt"] is None:
            time.sleep(POLL_S)
            try:
                answer, answered_at = client.get(where), time.monotonic()
            except Unreached:
                if time.monotonic() - answered_at > PATIENCE_S:
                    raise
            bar.update(task, completed=_state(answer, done, int))
    return answer


def _without_empty(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}


def _state(answer: Answer, field: str, kind: type[Any]) -> Any:
    return kind(answer.as_(dict[str, Any])[field])


def _show(answer: Answer, title: str, *, as_json: bool) -> None:
    if as_json:
        output.raw(answer.body)
    else:
        output.fields(title, answer.as_(dict[str, Any]))
