"""Changes of an API key: its name, from where and until when it is valid, and where its webhooks go. One transaction each."""

from collections.abc import Mapping
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from esimhooks.server.engine.admin import Admin, Made, NewEndpoint
from esimhooks.server.engine.queries import found
from esimhooks.server.engine.webhook_url import CheckUrl, require_reachable
from esimhooks.server.model.account import ApiKey
from esimhooks.server.model.clock import Clock
from esimhooks.server.store import keys
from esimhooks.server.store.database import Database


class ChangedKey(Struct, frozen=True):
    """A key after its change, and the endpoint that was made for it, whose secret is shown this once."""

    key: ApiKey
    made: Made | None


class KeyChanges:
    """Changes keys. `check_url` refuses URLs that must not be called."""

    def __init__(self, database: Database, admin: Admin, *, check_url: CheckUrl, clock: Clock) -> None:
        self._database = database
        self._admin = admin
        self._check_url = check_url
        self._clock = clock

    async def change(
        self, account_id: UUID, key_id: UUID, changes: Mapping[str, object], *, webhook_url: str | None
    ) -> ChangedKey:
        """Change the named attributes; a URL makes an endpoint, or moves the one that the key owns. Raises `Refused`."""
        if webhook_url is not None:
            require_reachable(self._check_url, webhook_url, pointer="/webhookUrl")
        async with self._database.joint() as joint:
            async with self._database.transaction() as db:
                key = replace(found(await keys.lock(db, account_id, key_id), "key"), **changes)
                tenant = key.tenant
                made: Made | None = None
                if webhook_url is not None and tenant is not None:
                    if key.endpoint_id is None:
                        made = await self._admin.create_endpoint(tenant, NewEndpoint(url=webhook_url, name=key.name))
                        key = replace(key, endpoint_id=made.endpoint.id)
                    else:
                        await keys.move_endpoint(db, tenant, key.endpoint_id, url=webhook_url, now=self._clock())
                await keys.update(db, key)
            await joint.commit()
        return ChangedKey(key, made)
