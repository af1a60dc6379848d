"""The first page: what happened over time, how long it took, what is due and what fails. Asks for itself again."""

from datetime import datetime, timedelta

from esimhooks.server.api.http import Request, Response
from esimhooks.server.api.installation import Installation
from esimhooks.server.api.router import Routes
from esimhooks.server.dashboard import query_params
from esimhooks.server.dashboard.access import BY_SESSION
from esimhooks.server.dashboard.charts import by_status, series_of
from esimhooks.server.dashboard.render import page
from esimhooks.server.dashboard.session_user import session_user_of
from esimhooks.server.dashboard.system import system_of
from esimhooks.server.domain.provider import ProviderHealth, provider_health_of
from esimhooks.server.domain.stats import RETRYING, Overview
from esimhooks.server.manage import overview as manage_overview
from esimhooks.server.store import accounts, provider_health, stats
from esimhooks.server.store.database import Session
from esimhooks.server.store.health import MAX_WAITING

SPANS = {"1h": timedelta(hours=1), "24h": timedelta(hours=24), "7d": timedelta(days=7)}


routes = Routes(BY_SESSION)


@routes.get("/")
async def overview(request: Request, db: Session, now: datetime, installation: Installation) -> Response:
    """Show the overview."""
    return await _show(request, db, now, installation, "overview.html")


@routes.get("/overview/figures")
async def overview_stats(request: Request, db: Session, now: datetime, installation: Installation) -> Response:
    """Show the part of the overview that changes."""
    return await _show(request, db, now, installation, "overview_figures.html")


async def _show(request: Request, db: Session, now: datetime, installation: Installation, template: str) -> Response:
    user = session_user_of(request)
    name = query_params.one_of(request, "span", SPANS) or "24h"
    show_all = query_params.one_of(request, "troubles", ("all",))
    limit = manage_overview.MAX_UNHEALTHY if show_all else manage_overview.FIRST_UNHEALTHY
    overview = await manage_overview.overview(db, user.tenant, span=SPANS[name], now=now, max_unhealthy=limit)
    waiting = [one.health.facts.waiting for one in overview.unhealthy]
    empty = user.operator and not await accounts.page(db, before=None, limit=1)
    values: dict[str, object] = {
        "title": "Overview",
        "figures": overview,
        "spans": list(SPANS),
        "span": name,
        "now": now,
        "no_accounts": empty,
        "steps": await stats.first_steps(db, user.tenant) if user.tenant else None,
        "providers": [] if user.tenant else await _unhealthy_providers(db, now),
        "system_problems": [] if user.tenant else (await system_of(db, installation)).problems,
        "troubles": show_all,
        "max_troubles": manage_overview.MAX_UNHEALTHY,
        "waiting": sum(min(number, MAX_WAITING) for number in waiting),
        "waits_more": any(number > MAX_WAITING for number in waiting),
        "owners": len({one.tenant for one in overview.unhealthy}),
    }
    return page(template, user, values | _counts(overview))


async def _unhealthy_providers(db: Session, now: datetime) -> list[ProviderHealth]:
    health = [provider_health_of(one, now=now) for one in await provider_health.facts(db)]
    return [one for one in health if one.needs_attention]


def _counts(found: Overview) -> dict[str, object]:
    lines = by_status(found.edges, found.deliveries)
    events = [0] * len(found.edges)
    for one in found.events:
        events[one.bucket] += one.number
    totals = {status: sum(numbers) for status, numbers in lines.items()}
    judged = totals["delivered"] + totals["failed"] + totals["stopped"] + totals[RETRYING]
    return {
        "totals": totals,
        "events_total": sum(events),
        "success": None if not judged else 100 * totals["delivered"] / judged,
        "series": series_of(found.edges, [events, *lines.values()]),
        "labels": ["events", *lines],
    }
