"""The journal: `/v1/notifications`, for operators."""

import base64
from typing import Annotated

from litestar import Router, get, post
from litestar.params import FromPath, FromQuery, QueryParameter
from msgspec import Struct
from msgspec.structs import asdict

from esimhooks.server.api.given import ByOperator, InContext
from esimhooks.server.api.lists import Cursor, From, Limit, Listed, To, id_from, id_of, listed, window
from esimhooks.server.domain.change import UpdateOutcome
from esimhooks.server.domain.ids import Prefix, parse_id, text_of, text_or_none
from esimhooks.server.domain.notification import JournalEntry, JournalFilter
from esimhooks.vocabulary.timestamps import timestamp


class NotificationView(Struct, rename="camel", kw_only=True):
    """A journal entry as it is listed. `source` is a provider's name, or `updates`."""

    id: str
    source: str
    kind: str | None
    outcome: UpdateOutcome
    detail: str | None
    esim: str | None
    received_at: str


class NotificationWithBody(NotificationView, rename="camel", kw_only=True):
    """A journal entry with what came in; a body that is no UTF-8 is shown as base64."""

    method: str
    query: str
    headers: dict[str, str]
    body: str
    body_encoding: str


def notification_view(entry: JournalEntry) -> NotificationView:
    """Return a journal entry as lists and traces show it, without what came in."""
    return NotificationView(
        id=text_of(Prefix.NOTIFICATION, entry.id),
        source=entry.source,
        kind=entry.kind,
        outcome=entry.outcome,
        detail=entry.detail,
        esim=text_or_none(Prefix.ESIM, entry.esim_id),
        received_at=timestamp(entry.received_at),
    )


@get("/")
async def list_notifications(
    context: InContext,
    operator: ByOperator,
    source: FromQuery[str | None] = None,
    outcome: FromQuery[UpdateOutcome | None] = None,
    esim: FromQuery[str | None] = None,
    iccid: FromQuery[str | None] = None,
    transaction_id: Annotated[str | None, QueryParameter(name="transactionId")] = None,
    order_no: Annotated[str | None, QueryParameter(name="orderNo")] = None,
    start: From = None,
    end: To = None,
    limit: Limit = 25,
    cursor: Cursor = None,
) -> Listed[NotificationView]:
    """List journal entries.

    `iccid`, `transactionId` and `orderNo` find what was told of the eSIMs that have them, and what still waits for one.
    """
    where = JournalFilter(
        source=source,
        outcome=outcome,
        esim_id=id_of("esim", Prefix.ESIM, esim),
        iccid=iccid,
        transaction_id=transaction_id,
        order_no=order_no,
        first_id=id_from("from", start),
        last_id=id_from("to", end),
    )
    rows = await context.operator.notifications(where, window(limit, cursor))
    return listed(rows, limit, notification_view, lambda entry: entry.id)


@get("/{notification_id:str}")
async def show_notification(
    context: InContext, operator: ByOperator, notification_id: FromPath[str]
) -> NotificationWithBody:
    """Show a journal entry with what came in."""
    entry = await context.operator.notification(parse_id(Prefix.NOTIFICATION, notification_id))
    view = notification_view(entry)
    try:
        body, encoding = entry.request.body.decode(), "utf-8"
    except UnicodeDecodeError:
        body, encoding = base64.b64encode(entry.request.body).decode(), "base64"
    return NotificationWithBody(
        **asdict(view),
        method=entry.request.method,
        query=entry.request.query,
        headers=dict(entry.request.headers),
        body=body,
        body_encoding=encoding,
    )


@post("/{notification_id:str}/replay", status_code=202)
async def replay(context: InContext, operator: ByOperator, notification_id: FromPath[str]) -> None:
    """Look at a journal entry again, in the background."""
    await context.replay.replay(parse_id(Prefix.NOTIFICATION, notification_id))


router = Router("/v1/notifications", route_handlers=[list_notifications, show_notification, replay])
