"""Offline work on an installation: backup, restore, which also moves it to another PostgreSQL, and the rotation of its key.

Settings come in, and the file of a backup.
"""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from esimhooks.server.app import keys
from esimhooks.server.app.prepare import database_address
from esimhooks.server.app.settings import Settings
from esimhooks.server.domain.errors import Broken
from esimhooks.server.jobs.rekey import rekey_all
from esimhooks.server.store import dump, migrate
from esimhooks.server.store.database import connect
from esimhooks.server.store.embedded import EmbeddedPostgres
from esimhooks.server.store.encryption import Cipher, new_key
from esimhooks.server.store.installation import check_canary, record_backup


async def backup(settings: Settings, file: Path) -> None:
    """Write the database into the file, beside a running server or without. Raises `Broken`."""
    async with AsyncExitStack() as stack:
        dsn = await address_beside_server(settings, stack)
        await asyncio.to_thread(dump.dump, dsn, file)
        nothing = Cipher([new_key()])  # it reads and writes nothing encrypted
        database = await connect(dsn, nothing, connections=1, pooled=settings.database_pooled)
        stack.push_async_callback(database.close)
        async with database.transaction() as db:
            await record_backup(db)


async def restore(settings: Settings, file: Path) -> None:
    """Load the file into the database, which must be empty, bring it up to date, and check that the key opens it.

    Raises `Broken`; nothing is loaded where the file or the database is not as it must be.
    """
    _check_before(settings, file)
    cipher = Cipher(keys.encryption_keys(settings))
    async with AsyncExitStack() as stack:
        dsn, _ = await database_address(settings, stack)
        await dump.require_empty(dsn)
        await asyncio.to_thread(dump.restore, file, dsn)
        await migrate.migrate(dsn)
        database = await connect(dsn, cipher, connections=1, pooled=settings.database_pooled)
        stack.push_async_callback(database.close)
        async with database.transaction() as db:
            await check_canary(db)


async def address_beside_server(settings: Settings, stack: AsyncExitStack) -> str:
    """Return the address of the database, whether a server runs on it or not. Raises `Broken` where there is none."""
    running = _running(settings)
    return running if running is not None else (await database_address(settings, stack))[0]


def _running(settings: Settings) -> str | None:
    """Return the address of the embedded database where a server has it open. Raises `Broken` where there is none."""
    if settings.database_url is not None:
        return None
    if not (settings.data_dir / "postgres").exists():
        raise Broken(f"there is no database in {settings.data_dir}")
    embedded = EmbeddedPostgres(settings.data_dir)
    return None if embedded.pid is None else embedded.address


def _check_before(settings: Settings, file: Path) -> None:
    if not file.is_file():
        raise Broken(f"{file}: there is no such file")
    made = settings.data_dir / "encryption.key"
    if not settings.encryption_key and settings.database_url is None and not made.exists():
        raise Broken(
            "the backup is encrypted: set ESIMHOOKS_ENCRYPTION_KEY to the key of the server that it comes from, or copy its "
            f"file encryption.key to {made}"
        )


CONNECTIONS = 2


async def rotate_encryption(settings: Settings) -> int:
    """Encrypt everything with the first key of the settings; return how many values were encrypted again.

    Raises `Broken` where the keys do not decrypt what is there, and `NotNow` where it must be run again.
    """
    async with AsyncExitStack() as stack:
        dsn, _ = await database_address(settings, stack)
        await migrate.check_current(dsn)
        database = await connect(
            dsn, Cipher(keys.encryption_keys(settings)), connections=CONNECTIONS, pooled=settings.database_pooled
        )
        stack.push_async_callback(database.close)
        async with database.transaction() as db:
            await check_canary(db)
        return await rekey_all(database)
