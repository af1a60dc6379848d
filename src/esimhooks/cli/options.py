"""Options that many commands share, each with its help."""

from typing import Annotated

import typer

from esimhooks.vocabulary.statuses import Mode

AsJson = Annotated[bool, typer.Option("--json", help="Print exactly the API's JSON.")]
Account = Annotated[
    str | None, typer.Option("--account", metavar="ACC", help="With an operator's key: the account to act for.")
]
InMode = Annotated[Mode | None, typer.Option("--mode", help="With an operator's key: live (default) or test.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=100, help="Rows at most.")]
Cursor = Annotated[str | None, typer.Option("--cursor", help="Go on where the list before ended.")]
Iccid = Annotated[str | None, typer.Option("--iccid", help="Only this one.")]
TransactionId = Annotated[str | None, typer.Option("--transaction-id", help="Only those of this order.")]
OrderNo = Annotated[str | None, typer.Option("--order-no", help="The same, by the provider's number.")]
From = Annotated[str | None, typer.Option("--from", metavar="TIME", help="Not before, as 2026-11-23T10:00:00Z.")]
To = Annotated[str | None, typer.Option("--to", metavar="TIME", help="Before, as 2026-11-24T10:00:00Z.")]
