"""eSIMs: `/v1/esims`, for merchants and for operators who name an account."""

from typing import Annotated

from litestar import Router, get, post
from litestar.params import FromPath, FromQuery, QueryParameter
from msgspec import Struct

from esimhooks.server.api.events import EventView, event_view
from esimhooks.server.api.given import InContext, OfTenant
from esimhooks.server.api.lists import Cursor, Limit, Listed, listed, window
from esimhooks.server.domain.change import UpdateOutcome
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


@get("/")
async def list_esims(
    context: InContext,
    tenant: OfTenant,
    status: FromQuery[EsimStatus | None] = None,
    iccid: FromQuery[str | None] = None,
    transaction_id: Annotated[str | None, QueryParameter(name="transactionId")] = None,
    order_no: Annotated[str | None, QueryParameter(name="orderNo")] = None,
    limit: Limit = 25,
    cursor: Cursor = None,
) -> Listed[EsimData]:
    """List eSIMs."""
    where = EsimFilter(status=status, iccid=iccid, transaction_id=transaction_id, order_no=order_no)
    rows = await context.tenant.esims(tenant, where, window(limit, cursor))
    now = context.clock()
    return listed(rows, limit, lambda esim: esim_data(esim, now=now), lambda esim: esim.id)


@get("/{esim_id:str}")
async def show_esim(context: InContext, tenant: OfTenant, esim_id: FromPath[str]) -> EsimData:
    """Show an eSIM."""
    return esim_data(await context.tenant.esim(tenant, parse_id(Prefix.ESIM, esim_id)), now=context.clock())


@get("/{esim_id:str}/events")
async def list_events_of_esim(
    context: InContext, tenant: OfTenant, esim_id: FromPath[str], limit: Limit = 25, cursor: Cursor = None
) -> Listed[EventView]:
    """List an eSIM's events."""
    esim = await context.tenant.esim(tenant, parse_id(Prefix.ESIM, esim_id))
    rows = await context.tenant.events(tenant, EventFilter(esim_id=esim.id), window(limit, cursor))
    return listed(rows, limit, event_view, lambda event: event.id)


@post("/{esim_id:str}/requery", status_code=200)
async def requery(context: InContext, tenant: OfTenant, esim_id: FromPath[str]) -> RequeryView:
    """Read the eSIM anew from its provider and raise `esim.requeried`."""
    esim = await context.tenant.esim(tenant, parse_id(Prefix.ESIM, esim_id))
    absorbed = await context.requery.requery(esim)
    after = await context.tenant.esim(tenant, esim.id)
    return RequeryView(
        absorbed.outcome,
        [text_of(Prefix.EVENT, event_id) for event_id in absorbed.event_ids],
        esim_data(after, now=context.clock()),
    )


router = Router("/v1/esims", route_handlers=[list_esims, show_esim, list_events_of_esim, requery])
