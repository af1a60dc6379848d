"""Test events: `POST /v1/test-events` raises any event from its example, for test keys only."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from esimhooks.server.api.access import BY_KEY
from esimhooks.server.api.router import Routes
from esimhooks.server.domain.audit import Actor
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.errors import Refused
from esimhooks.server.domain.ids import Prefix, parse_id, text_of
from esimhooks.server.domain.validation import convert, escaped
from esimhooks.server.manage import deliveries as manage_deliveries
from esimhooks.server.manage.lists import found
from esimhooks.server.store import esims
from esimhooks.server.store.database import Session
from esimhooks.vocabulary.envelope import Envelope
from esimhooks.vocabulary.esim import EsimData
from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.examples import example_of
from esimhooks.vocabulary.statuses import Mode

Value = str | int | float | None


class TestEventBody(Struct, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """Which event; `data` overwrites fields of the example, `esim` makes it speak of one of the account's eSIMs."""

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
    db: Session, actor: Actor, now: datetime, tenant: Tenant, data: TestEventBody
) -> TestEventView:
    """Raise a test event."""
    if tenant.mode is not Mode.TEST:
        raise Refused.forbidden("test events need a test key (esim_test_...)")
    esim_id = None
    example = example_of(data.event)
    if data.esim is not None:
        esim_id = (found(await esims.find(db, tenant, _esim_id(data.esim)), "eSIM")).id
        example = msgspec.structs.replace(example, data=msgspec.structs.replace(example.data, id=data.esim))
    event = await manage_deliveries.raise_event(
        db, actor, tenant, _with_data(example, data.data), esim_id=esim_id, now=now
    )
    return TestEventView(text_of(Prefix.EVENT, event.id), data.event, tenant.mode)


def _esim_id(text: str) -> UUID:
    try:
        return parse_id(Prefix.ESIM, text)
    except Refused:
        raise Refused.invalid("/esim", "expected the id of an eSIM, esim_...") from None


def _with_data(example: Envelope, overwritten: dict[str, Value]) -> Envelope:
    fields = msgspec.to_builtins(example.data)
    unknown = [name for name in overwritten if name not in fields]
    if unknown:
        raise Refused.invalid(f"/data/{escaped(unknown[0][:80])}", f"expected one of {', '.join(fields)}")
    return msgspec.structs.replace(example, data=convert(fields | overwritten, EsimData, below="/data"))
