"""`esimhooks inbox`: look into a receiver's inbox and try its dead letters again.

The inbox's URL comes in, counts and dead letters are printed. It works beside running receivers and asks no server.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from msgspec import Struct

from esimhooks.cli import output
from esimhooks.cli.columns import print_rows
from esimhooks.cli.messages import Failed
from esimhooks.cli.verbs import Wide
from esimhooks.receiver.errors import InboxUnavailable
from esimhooks.receiver.inbox import DeadLetter, Inbox, open_inbox
from esimhooks.signing import MissingExtraError

SQLITE = "sqlite:///"
COLUMNS = "id handler error attempts diedAt:died event esim receivedAt:received"

app = typer.Typer(help="A receiver's inbox: counts, dead letters and retries.", no_args_is_help=True)

Url = Annotated[
    str,
    typer.Option("--inbox", envvar="ESIMHOOKS_INBOX", metavar="URL", help="sqlite:///inbox.db or postgresql://..."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Handler = Annotated[str | None, typer.Option("--handler", metavar="NAME", help="Only runs of this handler.")]


class Stats(Struct, rename="camel"):
    """What `stats` prints."""

    events: int
    waiting: int
    running: int
    done: int
    dead: int
    oldest_waiting_s: float | None


class Letter(Struct, rename="camel"):
    """A line of `dead-letters`."""

    id: str
    event: str
    esim: str
    handler: str
    attempts: int
    error: str
    received_at: datetime
    died_at: datetime


@app.command("stats")
def show_stats(*, inbox: Url, as_json: AsJson = False) -> None:
    """Count events, and handler runs by state."""
    with _open(inbox) as opened:
        stats = msgspec.convert(opened.stats(), Stats, from_attributes=True)
    if as_json:
        output.json(stats)
    else:
        output.fields("inbox", msgspec.to_builtins(stats))


@app.command("dead-letters")
def list_dead_letters(
    *,
    inbox: Url,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="Maximum number of rows.")] = 100,
    wide: Wide = False,
    as_json: AsJson = False,
) -> None:
    """List handler runs that used up their attempts, newest first."""
    with _open(inbox) as opened:
        letters = [_letter(one) for one in opened.dead_letters(limit=limit)]
    if as_json:
        output.json({"data": letters})
    elif letters:
        print_rows(output.screen(), msgspec.to_builtins(letters), COLUMNS, wide=wide)
    else:
        output.note("no dead letters")


@app.command("retry")
def retry(
    event: Annotated[str | None, typer.Argument(metavar="EVENT", help="Id of an event: only its runs.")] = None,
    *,
    inbox: Url,
    handler: Handler = None,
    everything: Annotated[bool, typer.Option("--all", help="All dead letters.")] = False,
    as_json: AsJson = False,
) -> None:
    """Retry dead letters: those of an event, of a handler, or all.

    Exits with 1 if the event or handler has none.
    """
    if everything == (event is not None or handler is not None):
        raise typer.BadParameter("expected the id of an event, --handler, or --all")
    with _open(inbox) as opened:
        count = opened.retry(event_id=event, handler=handler)
    if as_json:
        output.json({"retried": count})
    else:
        output.say(f"{count} {'run' if count == 1 else 'runs'} will be retried by the receivers of this inbox")
    if not count and not everything:
        raise typer.Exit(1)


def _letter(one: DeadLetter) -> Letter:
    return Letter(
        id=one.event.id,
        event=one.event.event,
        esim=one.event.data.id,
        handler=one.handler,
        attempts=one.attempts,
        error=one.error,
        received_at=one.received_at,
        died_at=one.died_at,
    )


@contextmanager
def _open(url: str) -> Iterator[Inbox]:
    """Yield the inbox. A file that is not there is a mistyped name: opening would make an empty inbox of it."""
    try:
        inbox = open_inbox(url)
    except (ValueError, MissingExtraError) as error:
        raise typer.BadParameter(f"--inbox: {error}") from None
    if url.startswith(SQLITE) and not Path(url.removeprefix(SQLITE)).exists():
        raise Failed(
            f"{url.removeprefix(SQLITE)}: there is no such inbox; a relative path starts where the receiver was started"
        )
    try:
        with inbox:
            yield inbox
    except InboxUnavailable as error:
        raise Failed(f"the inbox cannot be used: {error}") from None
