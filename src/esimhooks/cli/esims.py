"""`esimhooks esims`: the eSIMs of an account, as merchants see them, and asking their provider anew."""

from typing import Annotated

import typer
from msgspec import Struct, field

from esimhooks.cli import output
from esimhooks.cli.client import Client
from esimhooks.cli.options import Account, AsJson, Cursor, InMode, Limit
from esimhooks.cli.values import path

app = typer.Typer(help="eSIMs of an account.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(metavar="ID")]


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


@app.command("list")
def list_esims(  # noqa: PLR0913 - each is an option
    *,
    status: Annotated[str | None, typer.Option("--status", metavar="STATUS", help="As IN_USE.")] = None,
    iccid: Annotated[str | None, typer.Option("--iccid", help="Only this one.")] = None,
    transaction_id: Annotated[str | None, typer.Option("--transaction-id", help="Only those of this order.")] = None,
    order_no: Annotated[str | None, typer.Option("--order-no", help="The same, by the provider's number.")] = None,
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
def requery_esim(esim: Id, *, account: Account = None, mode: InMode = None, as_json: AsJson = False) -> None:
    """Read the eSIM anew from its provider; raises esim.requeried."""
    answer = Client.from_environment(account=account, mode=mode).post(path("esims", esim, "requery"))
    output.show_one(answer, esim, as_json=as_json)
