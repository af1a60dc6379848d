"""Changes of an API key: its name, from where and until when it is valid, and where its webhooks go. One transaction each."""

from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from esimhooks.server.domain.account import ApiKey
from esimhooks.server.domain.audit import Action, ChangedField, changes, key_fields
from esimhooks.server.domain.clock import Clock
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.ids import Prefix, text_of
from esimhooks.server.manage.admin import Admin, Made, NewEndpoint, require_room
from esimhooks.server.manage.queries import found
from esimhooks.server.manage.webhook_url import CheckUrl, require_reachable
from esimhooks.server.store import accounts, endpoints, keys
from esimhooks.server.store.audit import note
from esimhooks.server.store.database import Database, Session


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
        self, account_id: UUID, key_id: UUID, wanted: Mapping[str, object], *, webhook_url: str | None
    ) -> ChangedKey:
        """Change the named attributes; a URL makes an endpoint, or moves the one that the key owns. Raises `Refused`."""
        if webhook_url is not None:
            require_reachable(self._check_url, webhook_url, pointer="/webhookUrl")
        async with self._database.joint() as joint:
            async with self._database.transaction() as db:
                found(await accounts.lock(db, account_id), "account")  # before its endpoints and keys: decisions/0020
                before = found(await keys.lock(db, account_id, key_id), "key")
                key = replace(before, **wanted)
                tenant = key.tenant
                made: Made | None = None
                if tenant is not None and _ended(before, now=self._clock()) and not _ended(key, now=self._clock()):
                    await require_room(db, tenant, expires_at=key.expires_at, now=self._clock())
                if webhook_url is not None and tenant is not None:
                    if key.endpoint_id is None:
                        made = await self._admin.create_endpoint(tenant, NewEndpoint(url=webhook_url, name=key.name))
                        key = replace(key, endpoint_id=made.endpoint.id)
                    else:
                        await self._move(db, tenant, key.endpoint_id, webhook_url)
                await keys.update(db, key)
                changed = changes(key_fields(before), key_fields(key))
                if changed:
                    await note(db, Action.KEY_CHANGE, text_of(Prefix.KEY, key.id), whose=tenant, changes=changed)
            await joint.commit()
        return ChangedKey(key, made)

    async def _move(self, db: Session, tenant: Tenant, endpoint_id: UUID, url: str) -> None:
        endpoint = found(await endpoints.find_to_change(db, tenant, endpoint_id), "endpoint")
        if endpoint.url == url:
            return
        await keys.move_endpoint(db, tenant, endpoint_id, url=url, now=self._clock())
        moved = {"url": ChangedField(endpoint.url, url)}
        await note(db, Action.ENDPOINT_CHANGE, text_of(Prefix.ENDPOINT, endpoint_id), whose=tenant, changes=moved)


def _ended(key: ApiKey, *, now: datetime) -> bool:
    return key.expires_at is not None and key.expires_at <= now
