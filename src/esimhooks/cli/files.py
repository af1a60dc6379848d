"""Commands whose body or answer is a file: `updates` hands an operator's own updates in, `esims qr` writes a picture."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from esimhooks.cli import output
from esimhooks.cli.client import Client
from esimhooks.cli.columns import print_rows
from esimhooks.cli.options import Account, AsJson, IdempotencyKey, InMode, json_in, path
from esimhooks.vocabulary.statuses import Mode


def updates(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="JSON: one update, or several in [ ]; - is standard input.")
    ] = "-",
    *,
    account: Annotated[str | None, typer.Option("--account", metavar="ACC", help="Account of new eSIMs.")] = None,
    mode: Annotated[Mode | None, typer.Option("--mode", metavar="MODE", help="Mode of new eSIMs.")] = None,
    no_wait: Annotated[
        bool,
        typer.Option("--no-wait", help="Do not wait for the outcomes: only store the updates, to be applied in order."),
    ] = False,
    idempotency_key: IdempotencyKey = None,
    as_json: AsJson = False,
) -> None:
    """Send updates of eSIMs from your own integration.

    Exits with 1 if an update is invalid or matches no eSIM. With --no-wait it prints the ids of the notifications, whose
    outcomes `esimhooks notifications show` shows.
    """
    decoded = json_in(file)
    body: dict[str, Any] = {"updates": decoded if isinstance(decoded, list) else [decoded]}
    if isinstance(decoded, dict) and "updates" in decoded:
        body = decoded
    body |= {name: value for name, value in (("account", account), ("mode", mode)) if value is not None}
    prefer = "respond-async" if no_wait else None
    answer = Client.from_environment().post(path("updates"), body, prefer=prefer, idempotency_key=idempotency_key)
    found = answer.as_(dict[str, list[Any]])
    results = found.get("results", [])
    if as_json:
        output.raw(answer.body)
    else:
        rows = [{"no": number} | result for number, result in enumerate(results, 1)]
        stored = [{"no": number, "notification": one} for number, one in enumerate(found.get("notifications", []), 1)]
        columns = "no notification" if stored else "no outcome esim events detail"
        print_rows(output.screen(), stored or rows, columns, wide=stored != [])
    raise typer.Exit(int(any(one["outcome"] in ("invalid", "unmatched") for one in results)))


def qr(
    esim: Annotated[str, typer.Argument(metavar="ID")],
    *,
    file: Annotated[Path | None, typer.Option("--output", metavar="FILE", help="Where to write the PNG.")] = None,
    account: Account = None,
    mode: InMode = None,
) -> None:
    """Write the QR code that installs an eSIM; it is a credential."""
    if file is None and sys.stdout.isatty():
        raise typer.BadParameter("expected --output FILE, or standard output redirected to a file")
    answer = Client.from_environment(account=account, mode=mode).get(path("esims", esim, "qr.png"))
    if file is None:
        sys.stdout.buffer.write(answer.body)
    else:
        file.touch(mode=0o600)
        file.write_bytes(answer.body)
        output.say(f"QR code of {esim} written to {file}")
