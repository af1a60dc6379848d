"""eSIMs: `/v1/esims`, for merchants and for operators who name an account."""

from msgspec import Struct

from esimhooks.server.api.access import BY_KEY
from esimhooks.server.api.context import Context
from esimhooks.server.api.events import EventView, event_view
from esimhooks.server.api.lists import Cursor, Limit, Listed, listed, window
from esimhooks.server.api.router import Routes
from esimhooks.server.domain.change import UpdateOutcome
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.esim import EsimFilter
from esimhooks.server.domain.event import EventFilter
from esimhooks.server.domain.ids import Prefix, parse_id, text_of
from esimhooks.server.domain.wire import esim_data
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
    context: Context,
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
    rows = await context.tenant.esims(tenant, where, window(limit, cursor))
    now = context.clock()
    return listed(rows, limit, lambda esim: esim_data(esim, now=now), lambda esim: esim.id)


@routes.get("/v1/esims/{esim_id}")
async def show_esim(context: Context, tenant: Tenant, esim_id: str) -> EsimData:
    """Show an eSIM."""
    return esim_data(await context.tenant.esim(tenant, parse_id(Prefix.ESIM, esim_id)), now=context.clock())


@routes.get("/v1/esims/{esim_id}/events")
async def list_events_of_esim(
    context: Context, tenant: Tenant, esim_id: str, limit: Limit = 25, cursor: Cursor = None
) -> Listed[EventView]:
    """List an eSIM's events."""
    esim = await context.tenant.esim(tenant, parse_id(Prefix.ESIM, esim_id))
    rows = await context.tenant.events(tenant, EventFilter(esim_id=esim.id), window(limit, cursor))
    return listed(rows, limit, event_view, lambda event: event.id)


@routes.post("/v1/esims/{esim_id}/requery", status=200)
async def requery(context: Context, tenant: Tenant, esim_id: str) -> RequeryView:
    """Read the eSIM anew from its provider and raise `esim.requeried`."""
    esim = await context.tenant.esim(tenant, parse_id(Prefix.ESIM, esim_id))
    absorbed = await context.requery.requery(esim)
    after = await context.tenant.esim(tenant, esim.id)
    return RequeryView(
        absorbed.outcome,
        [text_of(Prefix.EVENT, event_id) for event_id in absorbed.event_ids],
        esim_data(after, now=context.clock()),
    )
