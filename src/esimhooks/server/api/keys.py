"""API keys: `/v1/accounts/{id}/keys` of merchants, `/v1/operator-keys` of operators. For operators.

The text of a key is in the answer that makes it, and nowhere else.
"""

import ipaddress
from datetime import datetime
from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import asdict, replace

from esimhooks.server.api.access import BY_KEY
from esimhooks.server.api.auth import Authenticator
from esimhooks.server.api.bodies import AccountId, AwareTime, KeyId, in_utc
from esimhooks.server.api.lists import Cursor, Limit, Listed, listed, window
from esimhooks.server.api.merge_patch import patch_values
from esimhooks.server.api.router import Routes
from esimhooks.server.api.views import view_of
from esimhooks.server.domain.account import ApiKey
from esimhooks.server.domain.audit import Actor
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.ids import Prefix, text_of
from esimhooks.server.domain.lists import found
from esimhooks.server.domain.roles import Role
from esimhooks.server.domain.validation import Name, Url
from esimhooks.server.manage import keys as manage_keys
from esimhooks.server.manage.endpoints import EndpointRules, Made
from esimhooks.server.manage.keys import MadeKey, NewKey
from esimhooks.server.store import accounts, keys
from esimhooks.server.store.database import Session
from esimhooks.vocabulary.statuses import Mode

AllowedIps = Annotated[list[str], Meta(min_length=1, max_length=10)]
"""Addresses and networks (CIDR)."""


class _NewKey(Struct, forbid_unknown_fields=True, rename="camel", kw_only=True):
    name: Name
    allowed_ips: AllowedIps | None = None
    expires_at: AwareTime | None = None


class OperatorKeyBody(_NewKey, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """A new key of an operator. `admin` may do all; `support` reads, sends again and tries out; `read` reads."""

    role: Literal["admin", "support", "read"]


class KeyBody(_NewKey, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """A new key of an account. With `webhookUrl` the key owns an endpoint for its mode.

    `manage` may do all that a merchant may, `read` changes nothing and sees no secrets, `events` reads events only.
    """

    mode: Mode
    role: Literal["manage", "read", "events"] = "manage"
    webhook_url: Url | None = None


class OperatorKeyPatch(Struct, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """Fields to change; null removes the restriction."""

    name: Name | UnsetType = UNSET
    allowed_ips: AllowedIps | UnsetType | None = UNSET
    expires_at: AwareTime | UnsetType | None = UNSET


class KeyPatch(OperatorKeyPatch, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """What an operator changes of an account's key: null lets it be used from everywhere, or without end."""

    webhook_url: Url | UnsetType = UNSET


class OperatorKeyView(Struct, rename="camel", kw_only=True):
    """An operator's key, without its secret part."""

    id: str
    name: str
    role: Role
    prefix: str
    allowed_ips: list[str] | None
    expires_at: str | None
    created_at: str
    last_used_at: str | None


class MadeOperatorKeyView(OperatorKeyView, rename="camel", kw_only=True):
    """A new operator key; `key` is shown only here."""

    key: str


class KeyView(OperatorKeyView, rename="camel", kw_only=True):
    """An account's key, without its secret part."""

    mode: Mode
    endpoint_id: str | None


class OwnedEndpoint(Struct, rename="camel"):
    """The key's own endpoint, with its secret."""

    id: str
    url: str
    secret: str


class ChangedKeyView(KeyView, rename="camel", kw_only=True):
    """The changed key; `endpoint` if the change created one."""

    endpoint: OwnedEndpoint | None


class MadeKeyView(ChangedKeyView, rename="camel", kw_only=True):
    """A new key; `key` is shown only here."""

    key: str


routes = Routes(BY_KEY, operators=True)


@routes.post(
    "/v1/accounts/{account_id}/keys",
    example={"mode": "test", "name": "ci", "webhookUrl": "https://hooks.example.com/esims"},
)
async def create_key(
    db: Session, actor: Actor, rules: EndpointRules, account_id: AccountId, data: KeyBody
) -> MadeKeyView:
    """Create a key, optionally with an endpoint. The key is shown only in this answer."""
    made = await manage_keys.create_key(
        db,
        actor,
        Tenant(account_id, data.mode),
        replace(_new(data), webhook_url=data.webhook_url),
        rules,
    )
    return _made_key(made)


@routes.get("/v1/accounts/{account_id}/keys")
async def list_keys(db: Session, account_id: AccountId, limit: Limit = 25, cursor: Cursor = None) -> Listed[KeyView]:
    """List an account's keys."""
    account = found(await accounts.find(db, account_id), "account")
    rows = await keys.of_account(db, account.id, **window(limit, cursor))
    return listed(rows, limit, _key, lambda key: key.id)


@routes.patch("/v1/accounts/{account_id}/keys/{key_id}", example={"name": "ci 2026", "allowedIps": ["127.0.0.0/8"]})
async def change_key(
    db: Session,
    actor: Actor,
    rules: EndpointRules,
    authenticator: Authenticator,
    account_id: AccountId,
    key_id: KeyId,
    data: KeyPatch,
) -> ChangedKeyView:
    """Change a key. `webhookUrl` creates an endpoint, with its secret in the answer, or moves the key's own."""
    changed = await manage_keys.change_key(
        db,
        actor,
        account_id,
        key_id,
        manage_keys.WantedKey(
            _attributes(data), webhook_url=None if isinstance(data.webhook_url, UnsetType) else data.webhook_url
        ),
        rules,
    )
    db.after_commit(authenticator.clear_cache)
    view = _key(changed.key)
    return ChangedKeyView(**asdict(view), endpoint=_owned(changed.made))


@routes.delete("/v1/accounts/{account_id}/keys/{key_id}")
async def revoke_key(
    db: Session, actor: Actor, authenticator: Authenticator, account_id: AccountId, key_id: KeyId
) -> None:
    """Revoke a key at once."""
    await manage_keys.revoke_key(db, actor, account_id, key_id)
    db.after_commit(authenticator.clear_cache)


@routes.post("/v1/operator-keys", example={"name": "Ana", "role": "support", "expiresAt": "2027-12-31T00:00:00Z"})
async def create_operator_key(db: Session, actor: Actor, now: datetime, data: OperatorKeyBody) -> MadeOperatorKeyView:
    """Create an operator's key. It is shown only in this answer."""
    made = await manage_keys.create_operator_key(db, actor, _new(data), now=now)
    return MadeOperatorKeyView(**asdict(_operator_key(made.key)), key=made.text)


@routes.get("/v1/operator-keys")
async def list_operator_keys(db: Session, limit: Limit = 25, cursor: Cursor = None) -> Listed[OperatorKeyView]:
    """List operators' keys, except the first one, which is a setting."""
    rows = await keys.of_operators(db, **window(limit, cursor))
    return listed(rows, limit, _operator_key, lambda key: key.id)


@routes.patch("/v1/operator-keys/{key_id}", example={"allowedIps": ["127.0.0.0/8"]})
async def change_operator_key(
    db: Session, actor: Actor, authenticator: Authenticator, key_id: KeyId, data: OperatorKeyPatch
) -> OperatorKeyView:
    """Change an operator's key, except its role."""
    key = await manage_keys.change_operator_key(db, actor, key_id, _attributes(data))
    db.after_commit(authenticator.clear_cache)
    return _operator_key(key)


@routes.delete("/v1/operator-keys/{key_id}")
async def revoke_operator_key(db: Session, actor: Actor, authenticator: Authenticator, key_id: KeyId) -> None:
    """Revoke an operator's key at once."""
    await manage_keys.revoke_key(db, actor, None, key_id)
    db.after_commit(authenticator.clear_cache)


def _new(body: KeyBody | OperatorKeyBody) -> NewKey:
    return NewKey(
        name=body.name,
        role=Role(body.role),
        allowed_ips=_networks(body.allowed_ips),
        expires_at=_end(body.expires_at),
    )


def _attributes(patch: OperatorKeyPatch) -> dict[str, object]:
    """Return the attributes of a key that a patch names."""
    changes = patch_values(patch)
    if not isinstance(patch.allowed_ips, UnsetType):
        changes["allowed_ips"] = _networks(patch.allowed_ips)
    if not isinstance(patch.expires_at, UnsetType):
        changes["expires_at"] = _end(patch.expires_at)
    changes.pop("webhook_url", None)
    return changes


def _end(expires_at: datetime | None) -> datetime | None:
    return None if expires_at is None else in_utc(expires_at, "/expiresAt")


def _networks(texts: list[str] | None) -> tuple[str, ...] | None:
    for index, text in enumerate(texts or []):
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise Refused.invalid(f"/allowedIps/{index}", "expected an address or a network in CIDR form") from None
    return None if texts is None else tuple(texts)


def _key(key: ApiKey) -> KeyView:
    mode = key.tenant.mode if key.tenant else Mode.LIVE
    return view_of(KeyView, key, id=Prefix.KEY, mode=mode, prefix=key.lookup, endpoint_id=Prefix.ENDPOINT)


def _made_key(made: MadeKey) -> MadeKeyView:
    view = _key(made.key)
    return MadeKeyView(**asdict(view), key=made.text, endpoint=_owned(made.made))


def _owned(made: Made | None) -> OwnedEndpoint | None:
    if made is None:
        return None
    return OwnedEndpoint(text_of(Prefix.ENDPOINT, made.endpoint.id), made.endpoint.url, made.secret)


def _operator_key(key: ApiKey) -> OperatorKeyView:
    return view_of(OperatorKeyView, key, id=Prefix.KEY, prefix=key.lookup)
