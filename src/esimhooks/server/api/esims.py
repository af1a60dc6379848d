"""eSIMs: `/v1/esims`, for merchants and for operators who name an account; activation codes also as QR codes (PNG).

A picture is for who has a key, and at the unguessable address that webhooks carry; nobody on the way may store it.
"""

from datetime import datetime
from io import BytesIO

import segno
from msgspec import Struct
from segno import DataOverflowError

from esimhooks.server.api.access import BY_KEY, OPEN
from esimhooks.server.api.auth import Authenticator
from esimhooks.server.api.bodies import EsimId
from esimhooks.server.api.events import EventView, event_view
from esimhooks.server.api.http import Request, Response
from esimhooks.server.api.lists import Cursor, Limit, Listed, listed, window
from esimhooks.server.api.router import Routes
from esimhooks.server.api.transaction import Begin
from esimhooks.server.domain.audit import Actor
from esimhooks.server.domain.change import UpdateOutcome
from esimhooks.server.domain.credentials import PATH, TOKEN_BYTES, is_own_address
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.esim import Esim, EsimFilter
from esimhooks.server.domain.event import EventFilter
from esimhooks.server.domain.ids import Prefix, text_of
from esimhooks.server.domain.lists import found
from esimhooks.server.domain.wire import esim_data
from esimhooks.server.jobs.requery import Requery
from esimhooks.server.observe.refused import RefusalKind
from esimhooks.server.store import esims, events
from esimhooks.server.store.database import Database, Session
from esimhooks.vocabulary.esim import EsimData
from esimhooks.vocabulary.statuses import EsimStatus


class RequeryView(Struct, rename="camel"):
    """The eSIM after a requery, and the events raised."""

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
async def show_esim(db: Session, now: datetime, tenant: Tenant, esim_id: EsimId) -> EsimData:
    """Show an eSIM."""
    return esim_data(found(await esims.find(db, tenant, esim_id), "eSIM"), now=now)


@routes.get("/v1/esims/{esim_id}/events")
async def list_events_of_esim(
    db: Session, tenant: Tenant, esim_id: EsimId, limit: Limit = 25, cursor: Cursor = None
) -> Listed[EventView]:
    """List an eSIM's events."""
    esim = found(await esims.find(db, tenant, esim_id), "eSIM")
    rows = (await events.page(db, tenant, EventFilter(esim_id=esim.id), **window(limit, cursor))).rows
    return listed(rows, limit, event_view, lambda event: event.id)


@routes.post("/v1/esims/{esim_id}/requery", status=200)
async def requery(
    database: Database, begin: Begin, requery: Requery, actor: Actor, now: datetime, tenant: Tenant, esim_id: EsimId
) -> RequeryView:
    """Refresh the eSIM from its provider and raise `esim.requeried`."""
    async with database.session() as db:
        esim = found(await esims.find(db, tenant, esim_id), "eSIM")
    answer = await requery.fetch(esim)  # without a connection: it takes as long as the provider wants
    async with begin() as db:
        result = await requery.apply(db, actor, esim, answer)
        after = found(await esims.find(db, tenant, esim.id), "eSIM")
    return RequeryView(
        result.outcome,
        [text_of(Prefix.EVENT, event_id) for event_id in result.event_ids],
        esim_data(after, now=now),
    )


PIXELS_PER_SQUARE = 8
MAX_NAME = 2 * TOKEN_BYTES
HEADERS = {
    "cache-control": "private, no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-robots-tag": "noindex",
}


open_routes = Routes(OPEN)


@routes.get("/v1/esims/{esim_id}/qr.png", media_type="image/png")
async def show_qr(db: Session, tenant: Tenant, esim_id: EsimId) -> Response:
    """Show an eSIM's activation code as a QR code (PNG)."""
    return _picture(found(await esims.find(db, tenant, esim_id), "eSIM"))


@open_routes.get(f"{PATH}/{{esim_id}}/{{name}}")
async def show_open_qr(
    request: Request, authenticator: Authenticator, database: Database, esim_id: EsimId, name: str
) -> Response:
    """Show the QR code at its secret URL."""
    throttle, address, credential = authenticator.throttle, authenticator.peer(request), (esim_id, name)
    with throttle.trial(address, credential):
        try:
            async with database.session() as db:
                esim = found(await esims.find_any(db, esim_id), "eSIM")
            if not name.endswith(".png") or len(name) > MAX_NAME or not is_own_address(esim, name.removesuffix(".png")):
                raise Refused.not_found("there is no such eSIM")
        except Refused:
            throttle.note(RefusalKind.PICTURE, address)
            raise
    return _picture(esim)


def _picture(esim: Esim) -> Response:
    if esim.ac is None:
        raise Refused.not_found("the eSIM has no activation code")
    png = BytesIO()
    try:
        segno.make_qr(esim.ac).save(png, kind="png", scale=PIXELS_PER_SQUARE)
    except DataOverflowError:
        raise Refused.not_found("the activation code is too long for a QR code") from None
    return Response(200, png.getvalue(), "image/png", dict(HEADERS))
