"""Providers and their documents, for operators: `/v1/providers`. Credentials go in and never come out."""

from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Struct

from esimhooks.server.api.access import BY_KEY
from esimhooks.server.api.installation import Installation
from esimhooks.server.api.lists import Limit, Listed, NameCursor, part_of
from esimhooks.server.api.router import Routes
from esimhooks.server.api.views import view_of
from esimhooks.server.domain.audit import Actor
from esimhooks.server.domain.change import UpdateOutcome
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.ids import Prefix
from esimhooks.server.domain.lists import Unreadable, found
from esimhooks.server.domain.provider import ProviderHealth, ProviderState, StoredProvider, provider_health_of
from esimhooks.server.domain.validation import Text, Url
from esimhooks.server.ingest.provider_clients import ProviderClients
from esimhooks.server.manage import providers as manage_providers
from esimhooks.server.providers.mapping.examples import Outcome
from esimhooks.server.store import provider_health, providers
from esimhooks.server.store.database import Session
from esimhooks.vocabulary.timestamps import timestamp, timestamp_or_none

RESERVED = frozenset({"updates"})
NAME_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
MAX_NAME = 63
DAY_S = 86_400
MAX_OVERLAP_S = 30 * DAY_S
"""Some providers change an address by hand only."""


class ProviderBody(Struct, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """How to reach a provider. `settings` depend on its kind."""

    kind: Text
    base_url: Url | None = None
    credentials: dict[Text, Text] = {}
    settings: dict[Text, bool | int | float | str | list[str] | dict[str, Any] | None] = {}


class TokenRotationBody(Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """How many seconds the old URL still works: a day by default, 0 after a leak."""

    expire_old_in: Annotated[int, Meta(ge=0, le=MAX_OVERLAP_S)] = DAY_S


DEFAULT_ROTATION = TokenRotationBody()


class ProviderHealthView(Struct, frozen=True, rename="camel", kw_only=True):
    """A provider's health.

    Counts cover the last 24 hours, up to 1000; `backlog` counts notifications waiting to be applied.
    """

    state: ProviderState
    since: str | None
    last_heard_at: str | None
    received: int
    invalid: int
    unmatched: int
    backlog: int
    not_understood: int


class ProviderView(Struct, rename="camel", kw_only=True):
    """A provider.

    `credentialsSet` names its credentials, which are never shown. `oldInboundUrl` is the previous URL, while it works:
    until `oldInboundUrlExpiresAt`.
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
    health: ProviderHealthView


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
    """Create or replace a provider. Its inbound URL stays the same."""
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
    return await _with_health(db, stored, installation)


@routes.get("/v1/providers")
async def list_providers(
    db: Session, installation: Installation, limit: Limit = 25, cursor: NameCursor = None
) -> Listed[ProviderView]:
    """List providers by name."""
    stored = sorted(await providers.list_all(db), key=_name_of)
    facts = {one.name: one for one in await provider_health.facts(db)}

    def view(one: StoredProvider) -> ProviderView:
        return _view(one, installation, provider_health_of(facts[one.name], now=installation.clock()))

    return part_of(stored, limit, cursor, view, _name_of)


@routes.get("/v1/providers/{name}")
async def show_provider(db: Session, installation: Installation, name: str) -> ProviderView:
    """Show a provider."""
    return await _with_health(db, found(await providers.find(db, name), "provider"), installation)


@routes.post("/v1/providers/{name}/rotate-token", example={"expireOldIn": 3600}, status=200)
async def rotate_token(
    db: Session,
    actor: Actor,
    connected: ProviderClients,
    installation: Installation,
    name: str,
    data: TokenRotationBody = DEFAULT_ROTATION,
) -> ProviderView:
    """Replace a provider's inbound URL; the old one keeps working for `expireOldIn` seconds."""
    stored = await manage_providers.rotate_token(
        db, actor, name, expire_old_in_s=data.expire_old_in, connected=connected
    )
    return await _with_health(db, stored, installation)


@routes.delete("/v1/providers/{name}")
async def delete_provider(db: Session, actor: Actor, connected: ProviderClients, name: str) -> None:
    """Delete a provider; its inbound URL answers 401 from then on."""
    await manage_providers.delete_provider(db, actor, name, connected=connected)


def _name_of(stored: StoredProvider | Unreadable) -> str:
    return stored.name


async def _with_health(db: Session, stored: StoredProvider, installation: Installation) -> ProviderView:
    [facts] = await provider_health.facts(db, name=stored.name)
    return _view(stored, installation, provider_health_of(facts, now=installation.clock()))


def _view(stored: StoredProvider, installation: Installation, health: ProviderHealth) -> ProviderView:
    below = f"{installation.public_url}/providers/{stored.name}"
    return view_of(
        ProviderView,
        stored,
        credentials_set=sorted(stored.credentials),
        inbound_url=f"{below}/{stored.token}",
        old_inbound_url=f"{below}/{stored.old_token}" if stored.old_token else None,
        old_inbound_url_expires_at=timestamp_or_none(stored.old_token_until),
        health=_health(health),
    )


def _health(health: ProviderHealth) -> ProviderHealthView:
    facts = health.facts
    return ProviderHealthView(
        state=health.state,
        since=timestamp_or_none(health.since),
        last_heard_at=timestamp_or_none(facts.last_at),
        received=facts.received,
        invalid=facts.invalid,
        unmatched=facts.unmatched,
        backlog=facts.backlog,
        not_understood=facts.doubts,
    )


MAX_TRIED = 500


class DryRunBody(Struct, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """A document, as TOML or object, and how many recent notifications to try it on."""

    document: str | dict[str, Any] | None = None
    last: Annotated[int, Meta(ge=1, le=MAX_TRIED)] = 100


STORED_DOCUMENT = DryRunBody()


class OutcomeView(Struct, rename="camel", kw_only=True, omit_defaults=True):
    """What a notification becomes: updates with the names of the document's `set`, volumes in bytes."""

    outcome: str
    updates: list[dict[str, Any]] = []
    order: dict[str, str] | None = None
    low_balance: str | None = None
    doubts: list[str] = []
    detail: str | None = None


class TriedView(Struct, rename="camel", kw_only=True):
    """One notification: `outcome` as in the journal, `before` with the stored document, `after` with the new one."""

    notification: str
    received_at: str
    kind: str | None
    outcome: UpdateOutcome
    same: bool
    before: OutcomeView
    after: OutcomeView


class DryRunView(Struct, rename="camel", kw_only=True):
    """How many notifications were tried, how many changed, and each of them, newest first."""

    tried: int
    changed: int
    notifications: list[TriedView]


class DocumentView(Struct, rename="camel", kw_only=True):
    """One version of a document; `difference` is a unified diff against the previous version."""

    version: int
    created_at: str
    document: str
    difference: str


@routes.get("/v1/providers/{name}/documents")
async def list_documents(db: Session, name: str, limit: Limit = 25, cursor: NameCursor = None) -> Listed[DocumentView]:
    """List the versions of a provider's document and their changes, newest first."""
    rows = await manage_providers.versions(db, name, before=_version_of(cursor), limit=limit + 1)
    views = [
        DocumentView(
            version=row.version, created_at=timestamp(row.created_at), document=row.document, difference=difference
        )
        for row, difference in rows[:limit]
    ]
    return Listed(views, str(views[-1].version) if len(rows) > limit else None)


@routes.post("/v1/providers/{name}/dry-run", example={"document": 'name = "Acme"', "last": 20}, status=200)
async def try_document(
    db: Session, connected: ProviderClients, name: str, data: DryRunBody = STORED_DOCUMENT
) -> DryRunView:
    """Try a document on a provider's recent notifications before storing it; nothing is changed."""
    tried = await manage_providers.dry_run(db, name, data.document, last=data.last, connected=connected)
    return DryRunView(
        tried=len(tried), changed=sum(not one.same for one in tried), notifications=[_tried_view(one) for one in tried]
    )


def _version_of(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 10):
        raise Refused.invalid("query:cursor", "expected the nextCursor of a previous page")
    return int(cursor)


def _tried_view(one: manage_providers.Tried) -> TriedView:
    return view_of(
        TriedView, one, notification=Prefix.NOTIFICATION, before=_outcome(one.before), after=_outcome(one.after)
    )


def _outcome(outcome: Outcome) -> OutcomeView:
    return view_of(OutcomeView, outcome, updates=[dict(update) for update in outcome.updates])
