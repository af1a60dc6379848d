"""A provider's document for operators: its versions with what changed, and another one tried on what came in."""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct

from esimhooks.server.api.http import Request, Response
from esimhooks.server.api.router import Routes
from esimhooks.server.dashboard.access import BY_SESSION
from esimhooks.server.dashboard.render import page
from esimhooks.server.dashboard.session_user import form_of, operator_of
from esimhooks.server.domain.errors import FieldError, Refused
from esimhooks.server.ingest.provider_clients import ProviderClients
from esimhooks.server.manage import providers
from esimhooks.server.manage.providers import Tried
from esimhooks.server.providers.mapping.document import MAX_DOCUMENT_BYTES
from esimhooks.server.store.database import Session

SHOWN_VERSIONS = 20
TRIED = 100


class Trial(Struct, frozen=True, kw_only=True):
    """A document that is tried, what the newest notifications become by it, and what is wrong with it."""

    document: str
    tried: Sequence[Tried] | None = None
    errors: Sequence[FieldError] = ()


routes = Routes(BY_SESSION)


@routes.get("/providers/{name}/document")
async def show_document(request: Request, db: Session, now: datetime, name: str) -> Response:
    """Show the versions of a provider's document."""
    return await _show(request, db, now, name)


@routes.post("/providers/{name}/document")
async def try_document(request: Request, db: Session, clients: ProviderClients, now: datetime, name: str) -> Response:
    """Show what the newest notifications become by another document; nothing is changed."""
    operator_of(request)
    document = (await form_of(request, max_field=MAX_DOCUMENT_BYTES)).get("document", "").replace("\r\n", "\n")
    try:
        tried = await providers.dry_run(db, name, document, last=TRIED, connected=clients)
    except Refused as refused:
        if not refused.errors:
            raise
        return await _show(request, db, now, name, Trial(document=document, errors=refused.errors))
    return await _show(request, db, now, name, Trial(document=document, tried=tried))


async def _show(request: Request, db: Session, now: datetime, name: str, trial: Trial | None = None) -> Response:
    user = operator_of(request)
    versions = await providers.versions(db, name, before=None, limit=SHOWN_VERSIONS)
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
