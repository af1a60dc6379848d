"""Documents of providers: their versions with what changed, and a new one tried on what came in before it is put.

Nothing is written by a dry run: each journaled notification is read once by the provider as it is stored and once by the
document that is tried.
"""

import difflib
from collections.abc import Sequence
from datetime import datetime
from itertools import zip_longest
from uuid import UUID

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from esimhooks.server.domain.change import UpdateOutcome
from esimhooks.server.domain.lists import Unreadable, found
from esimhooks.server.domain.notification import InboundRequest, JournalFilter
from esimhooks.server.domain.provider import StoredProvider
from esimhooks.server.ingest.provider_clients import ProviderClients
from esimhooks.server.providers.mapping.examples import Outcome, outcome_of_notification
from esimhooks.server.providers.mapping.shipped import shipped_documents
from esimhooks.server.providers.port import Provider, Unparsable
from esimhooks.server.store import journal_lists, provider_documents, providers
from esimhooks.server.store.database import Session
from esimhooks.server.store.provider_documents import DocumentVersion


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


def text_of(document: object) -> str:
    """Return a document as its versions show it: TOML as it was written, an object as indented JSON."""
    if isinstance(document, str):
        return document
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n"


async def keep_version(db: Session, provider: StoredProvider) -> None:
    """Keep the provider's document as a version where it changed; a provider without one has none."""
    document = provider.settings.get("document")
    if document is not None:
        await provider_documents.add(db, provider.name, text_of(document))


async def versions(db: Session, name: str, *, before: int | None, limit: int) -> Sequence[tuple[DocumentVersion, str]]:
    """Return versions, the newest first, each with what changed since the one before. Raises `Refused` (404)."""
    found(await providers.find(db, name), "provider")
    rows = await provider_documents.page(db, name, before=before, limit=limit + 1)
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
