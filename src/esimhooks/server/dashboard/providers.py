"""Providers for operators: how each does, when it was last heard, what waits, what was not understood, what comes in."""

from datetime import datetime, timedelta

from esimhooks.server.api.http import Request, Response
from esimhooks.server.api.router import Routes
from esimhooks.server.dashboard.access import BY_SESSION
from esimhooks.server.dashboard.charts import series_of
from esimhooks.server.dashboard.render import live_page, page
from esimhooks.server.dashboard.session_user import operator_of
from esimhooks.server.domain.change import UpdateOutcome
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.ids import first_id_of
from esimhooks.server.domain.provider import provider_health_of
from esimhooks.server.store import provider_health, stats
from esimhooks.server.store.database import Session

SPAN = timedelta(hours=24)
STEPS = 48

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
