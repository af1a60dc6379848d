"""The command line put together: one Typer application out of the table of resources and one file per other command.

Words come in, an exit code goes out. Errors that are expected end here, as one message in the words of this program.
"""

from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any

import typer

from esimhooks.cli import (
    account_file,
    bulk,
    check_receiver,
    demo,
    doctor,
    files,
    inbox,
    listen,
    mcp,
    output,
    provider_documents,
    send,
    serve,
    trace,
    trigger,
    verify,
)
from esimhooks.cli.help import reword
from esimhooks.cli.installation import commands as installation
from esimhooks.cli.installation import importing
from esimhooks.cli.messages import Failed, explain, usage
from esimhooks.cli.resources import RESOURCES
from esimhooks.cli.verbs import Resource, application, command
from esimhooks.server.domain.errors import EsimhooksError
from esimhooks.version import __version__

app = typer.Typer(
    name="esimhooks",
    help="Turns eSIM lifecycle notifications into signed webhooks that arrive.",
    epilog="ESIMHOOKS_URL and ESIMHOOKS_API_KEY say which server to ask, and as whom.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for one in (
    demo.demo,
    serve.serve,
    serve.migrate,
    serve.rotate_encryption,
    serve.backup,
    serve.restore,
    trigger.trigger,
    trace.trace,
    check_receiver.check_receiver,
    send.send,
    verify.verify,
    doctor.doctor,
    listen.listen,
    demo.simulate,
    bulk.recover,
    files.updates,
    installation.apply,
    installation.export,
    mcp.mcp,
):
    app.command()(one)


def _groups(resource: Resource) -> typer.Typer:
    group = application(resource)
    match resource.name:
        case "accounts":
            group.command("export")(account_file.export)
            group.command("import")(account_file.import_)
            group.command("unfreeze")(account_file.unfreeze)
        case "esims":
            group.command("requery")(bulk.requery)
            group.command("qr")(files.qr)
        case "events":
            app.command("resend")(command(next(verb for verb in resource.verbs if verb.name == "resend")))
        case "providers":
            group.command("kinds")(provider_documents.kinds)
            group.command("test")(provider_documents.check)
        case _:
            pass
    return group


for resource in RESOURCES:
    app.add_typer(_groups(resource), name=resource.name)
app.add_typer(inbox.app, name="inbox")
app.add_typer(importing.app, name="import")


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    output.open_streams()
    try:
        code = tree().main(list(arguments), prog_name="esimhooks", standalone_mode=False)
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else 1 if left.code else 0
    except typer.TyperException as error:
        return _wrong_usage(error)
    except typer.Abort:
        output.complain("stopped")
        return 1
    except UnicodeEncodeError as error:
        output.complain(f"{error.object}: expected text in UTF-8")
        return 2
    except (Failed, EsimhooksError, OSError, BaseExceptionGroup) as error:
        message = explain(error)
        if message is None:
            raise
        output.complain(message)
        return 1
    return code if isinstance(code, int) else 0


@cache
def tree() -> Any:
    """Return the tree of commands, which takes longer to build than most commands take."""
    return reword(typer.main.get_command(app))


def _wrong_usage(error: typer.TyperException) -> int:
    message, context = error.format_message(), getattr(error, "ctx", None)
    if message.startswith("Usage:"):
        output.block(message, stderr=True)  # a group of commands without a word behind it
        return error.exit_code
    output.complain(usage(message))
    if context is not None:
        output.note(f"`{context.command_path} --help` says how it is used")
    return error.exit_code


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - Typer calls it so
    if wanted:
        output.say(f"esimhooks {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    pass
