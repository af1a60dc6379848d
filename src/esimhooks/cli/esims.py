"""`esimhooks esims`: the eSIMs of an account, as merchants see them, and asking their provider anew."""

import time
from typing import Annotated

import typer
from msgspec import Struct, field
from rich.progress import Progress

from esimhooks.cli import output
from esimhooks.cli.client import Answer, Client
from esimhooks.cli.options import Account, AsJson, Cursor, Iccid, InMode, Limit, OrderNo, TransactionId
from esimhooks.cli.values import path

app = typer.Typer(help="eSIMs of an account.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID")]
Status = Annotated[str | None, typer.Option("--status", metavar="STATUS", help="As IN_USE.")]
POLL_S = 0.5


class Row(Struct, rename="camel"):
    """A line of the list. Volumes are MB, validity is days."""

    id: str
    esim_status: str | None
    smdp_status: str | None
    iccid: str | None
    transaction_id: str
    data_usage: float | None
    total_volume: float | None
    validity_usage_remain: int | None = field(default=None, name="validity_usage_remain")


class State(Struct, rename="camel"):
    """How far a requery of many eSIMs is."""

    id: str
    matched: int
    done: int
    failed: int
    finished_at: str | None


@app.command("list")
def list_esims(  # noqa: PLR0913 - each is an option
    *,
    status: Status = None,
    iccid: Iccid = None,
    transaction_id: TransactionId = None,
    order_no: OrderNo = None,
    limit: Limit = 25,
    cursor: Cursor = None,
    account: Account = None,
    mode: InMode = None,
    as_json: AsJson = False,
) -> None:
    """List eSIMs, newest first."""
    answer = Client.from_environment(account=account, mode=mode).get(
        path("esims"),
        status=status,
        iccid=iccid,
        transactionId=transaction_id,
        orderNo=order_no,
        limit=limit,
        cursor=cursor,
    )
    output.show_page(answer, Row, as_json=as_json)


@app.command("show")
def show_esim(esim: Id, *, account: Account = None, mode: InMode = None, as_json: AsJson = False) -> None:
    """Show an eSIM."""
    answer = Client.from_environment(account=account, mode=mode).get(path("esims", esim))
    output.show_one(answer, esim, as_json=as_json)


@app.command("requery")
def requery_esims(  # noqa: PLR0913 - each is an option
    esim: Annotated[str | None, typer.Argument(metavar="[ID]")] = None,
    *,
    status: Status = None,
    iccid: Iccid = None,
    transaction_id: TransactionId = None,
    order_no: OrderNo = None,
    all_of_them: Annotated[bool, typer.Option("--all", help="All eSIMs of the account and mode.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count.")] = False,
    account: Account = None,
    mode: InMode = None,
    as_json: AsJson = False,
) -> None:
    """Read one eSIM anew from its provider, or all that fit, one after the other; raises esim.requeried."""
    told = {"status": status, "iccid": iccid, "transactionId": transaction_id, "orderNo": order_no}
    where = {name: value for name, value in told.items() if value is not None}
    if (esim is not None) + bool(where) + all_of_them != 1:
        raise typer.BadParameter("expected an eSIM's id, or which are meant, as --status IN_USE, or --all")
    client = Client.from_environment(account=account, mode=mode)
    if esim is not None:
        output.show_one(client.post(path("esims", esim, "requery")), esim, as_json=as_json)
        return
    answer = client.post(path("esims", "requery"), where | ({"dryRun": True} if dry_run else {}))
    if dry_run:
        output.show_one(answer, "would be read anew", as_json=as_json)
        return
    answer = _followed(client, answer)
    output.show_one(answer, "read anew", as_json=as_json)
    if answer.as_(State).failed:
        raise typer.Exit(1)


def _followed(client: Client, answer: Answer) -> Answer:
    """Show the progress until the requery is finished; return its last state. Ctrl-C leaves it going on."""
    state = answer.as_(State)
    with Progress(console=output.screen(stderr=True), transient=True) as bar:
        task = bar.add_task("reading anew", total=max(1, state.matched))
        while state.finished_at is None:
            time.sleep(POLL_S)
            answer = client.get(path("requeries", state.id))
            state = answer.as_(State)
            bar.update(task, completed=state.done)
    return answer
