"""Providers for operators: how each does, when it was last heard, what waits, what was not understood, what comes in.

Of one with a document also its versions with what changed, and another document tried on what came in.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from esimhooks.server.api.http import Request, Response
from esimhooks.server.api.router import Routes
from esimhooks.server.dashboard.access import BY_SESSION
from esimhooks.server.dashboard.charts import series_of
from esimhooks.server.dashboard.render import live_page, page
from esimhooks.server.dashboard.session_user import form_of, operator_of
from esimhooks.server.domain.change import UpdateOutcome
from esimhooks.server.domain.errors import FieldError, Refused
from esimhooks.server.domain.ids import first_id_of
from esimhooks.server.domain.provider import provider_health_of
from esimhooks.server.ingest.provider_clients import ProviderClients
from esimhooks.server.manage import providers as manage_providers
from esimhooks.server.manage.providers import Tried
from esimhooks.server.providers.mapping.document import MAX_DOCUMENT_BYTES
from esimhooks.server.store import provider_health, stats
from esimhooks.server.store.database import Session

SPAN = timedelta(hours=24)
STEPS = 48
SHOWN_VERSIONS = 20
TRIED = 100


class Trial(Struct, frozen=True, kw_only=True):
    """A document that is tried, what the newest notifications become by it, and what is wrong with it."""

    document: str
    tried: Sequence[Tried] | None = None
    errors: Sequence[FieldError] = ()


routes = Routes(BY_SESSION)


@routes.get("/providers")
async def list_providers(request: Request, db: Session, now: datetime) -> Response:
    """List providers with how they do."""
    user = operator_of(request)
    found = [provider_health_of(one, now=now) for one in await provider_health.facts(db)]
    return page("providers.html", user, {"title": "Providers", "providers": found, "now": now})


@routes.get("/providers/{name}/health")
async def show_provider(request: Request, db: Session, now: datetime, name: str) -> Response:
    """Show a provider's last 24 hours; a refresh gets the parts that change."""
    user = operator_of(request)
    found = await provider_health.facts(db, name=name)
    if not found:
        raise Refused.not_found("there is no such provider")
    edges = stats.edges_of(now, width=SPAN / STEPS, number=STEPS)
    counts = await provider_health.received_by_time(db, name, [first_id_of(edge) for edge in edges])
    lines = {outcome.value: [0] * STEPS for outcome in UpdateOutcome}
    for one in counts:
        lines[one.status][one.bucket] += one.number
    seen = {outcome: line for outcome, line in lines.items() if any(line)} or {UpdateOutcome.APPLIED.value: [0] * STEPS}
    values = {
        "title": name,
        "health": provider_health_of(found[0], now=now),
        "series": series_of(edges, list(seen.values())),
        "labels": list(seen),
        "totals": {outcome: sum(line) for outcome, line in seen.items()},
        "doubts": await provider_health.doubts_of(db, name),
        "now": now,
    }
    return live_page(request, "provider", user, values)


@routes.get("/providers/{name}/document")
async def show_document(request: Request, db: Session, now: datetime, name: str) -> Response:
    """Show the versions of a provider's document."""
    return await _show_document(request, db, now, name)


@routes.post("/providers/{name}/document")
async def try_document(request: Request, db: Session, clients: ProviderClients, now: datetime, name: str) -> Response:
    """Show what the newest notifications become by another document; nothing is changed."""
    operator_of(request)
    document = (await form_of(request, max_field=MAX_DOCUMENT_BYTES)).get("document", "").replace("\r\n", "\n")
    try:
        tried = await manage_providers.dry_run(db, name, document, last=TRIED, connected=clients)
    except Refused as refused:
        if not refused.errors:
            raise
        return await _show_document(request, db, now, name, Trial(document=document, errors=refused.errors))
    return await _show_document(request, db, now, name, Trial(document=document, tried=tried))


async def _show_document(
    request: Request, db: Session, now: datetime, name: str, trial: Trial | None = None
) -> Response:
    user = operator_of(request)
    versions = await manage_providers.versions(db, name, before=None, limit=SHOWN_VERSIONS)
    trial = trial or Trial(document=versions[0][0].document if versions else "")
    values = {
        "title": f"Document of {name}",
        "name": name,
        "versions": versions,
        "document": trial.document,
        "tried": trial.tried,
        "errors": trial.errors,
        "most": TRIED,
        "now": now,
    }
    return page("provider_document.html", user, values)
