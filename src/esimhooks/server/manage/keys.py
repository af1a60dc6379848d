"""API keys: made, changed and revoked; and the sessions of the dashboard that they begin, which all nodes share.

A key with a webhook URL owns an endpoint. Each command runs in the transaction that it is given. Raises `Refused` (404) for what is not there.
"""

import secrets
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from esimhooks.server.domain.account import ApiKey, DashboardSession, digest_of, lookup_of, new_key
from esimhooks.server.domain.audit import Action, Actor, ChangedField, changes, key_fields
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.ids import Prefix, new_id, text_of
from esimhooks.server.domain.lists import found
from esimhooks.server.domain.roles import Role
from esimhooks.server.manage.accounts import require_merchant
from esimhooks.server.manage.endpoints import Change, EndpointRules, Made, create_endpoint, require_reachable
from esimhooks.server.store import accounts, endpoints, keys, portal
from esimhooks.server.store.audit import record_action
from esimhooks.server.store.database import Session

MAX_LIVE_KEYS = 2
"""Of an account in a mode and a role: one in use, and one to change over to."""


class NewKey(Struct, frozen=True, kw_only=True):
    """What an operator says of a key."""

    name: str
    role: Role = Role.MANAGE
    webhook_url: str | None = None
    allowed_ips: tuple[str, ...] | None = None
    expires_at: datetime | None = None


class MadeKey(Struct, frozen=True):
    """A new key with its text, which is shown this once, and the endpoint it owns."""

    key: ApiKey
    text: str
    made: Made | None


class WantedKey(Struct, frozen=True):
    """What is to be changed of a key: attributes by their names, and the URL that its endpoint is to have."""

    changes: Mapping[str, object]
    webhook_url: str | None


class ChangedKey(Struct, frozen=True):
    """A key after its change, and the endpoint that was made for it, whose secret is shown this once."""

    key: ApiKey
    made: Made | None


async def create_key(db: Session, actor: Actor, tenant: Tenant, new: NewKey, rules: EndpointRules) -> MadeKey:
    """Make a key, with an endpoint of its own where it has a webhook URL. Raises `Refused`."""
    now = rules.clock()
    require_merchant(tenant.account_id)
    text = new_key(tenant.mode)
    await _require_free_slot(db, tenant, new.role, expires_at=new.expires_at, now=now)
    made = None
    if new.webhook_url is not None:
        require_reachable(rules.check_url, new.webhook_url, pointer="/webhookUrl")
        made = await create_endpoint(db, actor, tenant, _with_url(new.webhook_url, new.name), rules)
    key = replace(_key(tenant, new, text, now=now), endpoint_id=made.endpoint.id if made else None)
    await _store(db, actor, key)
    return MadeKey(key, text, made)


async def create_operator_key(db: Session, actor: Actor, new: NewKey, *, now: datetime) -> MadeKey:
    """Make an operator's key."""
    text = new_key(None)
    key = _key(None, new, text, now=now)
    await _store(db, actor, key)
    return MadeKey(key, text, None)


async def change_operator_key(db: Session, actor: Actor, key_id: UUID, attributes: Mapping[str, object]) -> ApiKey:
    """Change the named attributes of an operator's key. Raises `Refused` (404)."""
    before = found(await keys.lock(db, None, key_id), "key")
    key = replace(before, **attributes)
    await keys.update(db, key)
    await _record_change(db, actor, before, key)
    return key


async def change_key(
    db: Session,
    actor: Actor,
    account_id: UUID,
    key_id: UUID,
    wanted: WantedKey,
    rules: EndpointRules,
) -> ChangedKey:
    """Change the named attributes; a URL makes an endpoint, or moves the one that the key owns. Raises `Refused`."""
    now, webhook_url = rules.clock(), wanted.webhook_url
    if webhook_url is not None:
        require_reachable(rules.check_url, webhook_url, pointer="/webhookUrl")
    found(await accounts.lock(db, account_id), "account")  # before its endpoints and keys: decisions/0020
    before = found(await keys.lock(db, account_id, key_id), "key")
    key = replace(before, **wanted.changes)
    tenant = key.tenant
    made: Made | None = None
    if tenant is not None and _has_ended(before, now=now) and not _has_ended(key, now=now):
        await _require_free_slot(db, tenant, key.role, expires_at=key.expires_at, now=now)
    if webhook_url is not None and tenant is not None:
        if key.endpoint_id is None:
            made = await create_endpoint(db, actor, tenant, _with_url(webhook_url, key.name), rules)
            key = replace(key, endpoint_id=made.endpoint.id)
        else:
            await _move(db, actor, tenant, key.endpoint_id, webhook_url, now=now)
    await keys.update(db, key)
    await _record_change(db, actor, before, key)
    return ChangedKey(key, made)


async def revoke_key(db: Session, actor: Actor, account_id: UUID | None, key_id: UUID) -> None:
    """Revoke an account's key, or an operator's (None), at once. Raises `Refused` (404)."""
    key = found(await keys.delete(db, account_id, key_id), "key")
    lost = changes(key_fields(key), {})
    await record_action(db, actor, Action.KEY_REVOKE, key_id, owner=key.tenant, changes=lost)


def _key(tenant: Tenant | None, new: NewKey, text: str, *, now: datetime) -> ApiKey:
    return ApiKey(
        id=new_id(),
        tenant=tenant,
        role=new.role,
        name=new.name,
        lookup=lookup_of(text),
        digest=digest_of(text),
        endpoint_id=None,
        allowed_ips=new.allowed_ips,
        expires_at=new.expires_at,
        created_at=now,
        last_used_at=None,
    )


async def _store(db: Session, actor: Actor, key: ApiKey) -> None:
    await keys.insert(db, key)
    fields = changes({}, key_fields(key))
    await record_action(db, actor, Action.KEY_CREATE, key.id, owner=key.tenant, changes=fields)


async def _record_change(db: Session, actor: Actor, before: ApiKey, after: ApiKey) -> None:
    if changed := changes(key_fields(before), key_fields(after)):
        await record_action(db, actor, Action.KEY_CHANGE, after.id, owner=after.tenant, changes=changed)


async def _require_free_slot(
    db: Session, tenant: Tenant, role: Role, *, expires_at: datetime | None, now: datetime
) -> None:
    """Raise `Refused` (409) where one more live key would be too many, (404) where the account is not there.

    The account is locked until the transaction ends, so that two requests cannot both find room.
    """
    found(await accounts.lock(db, tenant.account_id), "account")
    live = await keys.live_of(db, tenant, role, now=now)
    if len(live) < MAX_LIVE_KEYS or (expires_at is not None and expires_at <= now):
        return
    names = ", ".join(f"{key.name} ({text_of(Prefix.KEY, key.id)})" for key in live)
    raise Refused.conflict(
        f"the account already has {len(live)} keys of mode {tenant.mode.value}: {names}. Revoke one, or let it expire, and try again"
    )


async def _move(db: Session, actor: Actor, tenant: Tenant, endpoint_id: UUID, url: str, *, now: datetime) -> None:
    endpoint = found(await endpoints.find_to_change(db, tenant, endpoint_id), "endpoint")
    if endpoint.url == url:
        return
    await keys.move_endpoint(db, tenant, endpoint_id, url=url, now=now)
    moved = {"url": ChangedField(endpoint.url, url)}
    await record_action(db, actor, Action.ENDPOINT_CHANGE, endpoint_id, owner=tenant, changes=moved)


def _with_url(url: str, name: str) -> Change:
    return lambda before, _: replace(before, url=url, name=name)


def _has_ended(key: ApiKey, *, now: datetime) -> bool:
    return key.expires_at is not None and key.expires_at <= now


SESSION_TOKEN_BYTES = 32


async def open_session(
    db: Session, actor: Actor, session: DashboardSession, *, owner: Tenant | None, now: datetime
) -> str:
    """Return the token of a new session, of a tenant or of an operator (None); only its digest is stored."""
    token = secrets.token_urlsafe(SESSION_TOKEN_BYTES)
    await keys.start_session(db, digest_of(token), session, now=now)
    await record_action(db, actor, Action.DASHBOARD_SIGN_IN, "dashboard", owner=owner)
    return token


async def find_session(db: Session, token: str, *, by_person: bool, now: datetime) -> DashboardSession | None:
    """Return who the session belongs to, or None; what a page asks for by itself does not keep it alive."""
    found = await keys.find_session(db, digest_of(token), now=now)
    if found is not None and by_person:
        await keys.record_session_use(db, digest_of(token), now=now)
    return found


async def end_session(db: Session, token: str) -> None:
    """End the session, whether it began with a key or by a portal link."""
    await keys.end_session(db, digest_of(token))
    await portal.sign_out(db, digest_of(token))
