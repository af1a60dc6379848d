"""The key rotation put together: settings come in, everything encrypted is encrypted anew with the newest key."""

from contextlib import AsyncExitStack

from esimhooks.server.app import keys
from esimhooks.server.app.node import database_address
from esimhooks.server.app.settings import Settings
from esimhooks.server.jobs.rekey import rekey_all
from esimhooks.server.store import migrate
from esimhooks.server.store.database import connect
from esimhooks.server.store.encryption import Cipher
from esimhooks.server.store.installation import check_canary

CONNECTIONS = 2


async def rotate_encryption(settings: Settings) -> int:
    """Encrypt everything with the first key of the settings; return how many values were encrypted anew.

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
