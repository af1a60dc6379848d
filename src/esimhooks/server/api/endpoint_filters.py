"""A filter is tried before it is saved: `/v1/endpoints/test-filter` says which of the newest events it lets through."""

from typing import Annotated

from msgspec import Meta, Struct

from esimhooks.server.api.access import BY_KEY
from esimhooks.server.api.router import Routes
from esimhooks.server.domain.endpoint import FilterText, Tenant
from esimhooks.server.domain.endpoint_rules import EventBody, gets, require_filter
from esimhooks.server.domain.event import EventFilter
from esimhooks.server.domain.ids import Prefix, text_of, text_or_none
from esimhooks.server.domain.lists import partition
from esimhooks.server.domain.validation import Text
from esimhooks.server.store import events
from esimhooks.server.store.database import Session
from esimhooks.vocabulary.timestamps import timestamp

MOST_EVENTS = 100


class FilterTestBody(Struct, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """A filter, and the event types that stand beside it; `last` is how many of the newest events are looked at."""

    filter: FilterText
    event_types: Annotated[list[Text], Meta(min_length=1, max_length=20)] | None = None
    last: Annotated[int, Meta(ge=1, le=MOST_EVENTS)] = MOST_EVENTS


class FilteredEventView(Struct, rename="camel", kw_only=True):
    """One event, and whether an endpoint with this filter would get it."""

    id: str
    event: str
    esim: str | None
    timestamp: str
    passes: bool


class FilterTestView(Struct, rename="camel", kw_only=True):
    """How many of the newest events would pass, and each of them, newest first."""

    tested: int
    passing: int
    events: list[FilteredEventView]


routes = Routes(BY_KEY)


@routes.post(
    "/v1/endpoints/test-filter", example={"filter": "newStatus == 'EXPIRED' || contains(thresholds, `90`)"}, status=200
)
async def test_filter(db: Session, tenant: Tenant, data: FilterTestBody) -> FilterTestView:
    """Try a filter on the account's newest events; nothing is sent or changed."""
    require_filter(data.filter)
    rows = (await events.page(db, tenant, EventFilter(), before=None, limit=data.last)).rows
    readable, _ = partition(rows)
    views = [
        FilteredEventView(
            id=text_of(Prefix.EVENT, one.id),
            event=one.type.value,
            esim=text_or_none(Prefix.ESIM, one.esim_id),
            timestamp=timestamp(one.happened_at),
            passes=gets(data.event_types, data.filter, one.type, EventBody(one.body)),
        )
        for one in readable
    ]
    return FilterTestView(tested=len(views), passing=sum(one.passes for one in views), events=views)
