"""`esimhooks orders`: what the operator bought from providers for its merchants. Needs an operator's key."""

from typing import Annotated

import typer
from msgspec import Struct

from esimhooks.cli import output
from esimhooks.cli.client import Client
from esimhooks.cli.options import AsJson, Cursor, Limit, OrderNo, TransactionId
from esimhooks.cli.values import path
from esimhooks.vocabulary.statuses import Mode

app = typer.Typer(help="Orders of eSIMs.", no_args_is_help=True)


class Row(Struct, rename="camel"):
    """A line of the list."""

    id: str
    account: str
    mode: str
    provider: str
    transaction_id: str
    order_no: str | None
    package_code: str
    quantity: int
    created_at: str


class OrderedEsim(Struct, rename="camel"):
    """One eSIM of an order."""

    id: str
    esim_status: str | None
    esim_tran_no: str | None
    iccid: str | None


@app.command("list")
def list_orders(  # noqa: PLR0913 - each is an option
    *,
    account: Annotated[str | None, typer.Option("--account", metavar="ACC", help="Only this account's.")] = None,
    mode: Annotated[Mode | None, typer.Option("--mode", help="Only those of this mode.")] = None,
    provider: Annotated[str | None, typer.Option("--provider", metavar="NAME", help="Only those placed there.")] = None,
    transaction_id: TransactionId = None,
    order_no: OrderNo = None,
    limit: Limit = 25,
    cursor: Cursor = None,
    as_json: AsJson = False,
) -> None:
    """List orders of all accounts, newest first."""
    where = {"provider": provider, "transactionId": transaction_id, "orderNo": order_no}
    client = Client.from_environment(account=account, mode=mode)
    answer = client.get(path("orders"), **where, limit=limit, cursor=cursor)
    output.show_page(answer, Row, as_json=as_json)


@app.command("show")
def show_order(order: Annotated[str, typer.Argument(metavar="ID")], *, as_json: AsJson = False) -> None:
    """Show an order with its eSIMs."""
    output.show_with_rows(
        Client.from_environment().get(path("orders", order)), order, rows="esims", row=OrderedEsim, as_json=as_json
    )


@app.command("create")
def create_order(  # noqa: PLR0913 - each is an option
    *,
    account: Annotated[str, typer.Option("--account", metavar="ACC", help="Whose eSIMs they are.")],
    mode: Annotated[Mode, typer.Option("--mode", help="Whether it is real business or a test.")],
    provider: Annotated[str, typer.Option("--provider", help="The name under which the provider is stored.")],
    transaction_id: Annotated[str, typer.Option("--transaction-id", help="Your own reference.")],
    order_no: Annotated[str | None, typer.Option("--order-no", help="The provider's number.")] = None,
    package_code: Annotated[str, typer.Option("--package-code", help="What was bought.")],
    package_name: Annotated[str | None, typer.Option("--package-name", help="What it is called.")] = None,
    quantity: Annotated[int, typer.Option("--quantity", min=1, help="How many eSIMs.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Store an order; the same transaction id again returns the same order."""
    told = {
        "account": account,
        "mode": mode,
        "provider": provider,
        "transactionId": transaction_id,
        "orderNo": order_no,
        "packageCode": package_code,
        "packageName": package_name,
        "quantity": quantity,
    }
    body = {field: value for field, value in told.items() if value is not None}
    answer = Client.from_environment().post(path("orders"), body)
    output.show_with_rows(answer, "order", rows="esims", row=OrderedEsim, as_json=as_json)
