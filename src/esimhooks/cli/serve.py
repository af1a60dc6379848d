"""`esimhooks serve`: one node of the server, until it is told to stop.

What the command line says goes into `Settings` before environment and file. Nothing is decided here.
"""

import asyncio
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from esimhooks.cli import output
from esimhooks.cli.signals import stop_on_signals

if TYPE_CHECKING:
    from esimhooks.server.app.node import Running
    from esimhooks.server.app.settings import Settings


def serve(
    *,
    role: Annotated[
        str | None, typer.Option("--role", metavar="ROLES", help="all, or some of api,dispatcher,scheduler.")
    ] = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option("--port", min=0, max=65_535, help="Port to listen on.")] = None,
    data_dir: Annotated[Path | None, typer.Option("--data-dir", help="Folder of database and keys.")] = None,
) -> None:
    """Run the server.

    SIGTERM or Ctrl-C ends it after the work at hand, a second one at once.
    """
    import uvloop  # noqa: PLC0415 - commands that only ask a server start without loading one

    from esimhooks.server.app.settings import Settings  # noqa: PLC0415 - the same

    uvloop.run(_serve(Settings.read(roles=role, host=host, port=port, data_dir=data_dir)))


async def _serve(settings: "Settings") -> None:
    from esimhooks.server.app import node  # noqa: PLC0415 - the same

    stop = asyncio.Event()
    stop_on_signals(stop, insisting=True)
    await node.serve(settings, stop, on_started=partial(_announce, settings))
    output.say("esimhooks has stopped")


def _announce(settings: "Settings", node: "Running") -> None:
    roles = ", ".join(sorted(settings.roles))
    output.say(f"esimhooks serves {node.url} as {roles}")
    if node.data_dir is not None:
        output.say(f"data folder: {node.data_dir}")
    if node.admin_key_is_new:
        output.say(f"operator's key, shown this once: {node.admin_key}")
