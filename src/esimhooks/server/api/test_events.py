"""Test events: `POST /v1/test-events` raises any event of a test eSIM, for test keys only."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import Meta, Struct

from esimhooks.server.api.access import BY_KEY
from esimhooks.server.api.installation import Installation
from esimhooks.server.api.router import Routes
from esimhooks.server.domain.audit import Actor
from esimhooks.server.domain.emit import EmitPolicy
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.ids import Prefix, parse_id, text_of
from esimhooks.server.manage import test_events as manage_test_events
from esimhooks.server.manage.test_events import Value
from esimhooks.server.store.database import Session
from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.statuses import Mode


class TestEventBody(Struct, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """Which event, of a test eSIM that is made for it, or of `esim`, one of the account's.

    `data` are fields of the eSIM as they are after the event; the others follow by the rules.
    """

    __test__ = False

    event: EventType
    esim: Annotated[str, Meta(max_length=64)] | None = None
    data: dict[str, Value] = {}


class TestEventView(Struct, rename="camel"):
    """The event that was raised."""

    __test__ = False

    id: str
    event: EventType
    mode: Mode


routes = Routes(BY_KEY)


@routes.post("/v1/test-events", example={"event": "esim.activated"})
async def raise_test_event(
    db: Session, actor: Actor, now: datetime, rules: Installation, tenant: Tenant, data: TestEventBody
) -> TestEventView:
    """Raise a test event."""
    if tenant.mode is not Mode.TEST:
        raise Refused.forbidden("test events need a test key (esim_test_...)")
    esim_id = None if data.esim is None else _esim_id(data.esim)
    wanted = manage_test_events.TestEvent(type=data.event, esim_id=esim_id, given=data.data)
    policy = EmitPolicy(thresholds=rules.thresholds)
    event = await manage_test_events.raise_test_event(db, actor, tenant, wanted, policy, now=now)
    return TestEventView(text_of(Prefix.EVENT, event.id), data.event, tenant.mode)


def _esim_id(text: str) -> UUID:
    try:
        return parse_id(Prefix.ESIM, text)
    except Refused:
        raise Refused.invalid("/esim", "expected the id of an eSIM, esim_...") from None
