"""The journal: `/v1/notifications`, for operators."""

import base64

from msgspec import Struct
from msgspec.structs import asdict

from esimhooks.server.api.access import BY_KEY
from esimhooks.server.api.bodies import EsimId, From, NotificationId, To
from esimhooks.server.api.lists import Cursor, Limit, Listed, listed, window
from esimhooks.server.api.router import Routes
from esimhooks.server.api.views import view_of
from esimhooks.server.domain.audit import Actor
from esimhooks.server.domain.change import UpdateOutcome
from esimhooks.server.domain.ids import Prefix, text_of
from esimhooks.server.domain.lists import found
from esimhooks.server.domain.notification import JournalEntry, JournalFilter
from esimhooks.server.manage import providers as manage_journal
from esimhooks.server.store import journal, journal_lists
from esimhooks.server.store.database import Session


class NotificationView(Struct, rename="camel", kw_only=True):
    """A journal entry. `source` is a provider's name, or `updates`."""

    id: str
    source: str
    kind: str | None
    outcome: UpdateOutcome
    detail: str | None
    esim: str | None
    received_at: str


class UpdateResultView(Struct, rename="camel"):
    """The outcome of one update of a notification."""

    outcome: UpdateOutcome
    esim: str | None
    events: list[str]
    detail: str | None


class NotificationWithBody(NotificationView, rename="camel", kw_only=True):
    """A journal entry with the raw request; a body that is not UTF-8 is in base64."""

    method: str
    query: str
    headers: dict[str, str]
    body: str
    body_encoding: str
    results: list[UpdateResultView]


def notification_view(entry: JournalEntry) -> NotificationView:
    """Return a journal entry as lists and traces show it, without what came in."""
    return view_of(NotificationView, entry, id=Prefix.NOTIFICATION, esim=Prefix.ESIM)


routes = Routes(BY_KEY, operators=True)


@routes.get("/v1/notifications")
async def list_notifications(
    db: Session,
    source: str | None = None,
    outcome: UpdateOutcome | None = None,
    esim: EsimId | None = None,
    iccid: str | None = None,
    transaction_id: str | None = None,
    order_no: str | None = None,
    from_: From = None,
    to: To = None,
    limit: Limit = 25,
    cursor: Cursor = None,
) -> Listed[NotificationView]:
    """List journal entries.

    `iccid`, `transactionId` and `orderNo` find what was reported of the eSIMs that have them, and what still waits for one.
    """
    where = JournalFilter(
        source=source,
        outcome=outcome,
        esim_id=esim,
        iccid=iccid,
        transaction_id=transaction_id,
        order_no=order_no,
        first_id=from_,
        last_id=to,
    )
    rows = (await journal_lists.page(db, where, **window(limit, cursor))).rows
    return listed(rows, limit, notification_view, lambda entry: entry.id)


@routes.get("/v1/notifications/{notification_id}")
async def show_notification(db: Session, notification_id: NotificationId) -> NotificationWithBody:
    """Show a journal entry with the raw request."""
    entry = found(await journal.find(db, notification_id), "notification")
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
        results=[
            view_of(
                UpdateResultView,
                one,
                esim=Prefix.ESIM,
                events=[text_of(Prefix.EVENT, event_id) for event_id in one.event_ids],
            )
            for one in entry.results
        ],
    )


@routes.post("/v1/notifications/{notification_id}/replay", status=202)
async def replay(db: Session, actor: Actor, notification_id: NotificationId) -> None:
    """Process a journal entry again, in the background."""
    await manage_journal.replay(db, actor, notification_id)
