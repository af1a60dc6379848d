"""Providers: stored and forgotten by operators. Each command runs in the transaction that it is given."""

import secrets
from collections.abc import Mapping
from datetime import datetime

from msgspec import Struct

from esimhooks.server.domain.audit import Action, Actor, ChangedField, changes, provider_fields
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.lists import found
from esimhooks.server.domain.provider import StoredProvider
from esimhooks.server.ingest.provider_clients import ProviderClients
from esimhooks.server.manage.provider_documents import keep_version
from esimhooks.server.store import providers
from esimhooks.server.store.audit import record_action
from esimhooks.server.store.database import Session

TOKEN_BYTES = 32


class NewProvider(Struct, frozen=True, kw_only=True):
    """What an operator tells of a provider."""

    name: str
    kind: str
    base_url: str | None
    credentials: Mapping[str, str]
    settings: Mapping[str, object]


async def put_provider(
    db: Session,
    actor: Actor,
    new: NewProvider,
    *,
    connected: ProviderClients,
    now: datetime,
) -> StoredProvider:
    """Store a provider; one of that name keeps its inbound address. Raises `Refused` where its kind would."""
    stored = StoredProvider(
        name=new.name,
        kind=new.kind,
        base_url=new.base_url,
        credentials=new.credentials,
        settings=new.settings,
        token=secrets.token_urlsafe(TOKEN_BYTES),
        created_at=now,
        updated_at=now,
    )
    provider = connected.build(stored)
    before = await providers.find(db, new.name)
    await providers.put(db, stored, only_polled=provider.only_polled)
    await keep_version(db, stored)
    kept = found(await providers.find(db, new.name), "provider")
    changed = changes(provider_fields(before) if before else {}, provider_fields(kept))
    if changed:
        await record_action(db, actor, Action.PROVIDER_PUT, new.name, owner=None, changes=changed)
    db.after_commit(lambda: connected.forget(new.name))
    return kept


async def rotate_token(
    db: Session, actor: Actor, name: str, *, expire_old_in_s: int, connected: ProviderClients
) -> StoredProvider:
    """Give a provider another inbound address; the old one works for so many seconds more.

    Raises `Refused` (404, or 409 while an old one still works and would end early).
    """
    if not await providers.lock(db, name):
        raise Refused.not_found("there is no such provider")
    before = found(await providers.find(db, name), "provider")
    if before.old_token is not None and expire_old_in_s > 0:
        raise Refused.conflict("an old address of this provider still works: wait for its end, or end both with 0")
    await providers.rotate_token(db, before, secrets.token_urlsafe(TOKEN_BYTES), expire_old_in_s=expire_old_in_s)
    overlap = {"expireOldIn": ChangedField(None, expire_old_in_s)}
    await record_action(db, actor, Action.PROVIDER_ROTATE, name, owner=None, changes=overlap)
    db.after_commit(lambda: connected.forget(name))
    return found(await providers.find(db, name), "provider")


async def delete_provider(db: Session, actor: Actor, name: str, *, connected: ProviderClients) -> None:
    """Forget a provider. Raises `Refused` (404)."""
    if not await providers.delete(db, name):
        raise Refused.not_found("there is no such provider")
    await record_action(db, actor, Action.PROVIDER_DELETE, name, owner=None)
    db.after_commit(lambda: connected.forget(name))
