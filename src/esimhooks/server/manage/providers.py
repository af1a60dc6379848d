"""Providers as operators manage them: stored and deleted, versions of their documents, a new one tried, an entry replayed.

Each command runs in the transaction that it is given.
"""

import asyncio
import difflib
import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import zip_longest
from uuid import UUID

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from esimhooks.server.domain.audit import Action, Actor, ChangedField, changes, provider_fields
from esimhooks.server.domain.change import UpdateOutcome
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.lists import Unreadable, found
from esimhooks.server.domain.notification import InboundRequest, JournalEntry, JournalFilter
from esimhooks.server.domain.provider import StoredProvider
from esimhooks.server.ingest.provider_clients import ProviderClients
from esimhooks.server.providers.mapping.check import shipped_documents
from esimhooks.server.providers.mapping.examples import Outcome, outcome_of_notification
from esimhooks.server.providers.port import Provider, Unparsable
from esimhooks.server.store import journal, journal_lists, providers
from esimhooks.server.store.audit import record_action
from esimhooks.server.store.database import Session
from esimhooks.server.store.providers import DocumentVersion


class Tried(Struct, frozen=True, kw_only=True):
    """What one notification becomes by the stored provider and by the document that is tried; `outcome` is the journal's."""

    notification_id: UUID
    received_at: datetime
    kind: str | None
    outcome: UpdateOutcome
    before: Outcome
    after: Outcome

    @property
    def same(self) -> bool:
        """Whether the document changes nothing about it."""
        return self.before == self.after


def document_text(document: object) -> str:
    """Return a document as its versions show it: TOML as it was written, an object as indented JSON."""
    if isinstance(document, str):
        return document
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


async def keep_version(db: Session, provider: StoredProvider) -> None:
    """Keep the provider's document as a version where it changed; a provider without one has none."""
    document = provider.settings.get("document")
    if document is not None:
        await providers.add_document(db, provider.name, document_text(document))


async def versions(db: Session, name: str, *, before: int | None, limit: int) -> Sequence[tuple[DocumentVersion, str]]:
    """Return versions, the newest first, each with what changed since the one before. Raises `Refused` (404)."""
    found(await providers.find(db, name), "provider")
    rows = await providers.documents(db, name, before=before, limit=limit + 1)
    pairs = zip_longest(rows, rows[1:])
    return [(row, _difference(older, row)) for row, older in pairs][:limit]


async def dry_run(
    db: Session, name: str, document: object, *, last: int, connected: ProviderClients
) -> Sequence[Tried]:
    """Return what the provider's newest notifications become by a document, or by the stored one for None.

    Raises `Refused` (404), and (422) with pointers where the document is wrong.
    """
    stored = found(await providers.find(db, name), "provider")
    current = connected.build(stored)
    kind = stored.kind if stored.kind in shipped_documents() else "mapping"
    settings = {"document": document}
    tried = replace(stored, kind=kind, base_url=None, credentials={}, settings=settings)
    candidate = current if document is None else connected.build(tried)
    entries = (await journal_lists.page(db, JournalFilter(source=name), before=None, limit=last)).rows
    return await asyncio.to_thread(_try, entries, current, candidate)  # notifications go on being taken meanwhile


def _try(entries: Sequence[JournalEntry | Unreadable], current: Provider, candidate: Provider) -> Sequence[Tried]:
    return [
        Tried(
            notification_id=entry.id,
            received_at=entry.received_at,
            kind=entry.kind,
            outcome=entry.outcome,
            before=_read(current, entry.request),
            after=_read(candidate, entry.request),
        )
        for entry in entries
        if not isinstance(entry, Unreadable)
    ]


def _read(provider: Provider, request: InboundRequest) -> Outcome:
    try:
        return outcome_of_notification(provider.parse(request))
    except Unparsable as error:
        return Outcome(outcome="invalid", detail=str(error))


def _difference(older: DocumentVersion | None, newer: DocumentVersion) -> str:
    if older is None:
        return ""
    compared = difflib.unified_diff(
        older.document.splitlines(),
        newer.document.splitlines(),
        f"version {older.version}",
        f"version {newer.version}",
        lineterm="",
    )
    return "\n".join(compared)


TOKEN_BYTES = 32


class NewProvider(Struct, frozen=True, kw_only=True):
    """What an operator says of a provider."""

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
    db.after_commit(lambda: connected.invalidate(new.name))
    return kept


async def rotate_token(
    db: Session, actor: Actor, name: str, *, expire_old_in_s: int, connected: ProviderClients
) -> StoredProvider:
    """Give a provider another inbound address; the old one still works for a while.

    Raises `Refused` (404, or 409 while an old one still works and would end early).
    """
    if not await providers.lock(db, name):
        raise Refused.not_found("there is no such provider")
    before = found(await providers.find(db, name), "provider")
    if before.old_token is not None and expire_old_in_s > 0:
        raise Refused.conflict(
            "an old URL of this provider still works: wait until it expires, or replace both with expireOldIn 0"
        )
    await providers.rotate_token(db, before, secrets.token_urlsafe(TOKEN_BYTES), expire_old_in_s=expire_old_in_s)
    overlap = {"expireOldIn": ChangedField(None, expire_old_in_s)}
    await record_action(db, actor, Action.PROVIDER_ROTATE, name, owner=None, changes=overlap)
    db.after_commit(lambda: connected.invalidate(name))
    return found(await providers.find(db, name), "provider")


async def delete_provider(db: Session, actor: Actor, name: str, *, connected: ProviderClients) -> None:
    """Delete a provider. Raises `Refused` (404)."""
    if not await providers.delete(db, name):
        raise Refused.not_found("there is no such provider")
    await record_action(db, actor, Action.PROVIDER_DELETE, name, owner=None)
    db.after_commit(lambda: connected.invalidate(name))


async def replay(db: Session, actor: Actor, notification_id: UUID) -> None:
    """Put the notification back on the backlog. Raises `Refused` (404)."""
    entry = found(await journal.find(db, notification_id), "notification")
    await journal.reopen(db, entry)
    await record_action(db, actor, Action.NOTIFICATION_REPLAY, entry.id, owner=entry.tenant)
