"""Providers: `/v1/providers`, for operators. Credentials go in and never come out."""

from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Struct

from esimhooks.server.api.access import BY_KEY
from esimhooks.server.api.installation import Installation
from esimhooks.server.api.lists import Limit, Listed, NameCursor, part_of
from esimhooks.server.api.router import Routes
from esimhooks.server.domain.audit import Actor
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.lists import Unreadable, found
from esimhooks.server.domain.provider import StoredProvider
from esimhooks.server.domain.validation import Text, Url
from esimhooks.server.ingest.provider_clients import ProviderClients
from esimhooks.server.manage import providers as manage_providers
from esimhooks.server.store import providers
from esimhooks.server.store.database import Session
from esimhooks.vocabulary.timestamps import timestamp, timestamp_or_none

RESERVED = frozenset({"updates"})
NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
MAX_NAME = 63
A_DAY_S = 86_400
MAX_OVERLAP_S = 30 * A_DAY_S
"""Some providers change an address by hand only."""


class ProviderBody(Struct, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """How to reach a provider. `settings` are those of its kind."""

    kind: Text
    base_url: Url | None = None
    credentials: dict[Text, Text] = {}
    settings: dict[Text, bool | int | float | str | list[str] | dict[str, Any] | None] = {}


class TokenRotationBody(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """How many seconds the old address still works: a day unless told, 0 after a leak."""

    expire_old_in: Annotated[int, Meta(ge=0, le=MAX_OVERLAP_S)] = A_DAY_S


USUAL_ROTATION = TokenRotationBody()


class ProviderView(Struct, rename="camel", kw_only=True):
    """A provider as it is shown; of its credentials only which are set.

    `oldInboundUrl` is the address before the last rotation, while it works: until `oldInboundUrlExpiresAt`.
    """

    name: str
    kind: str
    base_url: str | None
    credentials_set: list[str]
    settings: dict[str, object]
    inbound_url: str
    old_inbound_url: str | None
    old_inbound_url_expires_at: str | None
    created_at: str
    updated_at: str


routes = Routes(BY_KEY, operators=True)


@routes.put("/v1/providers/{name}", example={"kind": "esimaccess"})
async def put_provider(
    db: Session,
    actor: Actor,
    now: datetime,
    connected: ProviderClients,
    installation: Installation,
    name: str,
    data: ProviderBody,
) -> ProviderView:
    """Store a provider; one of that name keeps its inbound address."""
    if not name or len(name) > MAX_NAME or not set(name) <= NAME_CHARACTERS or name in RESERVED:
        raise Refused.invalid("path:name", "expected 1-63 of a-z, 0-9 and -, and not the word updates")
    stored = await manage_providers.put_provider(
        db,
        actor,
        manage_providers.NewProvider(
            name=name, kind=data.kind, base_url=data.base_url, credentials=data.credentials, settings=data.settings
        ),
        connected=connected,
        now=now,
    )
    return _view(stored, installation)


@routes.get("/v1/providers")
async def list_providers(
    db: Session, installation: Installation, limit: Limit = 25, cursor: NameCursor = None
) -> Listed[ProviderView]:
    """List providers by name."""
    stored = sorted(await providers.list_all(db), key=_name_of)
    return part_of(stored, limit, cursor, lambda one: _view(one, installation), _name_of)


@routes.get("/v1/providers/{name}")
async def show_provider(db: Session, installation: Installation, name: str) -> ProviderView:
    """Show a provider."""
    return _view(found(await providers.find(db, name), "provider"), installation)


@routes.post("/v1/providers/{name}/rotate-token", example={"expireOldIn": 3600}, status=200)
async def rotate_token(
    db: Session,
    actor: Actor,
    connected: ProviderClients,
    installation: Installation,
    name: str,
    data: TokenRotationBody = USUAL_ROTATION,
) -> ProviderView:
    """Give a provider another inbound address; the old one works for `expireOldIn` seconds more."""
    stored = await manage_providers.rotate_token(
        db, actor, name, expire_old_in_s=data.expire_old_in, connected=connected
    )
    return _view(stored, installation)


@routes.delete("/v1/providers/{name}")
async def delete_provider(db: Session, actor: Actor, connected: ProviderClients, name: str) -> None:
    """Forget a provider; its inbound address answers 401 from then on."""
    await manage_providers.delete_provider(db, actor, name, connected=connected)


def _name_of(stored: StoredProvider | Unreadable) -> str:
    return stored.name


def _view(stored: StoredProvider, installation: Installation) -> ProviderView:
    below = f"{installation.public_url}/providers/{stored.name}"
    return ProviderView(
        name=stored.name,
        kind=stored.kind,
        base_url=stored.base_url,
        credentials_set=sorted(stored.credentials),
        settings=dict(stored.settings),
        inbound_url=f"{below}/{stored.token}",
        old_inbound_url=f"{below}/{stored.old_token}" if stored.old_token else None,
        old_inbound_url_expires_at=timestamp_or_none(stored.old_token_until),
        created_at=timestamp(stored.created_at),
        updated_at=timestamp(stored.updated_at),
    )
