"""`esimhooks backup` and `esimhooks restore`: the database as a file, for keeping and for moving to another PostgreSQL."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from esimhooks.cli import output
from esimhooks.cli.options import DataDir

File = Annotated[Path, typer.Argument(metavar="FILE", help="A dump in PostgreSQL's custom format.")]


def backup(file: File, *, data_dir: DataDir = None) -> None:
    """Write the database into a file, while a server runs or not.

    The encryption key is not in it: without ESIMHOOKS_ENCRYPTION_KEY, or encryption.key of the data folder, nobody can
    use it. Keep both, apart.
    """
    from esimhooks.cli.serve import settings_of  # noqa: PLC0415 - the server is loaded where it is needed
    from esimhooks.server.app import backup as of_the_server  # noqa: PLC0415

    asyncio.run(of_the_server.backup(settings_of(data_dir=data_dir), file))
    output.say(
        f"{file} has the database ({file.stat().st_size / 1_048_576:.1f} MB); keep the encryption key apart from it"
    )


def restore(file: File, *, data_dir: DataDir = None) -> None:
    """Load a backup into an empty database: the embedded one of a new data folder, or that of ESIMHOOKS_DATABASE_URL.

    Needs the encryption key of the server that the backup comes from.
    """
    from esimhooks.cli.serve import settings_of  # noqa: PLC0415 - the server is loaded where it is needed
    from esimhooks.server.app import backup as of_the_server  # noqa: PLC0415

    asyncio.run(of_the_server.restore(settings_of(data_dir=data_dir), file))
    output.say("the database is restored and up to date: `esimhooks serve` goes on with it")
