"""`esimhooks import svix|convoy FILE`: endpoints of another sender become endpoints of an account, with their secrets.

What the other API has answered comes in; what is made, and what could not be taken over, is shown.
"""

from collections.abc import Callable
from typing import Annotated

import msgspec
import typer

from esimhooks.cli import output
from esimhooks.cli.client import Client
from esimhooks.cli.installation import present, senders
from esimhooks.cli.installation.commands import confirmed_steps
from esimhooks.cli.installation.document import Account, Installation
from esimhooks.cli.messages import Failed
from esimhooks.cli.options import content_of, pairs
from esimhooks.vocabulary.statuses import Mode

app = typer.Typer(help="Endpoints of another sender, with their secrets.", no_args_is_help=True)


def _command(read: senders.Reader, about: str) -> Callable[..., None]:
    def run(
        file: Annotated[str, typer.Argument(metavar="FILE", help="JSON as that API answers; - is standard input.")],
        *,
        account: Annotated[str, typer.Option("--account", metavar="ACC", help="Whose endpoints they become.")],
        mode: Annotated[Mode, typer.Option("--mode", metavar="MODE", help="live or test.")] = Mode.LIVE,
        event: Annotated[
            list[str] | None,
            typer.Option("--event", metavar="THEIRS=OURS", help="What their event is called here; repeatable."),
        ] = None,
        dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be made.")] = False,
        as_json: Annotated[bool, typer.Option("--json", help="Print what is made as JSON.")] = False,
    ) -> None:
        try:
            content = msgspec.json.decode(content_of(file))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise typer.BadParameter(f"{file}: expected JSON ({error})") from None
        try:
            found = read(content, mode, pairs(event or []))
        except Failed as error:
            raise Failed(f"{file}: {error}") from None
        client = Client.from_environment()
        there = present.read(client)
        owner = next((one for one in there.accounts if one.id == account), None)
        if owner is None:
            raise Failed(f"there is no account {account}")
        wanted = Account(fields=owner.fields, id=account, endpoints=[one.endpoint for one in found])
        for one in found:
            for sentence in one.lost:
                output.note(f"endpoint {one.endpoint.key[1]}: {sentence}")
        confirmed_steps(client, Installation(accounts=[wanted]), there, dry_run=dry_run, as_json=as_json)

    run.__doc__ = about
    return run


app.command("svix")(
    _command(senders.svix, "Take endpoints over from Svix; receivers that use its library need no change.")
)
app.command("convoy")(
    _command(senders.convoy, "Take endpoints over from Convoy; their receivers verify in another way.")
)
