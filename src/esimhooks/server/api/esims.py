"""eSIMs: `/v1/esims`, for merchants and for operators who name an account."""

from datetime import datetime

from msgspec import Struct

from esimhooks.server.api.access import BY_KEY
from esimhooks.server.api.events import EventView, event_view
from esimhooks.server.api.lists import Cursor, Limit, Listed, listed, window
from esimhooks.server.api.router import Routes
from esimhooks.server.api.transaction import Begin
from esimhooks.server.domain.audit import Actor
from esimhooks.server.domain.change import UpdateOutcome
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.esim import EsimFilter
from esimhooks.server.domain.event import EventFilter
from esimhooks.server.domain.ids import Prefix, parse_id, text_of
from esimhooks.server.domain.lists import found
from esimhooks.server.domain.wire import esim_data
from esimhooks.server.jobs.requery import Requery
from esimhooks.server.store import esims, events
from esimhooks.server.store.database import Database, Session
from esimhooks.vocabulary.esim import EsimData
from esimhooks.vocabulary.statuses import EsimStatus


class RequeryView(Struct, rename="camel"):
    """What a requery brought: the eSIM as it is now, and the events raised."""

    outcome: UpdateOutcome
    events: list[str]
    esim: EsimData


routes = Routes(BY_KEY)


@routes.get("/v1/esims")
async def list_esims(
    db: Session,
    now: datetime,
    tenant: Tenant,
    status: EsimStatus | None = None,
    iccid: str | None = None,
    transaction_id: str | None = None,
    order_no: str | None = None,
    limit: Limit = 25,
    cursor: Cursor = None,
) -> Listed[EsimData]:
    """List eSIMs."""
    where = EsimFilter(status=status, iccid=iccid, transaction_id=transaction_id, order_no=order_no)
    rows = await esims.page(db, tenant, where, **window(limit, cursor))
    return listed(rows, limit, lambda esim: esim_data(esim, now=now), lambda esim: esim.id)


@routes.get("/v1/esims/{esim_id}")
async def show_esim(db: Session, now: datetime, tenant: Tenant, esim_id: str) -> EsimData:
    """Show an eSIM."""
    return esim_data(found(await esims.find(db, tenant, parse_id(Prefix.ESIM, esim_id)), "eSIM"), now=now)


@routes.get("/v1/esims/{esim_id}/events")
async def list_events_of_esim(
    db: Session, tenant: Tenant, esim_id: str, limit: Limit = 25, cursor: Cursor = None
) -> Listed[EventView]:
    """List an eSIM's events."""
    esim = found(await esims.find(db, tenant, parse_id(Prefix.ESIM, esim_id)), "eSIM")
    rows = (await events.page(db, tenant, EventFilter(esim_id=esim.id), **window(limit, cursor))).rows
    return listed(rows, limit, event_view, lambda event: event.id)


@routes.post("/v1/esims/{esim_id}/requery", status=200)
async def requery(
    database: Database, begin: Begin, requery: Requery, actor: Actor, now: datetime, tenant: Tenant, esim_id: str
) -> RequeryView:
    """Read the eSIM anew from its provider and raise `esim.requeried`."""
    async with database.session() as db:
        esim = found(await esims.find(db, tenant, parse_id(Prefix.ESIM, esim_id)), "eSIM")
    told = await requery.ask(esim)  # without a connection: it takes as long as the provider wants
    async with begin() as db:
        absorbed = await requery.apply(db, actor, esim, told)
        after = found(await esims.find(db, tenant, esim.id), "eSIM")
    return RequeryView(
        absorbed.outcome,
        [text_of(Prefix.EVENT, event_id) for event_id in absorbed.event_ids],
        esim_data(after, now=now),
    )
