"""eSIMs: the list with its filters, and one with its whole story in one column."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
import segno
from markupsafe import Markup

from esimhooks.server.api.http import Request, Response, redirect
from esimhooks.server.api.installation import Installation
from esimhooks.server.api.router import Routes
from esimhooks.server.api.transaction import Begin
from esimhooks.server.dashboard import query_params
from esimhooks.server.dashboard.access import BY_SESSION
from esimhooks.server.dashboard.render import REDACTED, page
from esimhooks.server.dashboard.session_user import require_manager, session_user_of, tenant_of
from esimhooks.server.domain.audit import Actor
from esimhooks.server.domain.credentials import CREDENTIALS
from esimhooks.server.domain.delivery import Delivery
from esimhooks.server.domain.esim import Esim, EsimFilter
from esimhooks.server.domain.event import Event
from esimhooks.server.domain.ids import Prefix, made_at, parse_id, text_of
from esimhooks.server.domain.lists import Unreadable, found
from esimhooks.server.domain.notification import JournalEntry
from esimhooks.server.domain.wire import esim_data
from esimhooks.server.jobs.requery import Requery
from esimhooks.server.manage import overview as manage_overview
from esimhooks.server.store import endpoints, esims
from esimhooks.server.store.database import Database, Session
from esimhooks.vocabulary.statuses import EsimStatus

SEARCHED = ("iccid", "transaction", "order")
FACTS = {
    "iccid": "ICCID",
    "transactionId": "Transaction",
    "orderNo": "Order",
    "esimTranNo": "Number at the provider",
    "smdpStatus": "SM-DP+",
    "imsi": "IMSI",
    "msisdn": "MSISDN",
    "eid": "EID",
    "apn": "APN",
    "activateTime": "Activated",
    "expiredTime": "Expires",
    "lastUsageUpdate": "Usage updated",
}
ALL = 100
"""Percent: the end of the usage bar, which needs no mark."""
HIDDEN_CHANGES = ("lastUsageUpdate", "data_usage_remain")
"""Changes that follow from others or come with every update."""


routes = Routes(BY_SESSION)


@routes.get("/esims")
async def list_esims(request: Request, db: Session, now: datetime) -> Response:
    """List eSIMs."""
    user = session_user_of(request)
    if choice := await query_params.choose_account(request, db, user):
        return choice
    filters = {name: query_params.text(request, name) for name in SEARCHED}
    status = query_params.member(request, "status", EsimStatus)
    where = EsimFilter(
        status=status, iccid=filters["iccid"], transaction_id=filters["transaction"], order_no=filters["order"]
    )
    rows = await esims.page(db, tenant_of(user), where, **query_params.window(request))
    values = {
        "title": "eSIMs",
        "list": query_params.list_part(request, rows, [row.id for row in rows]),
        "filters": filters | {"status": status},
        "statuses": list(EsimStatus),
        "now": now,
    }
    return page("esims.html", user, values)


@routes.get("/esims/{esim_id}")
async def show_esim(request: Request, db: Session, now: datetime, installation: Installation, esim_id: str) -> Response:
    """Show an eSIM with its story."""
    user = session_user_of(request)
    tenant = tenant_of(user)
    esim = found(await esims.find(db, tenant, parse_id(Prefix.ESIM, esim_id)), "eSIM")
    events, deliveries, notifications = await manage_overview.timeline_of(db, tenant, esim.id)
    data = msgspec.to_builtins(esim_data(esim, now=now))
    values = {
        "title": f"eSIM {esim.iccid or esim.transaction_id}",
        "esim": esim,
        "data": data,
        "facts": {label: data[name] for name, label in FACTS.items() if data[name] is not None},
        "used_percent": _used_percent(esim),
        "marks": [mark for mark in installation.thresholds if mark < ALL],
        "story": _story(events, deliveries, notifications),
        "names": await endpoints.names_of(db, tenant, {one.endpoint_id for one in deliveries}),
        "now": now,
    }
    return page("esim.html", user, values)


@routes.get("/esims/{esim_id}/qr")
async def show_qr(request: Request, db: Session, esim_id: str) -> Response:
    """Show the activation code, which is a credential, to who asks for it."""
    user = session_user_of(request)
    require_manager(user)
    esim = found(await esims.find(db, tenant_of(user), parse_id(Prefix.ESIM, esim_id)), "eSIM")
    picture = segno.make(esim.ac).svg_inline(scale=4, omitsize=True) if esim.ac else ""
    return page("qr.html", user, {"ac": esim.ac, "picture": Markup(picture)})  # noqa: S704 - made of squares


@routes.post("/esims/{esim_id}/requery")
async def requery(
    request: Request, database: Database, begin: Begin, requery: Requery, actor: Actor, esim_id: str
) -> Response:
    """Refresh the eSIM from its provider."""
    user = session_user_of(request)
    async with database.session() as db:
        esim = found(await esims.find(db, tenant_of(user), parse_id(Prefix.ESIM, esim_id)), "eSIM")
    answer = await requery.fetch(esim)  # without a connection: it takes as long as the provider wants
    async with begin() as db:
        await requery.apply(db, actor, esim, answer)
    return redirect(user.link(f"/esims/{text_of(Prefix.ESIM, esim.id)}"))


def _used_percent(esim: Esim) -> float | None:
    if not esim.total_bytes or esim.used_bytes is None:
        return None
    return min(100.0, 100 * esim.used_bytes / esim.total_bytes)


def _story(
    events: Sequence[Event | Unreadable],
    deliveries: Sequence[Delivery],
    notifications: Sequence[JournalEntry | Unreadable],
) -> list[dict[str, object]]:
    rows: list[tuple[datetime, int, dict[str, object]]] = []
    for notification in notifications:
        at = made_at(notification.id) if isinstance(notification, Unreadable) else notification.received_at
        rows.append((at, 0, {"kind": "notification", "row": notification}))
    for event in events:
        changes = {} if isinstance(event, Unreadable) else _changes(event.body)
        rows.append((made_at(event.id), 1, {"kind": "event", "row": event, "changes": changes}))
    rows += [(made_at(one.id), 2, {"kind": "delivery", "row": one}) for one in deliveries]
    return [row | {"at": at} for at, _, row in sorted(rows, key=lambda one: one[:2], reverse=True)]


def _changes(body: bytes) -> dict[str, dict[str, object]]:
    """Return what is shown of an event's changes; of credentials only that they changed."""
    changes = msgspec.json.decode(body).get("changes") or {}
    return {
        name: {side: value if name not in CREDENTIALS or value is None else REDACTED for side, value in change.items()}
        for name, change in changes.items()
        if name not in HIDDEN_CHANGES
    }
