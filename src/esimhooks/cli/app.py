"""The command line put together: one Typer application out of one file per command.

Words come in, an exit code goes out. Errors that are expected end here, as one message.
"""

from collections.abc import Sequence
from typing import Annotated

import typer

from esimhooks.cli import (
    accounts,
    audit,
    check_receiver,
    deliveries,
    demo,
    doctor,
    endpoints,
    esims,
    events,
    inbox,
    keys,
    listen,
    migrate,
    notifications,
    orders,
    providers,
    recover,
    rotate_encryption,
    serve,
    simulate,
    trace,
    trigger,
    verify,
)
from esimhooks.cli.failures import Failed, explained
from esimhooks.cli.output import complain, say
from esimhooks.server.domain.errors import EsimhooksError
from esimhooks.version import __version__

app = typer.Typer(
    name="esimhooks",
    help="Turns what happens to eSIMs into signed webhooks that arrive.",
    epilog="ESIMHOOKS_URL and ESIMHOOKS_API_KEY say which server to ask, and as whom.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (
    demo.demo,
    serve.serve,
    migrate.migrate,
    rotate_encryption.rotate_encryption,
    trigger.trigger,
    trace.trace,
    check_receiver.check_receiver,
    verify.verify,
    doctor.doctor,
    listen.listen,
    simulate.simulate,
):
    app.command()(command)
app.command("resend")(events.resend_event)
app.command()(recover.recover)
for room in (accounts, keys, providers, orders, esims, events, endpoints, deliveries, notifications, audit, inbox):
    app.add_typer(room.app, name=room.__name__.rpartition(".")[2])


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    try:
        app(list(arguments), prog_name="esimhooks")
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else 1 if left.code else 0
    except (Failed, EsimhooksError, OSError, BaseExceptionGroup) as error:
        message = explained(error)
        if message is None:
            raise
        complain(message)
        return 1
    return 0


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - Typer calls it so
    if wanted:
        say(f"esimhooks {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    pass
