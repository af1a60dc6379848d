"""`esimhooks rotate-encryption`: seal everything in the database with the newest key, beside running servers."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from esimhooks.cli import output


def rotate_encryption(
    *, data_dir: Annotated[Path | None, typer.Option("--data-dir", help="Folder of the embedded database.")] = None
) -> None:
    """Seal everything with the newest key, after which the older ones may go.

    Put the new key before the old one in ESIMHOOKS_ENCRYPTION_KEY and restart every server, then run this with the same
    setting. It may be interrupted and run again.
    """
    from esimhooks.server.app import rotation  # noqa: PLC0415 - commands that only ask a server start without loading one
    from esimhooks.server.app.settings import Settings  # noqa: PLC0415 - the same

    done = asyncio.run(rotation.rotate_encryption(Settings.read(data_dir=data_dir)))
    output.say(f"{done} values were sealed anew: only the first key of ESIMHOOKS_ENCRYPTION_KEY is needed from now on")
