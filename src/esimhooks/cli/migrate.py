"""`esimhooks migrate`: bring the database of the settings up to date."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from esimhooks.cli import output


def migrate(
    *, data_dir: Annotated[Path | None, typer.Option("--data-dir", help="Folder of the embedded database.")] = None
) -> None:
    """Bring the database up to date.

    `serve` does it by itself on the embedded one.
    """
    from esimhooks.server.app import node  # noqa: PLC0415 - commands that only ask a server start without loading one
    from esimhooks.server.app.settings import Settings  # noqa: PLC0415 - the same

    asyncio.run(node.migrate(Settings.read(data_dir=data_dir)))
    output.say("the database is up to date")
