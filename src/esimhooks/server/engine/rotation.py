"""Secrets of endpoints: shown to their merchant, and replaced while the old one still signs for a while."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from esimhooks.server.engine.queries import found
from esimhooks.server.model.clock import Clock
from esimhooks.server.model.delivery import SigningSecret
from esimhooks.server.model.endpoint import Tenant
from esimhooks.server.model.errors import Refused
from esimhooks.server.store import endpoint_secrets, endpoints
from esimhooks.server.store.database import Database
from esimhooks.signing import new_secret

MOST_SECRETS = 10
"""Each signs every request to its endpoint."""


class EndpointSecrets:
    """Shows and rotates the secrets of a tenant's endpoints. Raises `Refused` (404) for what is not the tenant's."""

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def shown(self, tenant: Tenant, endpoint_id: UUID) -> Sequence[SigningSecret]:
        """Return the secrets that sign at present, newest first."""
        async with self._database.snapshot() as db:
            found(await endpoints.find(db, tenant, endpoint_id), "endpoint")
            return await endpoint_secrets.valid(db, tenant, endpoint_id, now=self._clock())

    async def rotate(self, tenant: Tenant, endpoint_id: UUID, *, expire_old_in_s: int) -> Sequence[SigningSecret]:
        """Make a new secret; those before it sign for so many seconds more. Returns all that sign, newest first.

        Raises `Refused` (409) where too many would sign.
        """
        now = self._clock()
        async with self._database.transaction() as db:
            if not await endpoint_secrets.lock(db, tenant, endpoint_id):
                raise Refused.not_found("there is no such endpoint")
            await endpoint_secrets.expire(db, endpoint_id, at=now + timedelta(seconds=expire_old_in_s), now=now)
            if len(await endpoint_secrets.valid(db, tenant, endpoint_id, now=now)) >= MOST_SECRETS:
                raise Refused.conflict(
                    f"{MOST_SECRETS} secrets sign for this endpoint already: wait until one ends, or end them with "
                    "expireOldIn 0"
                )
            await endpoint_secrets.insert(db, tenant, endpoint_id, secret=new_secret(), now=now)
            return await endpoint_secrets.valid(db, tenant, endpoint_id, now=now)
