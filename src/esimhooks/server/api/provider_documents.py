"""Documents of providers, for operators: `/v1/providers/{name}/documents`, and a new one tried on what came in."""

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import Meta, Struct

from esimhooks.server.api.access import BY_KEY
from esimhooks.server.api.lists import Limit, Listed, NameCursor
from esimhooks.server.api.router import Routes
from esimhooks.server.domain.change import UpdateOutcome
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.ids import Prefix, text_of
from esimhooks.server.ingest.provider_clients import ProviderClients
from esimhooks.server.manage import provider_documents
from esimhooks.server.manage.provider_documents import Tried
from esimhooks.server.providers.mapping.examples import Outcome
from esimhooks.server.store.database import Session
from esimhooks.vocabulary.timestamps import timestamp

MAX_TRIED = 500


class DryRunBody(Struct, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """A document, TOML or an object, and how many of the newest notifications it is tried on."""

    document: str | dict[str, Any] | None = None
    last: Annotated[int, Meta(ge=1, le=MAX_TRIED)] = 100


STORED_DOCUMENT = DryRunBody()


class OutcomeView(Struct, rename="camel", kw_only=True, omit_defaults=True):
    """What a notification becomes: updates by the names of the document's `set`, volumes in bytes."""

    outcome: str
    updates: list[dict[str, Any]] = []
    order: dict[str, str] | None = None
    doubts: list[str] = []
    detail: str | None = None


class TriedView(Struct, rename="camel", kw_only=True):
    """One notification: `outcome` is the journal's, `before` what the stored provider makes of it, `after` the document."""

    notification: str
    received_at: str
    kind: str | None
    outcome: UpdateOutcome
    same: bool
    before: OutcomeView
    after: OutcomeView


class DryRunView(Struct, rename="camel", kw_only=True):
    """How many notifications were tried, how many become something else, and each, the newest first."""

    tried: int
    changed: int
    notifications: list[TriedView]


class DocumentView(Struct, rename="camel", kw_only=True):
    """One version of a document; `difference` is what changed since the version before, as a unified diff."""

    version: int
    created_at: str
    document: str
    difference: str


routes = Routes(BY_KEY, operators=True)


@routes.get("/v1/providers/{name}/documents")
async def list_documents(db: Session, name: str, limit: Limit = 25, cursor: NameCursor = None) -> Listed[DocumentView]:
    """List the versions of a provider's document, newest first, each with what changed."""
    rows = await provider_documents.versions(db, name, before=_version_of(cursor), limit=limit + 1)
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
    """Read a provider's newest notifications anew by a document, before it is put; nothing is changed."""
    tried = await provider_documents.dry_run(db, name, data.document, last=data.last, connected=connected)
    return DryRunView(
        tried=len(tried), changed=sum(not one.same for one in tried), notifications=[_tried(one) for one in tried]
    )


def _version_of(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) < 10):
        raise Refused.invalid("query:cursor", "expected `nextCursor` of the list before")
    return int(cursor)


def _tried(one: Tried) -> TriedView:
    return TriedView(
        notification=text_of(Prefix.NOTIFICATION, one.notification_id),
        received_at=timestamp(one.received_at),
        kind=one.kind,
        outcome=one.outcome,
        same=one.same,
        before=_outcome(one.before),
        after=_outcome(one.after),
    )


def _outcome(outcome: Outcome) -> OutcomeView:
    order: Mapping[str, str] | None = outcome.order
    return OutcomeView(
        outcome=outcome.outcome,
        updates=[dict(update) for update in outcome.updates],
        order=None if order is None else dict(order),
        doubts=list(outcome.doubts),
        detail=outcome.detail,
    )
