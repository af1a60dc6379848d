"""Secrets of endpoints: shown to their merchant, and replaced while the old one still signs for a while."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct

from esimhooks.server.domain.audit import Action, Actor, ChangedField
from esimhooks.server.domain.delivery import SigningSecret
from esimhooks.server.domain.endpoint import Endpoint, SignatureProfile, Tenant
from esimhooks.server.domain.endpoint_rules import secret_error
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.ids import Prefix, text_of
from esimhooks.server.domain.lists import found
from esimhooks.server.store import endpoints
from esimhooks.server.store.audit import record_action
from esimhooks.server.store.database import Session
from esimhooks.signing import PRIVATE_KEY_PREFIX, new_key_pair, new_secret, public_key_of

MAX_SECRETS = 10
"""Each signs every request to its endpoint."""


class Rotation(Struct, frozen=True):
    """How a secret is replaced: how many seconds those before it sign on, and the new one where a merchant brings it."""

    expire_old_in_s: int
    secret: str | None = None


def require_secret(secret: str) -> str:
    """Return a secret that a merchant brings. Raises `Refused` (422) for one that may not sign."""
    if why := secret_error(secret):
        raise Refused.invalid("/secret", why)
    return secret


async def provide_key_pair(db: Session, endpoint: Endpoint, *, now: datetime) -> str | None:
    """Make a key pair where the endpoint's profile needs one and it has none; return the public key that signs now."""
    if endpoint.signature_profile is not SignatureProfile.ASYMMETRIC:
        return None
    for one in await endpoints.signing_secrets(db, endpoint.tenant, endpoint.id, now=now):
        if one.secret.startswith(PRIVATE_KEY_PREFIX):
            return public_key_of(one.secret)
    pair = new_key_pair()
    await endpoints.add_secret(db, endpoint.tenant, endpoint.id, secret=pair.private_key, now=now)
    return pair.public_key


async def shown_secrets(db: Session, tenant: Tenant, endpoint_id: UUID, *, now: datetime) -> Sequence[SigningSecret]:
    """Return the secrets that sign at present, newest first. Raises `Refused` (404)."""
    async with db.snapshot():
        found(await endpoints.find(db, tenant, endpoint_id), "endpoint")
        return await endpoints.signing_secrets(db, tenant, endpoint_id, now=now)


async def rotate_secret(
    db: Session, actor: Actor, tenant: Tenant, endpoint_id: UUID, how: Rotation, *, now: datetime
) -> Sequence[SigningSecret]:
    """Give the endpoint a new secret. Returns all that sign, newest first.

    Raises `Refused` (404, 422 for a secret that may not sign, or 409 where too many would sign or it signs already).
    """
    secret = new_secret() if how.secret is None else require_secret(how.secret)
    if not await endpoints.lock_to_rotate(db, tenant, endpoint_id):
        raise Refused.not_found("there is no such endpoint")
    endpoint = found(await endpoints.find(db, tenant, endpoint_id), "endpoint")
    await endpoints.expire_secrets(db, endpoint_id, at=now + timedelta(seconds=how.expire_old_in_s), now=now)
    signing = await endpoints.signing_secrets(db, tenant, endpoint_id, now=now)
    if any(one.secret == secret for one in signing):
        raise Refused.conflict("that secret signs for this endpoint already")
    if len(signing) >= MAX_SECRETS:
        raise Refused.conflict(
            f"{MAX_SECRETS} secrets sign for this endpoint already: wait until one ends, or end them with expireOldIn 0"
        )
    await endpoints.add_secret(db, tenant, endpoint_id, secret=secret, now=now)
    if endpoint.signature_profile is SignatureProfile.ASYMMETRIC:
        await endpoints.add_secret(db, tenant, endpoint_id, secret=new_key_pair().private_key, now=now)
    told = {"expireOldIn": ChangedField(None, how.expire_old_in_s)}
    await record_action(
        db, actor, Action.ENDPOINT_ROTATE, text_of(Prefix.ENDPOINT, endpoint_id), owner=tenant, changes=told
    )
    return await endpoints.signing_secrets(db, tenant, endpoint_id, now=now)
