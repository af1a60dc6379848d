"""Nobody sees what is not theirs: every statement that reads a tenant's rows gives nothing to another tenant.

The statements are found by their signature, so that one that is added must be added here.
"""

import inspect
from collections.abc import Awaitable, Callable
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest
from msgspec import Struct

from api import Api, Merchant, a_merchant, eventually
from esimhooks.server.domain.audit import AuditFilter
from esimhooks.server.domain.delivery import DeliveryFilter
from esimhooks.server.domain.endpoint import Tenant
from esimhooks.server.domain.esim import EsimFilter
from esimhooks.server.domain.event import EventFilter
from esimhooks.server.domain.ids import EPOCH, Prefix, new_id, parse_id, text_of
from esimhooks.server.domain.job import RequeryFilter
from esimhooks.server.domain.lists import ScanResult
from esimhooks.server.store import (
    audit,
    deliveries,
    endpoints,
    esims,
    events,
    find,
    health,
    jobs,
    orders,
    stats,
    subscriptions,
)
from esimhooks.server.store.database import Database, Session
from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.statuses import Mode
from receiver import Receiver


class Rows(Struct, frozen=True, kw_only=True):
    """One row of each kind."""

    esim: UUID
    order: UUID
    event: UUID
    endpoint: UUID
    delivery: UUID
    notification: UUID
    requery: UUID
    audit_entry: UUID


TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


async def found(search: Awaitable[ScanResult[Any]]) -> Any:
    return (await search).rows


async def missed(db: Session, tenant: Tenant, endpoint_id: UUID) -> Any:
    first, last = UUID(int=0), UUID(int=2**128 - 1)
    counted = await jobs.count_missed(db, tenant, endpoint_id, types=[], first=first, last=last)
    return counted.by_status


Read = Callable[[Session, Tenant, Rows], Awaitable[Any]]
READS: dict[str, Read] = {
    "audit.page": lambda db, tenant, rows: audit.page(
        db, tenant, AuditFilter(subject=text_of(Prefix.ENDPOINT, rows.endpoint)), before=None, limit=9
    ),
    "deliveries.attempts_of": lambda db, tenant, rows: deliveries.attempts_of(db, tenant, rows.delivery),
    "deliveries.find": lambda db, tenant, rows: deliveries.find(db, tenant, rows.delivery),
    "deliveries.of_events": lambda db, tenant, rows: deliveries.of_events(db, tenant, [rows.event]),
    "deliveries.page": lambda db, tenant, rows: found(
        deliveries.page(db, tenant, DeliveryFilter(), before=None, limit=9)
    ),
    "stats.stats_of": lambda db, tenant, rows: stats.stats_of(db, tenant, rows.endpoint, since=EPOCH),
    "endpoints.enabled_to_send": lambda db, tenant, rows: endpoints.enabled_to_send(db, tenant),
    "endpoints.find_to_change": lambda db, tenant, rows: endpoints.find_to_change(db, tenant, rows.endpoint),
    "subscriptions.page_after": lambda db, tenant, rows: subscriptions.page_after(
        db, tenant, None, enabled_at=None, limit=9
    ),
    "subscriptions.find": lambda db, tenant, rows: subscriptions.find(db, tenant, rows.endpoint),
    "endpoints.find": lambda db, tenant, rows: endpoints.find(db, tenant, rows.endpoint),
    "endpoints.signing_secrets": lambda db, tenant, rows: endpoints.signing_secrets(
        db, tenant, rows.endpoint, now=EPOCH
    ),
    "endpoints.names_of": lambda db, tenant, rows: endpoints.names_of(db, tenant, [rows.endpoint]),
    "health.facts_of": lambda db, tenant, rows: health.facts_of(db, tenant, [rows.endpoint]),
    "endpoints.page": lambda db, tenant, rows: endpoints.page(db, tenant, before=None, limit=9),
    "esims.find": lambda db, tenant, rows: esims.find(db, tenant, rows.esim),
    "esims.of_order": lambda db, tenant, rows: esims.of_order(db, tenant, rows.order),
    "esims.page": lambda db, tenant, rows: esims.page(db, tenant, EsimFilter(), before=None, limit=9),
    "events.find": lambda db, tenant, rows: events.find(db, tenant, rows.event),
    "events.page": lambda db, tenant, rows: found(events.page(db, tenant, EventFilter(), before=None, limit=9)),
    "events.page_after": lambda db, tenant, rows: events.page_after(db, tenant, EventFilter(), after=0, limit=9),
    "events.position_of": lambda db, tenant, rows: events.position_of(db, tenant, rows.event),
    "events.newest": lambda db, tenant, rows: events.newest(db, tenant),
    "jobs.count_esims": lambda db, tenant, rows: jobs.count_esims(db, tenant, EsimFilter(), last_esim=new_id()),
    "jobs.count_missed": lambda db, tenant, rows: missed(db, tenant, rows.endpoint),
    "jobs.find": lambda db, tenant, rows: jobs.find(db, tenant, RequeryFilter, rows.requery),
    "jobs.never_sent": lambda db, tenant, rows: jobs.never_sent(
        db, tenant, new_id(), types=list(EventType), first=UUID(int=0), last=UUID(int=2**128 - 1), limit=9
    ),
    "jobs.page": lambda db, tenant, rows: jobs.page(db, tenant, RequeryFilter, before=None, limit=9),
    "find.by_id": lambda db, tenant, rows: find.by_id(db, tenant, Prefix.ESIM, rows.esim),
    "find.by_order": lambda db, tenant, rows: find.by_order(db, tenant, rows.order, limit=9),
    "find.by_number": lambda db, tenant, rows: find.by_number(db, tenant, "t-1", limit=9),
    "find.by_fragment": lambda db, tenant, rows: find.by_fragment(db, tenant, "t-1", limit=9, max_scanned=99),
    "find.audit_entry": lambda db, tenant, rows: find.audit_entry(db, tenant, rows.audit_entry),
    "find.attempts_of": lambda db, tenant, rows: find.attempts_of(db, tenant, [rows.delivery], limit=9),
    "find.esims_of": lambda db, tenant, rows: find.esims_of(db, tenant, [rows.esim], limit=9),
    "find.events_in_trace": lambda db, tenant, rows: find.events_in_trace(db, tenant, TRACE_ID, limit=9),
    "find.events_of_esims": lambda db, tenant, rows: find.events_of_esims(db, tenant, [rows.esim], limit=9),
    "find.events_with_ids": lambda db, tenant, rows: find.events_with_ids(db, tenant, [rows.event], limit=9),
    "find.events_of_notification": lambda db, tenant, rows: find.events_of_notification(
        db, tenant, rows.notification, limit=9
    ),
    "orders.find_by_transaction": lambda db, tenant, rows: orders.find_by_transaction(db, tenant, "t-1"),
}
WRITES = {"endpoints.add_secret", "endpoints.delete", "endpoints.lock_to_rotate", "jobs.end"}
"""Tested by their effect below, or over the API."""
COUNTS = {
    f"stats.{name}"
    for name in ("deliveries_by_time", "delivery_times", "due", "events_by_time", "latest_failures", "first_steps")
}
"""Of a tenant or, for operators, of all; what they count is tested by the overview."""
ACCOUNT_ONLY = {"deliveries.attempts_of", "find.attempts_of"}
"""Attempts carry no mode: whoever reads them has found their delivery before."""


def reading(modules: list[ModuleType]) -> set[str]:
    """Return the functions of the store that take a tenant of their own."""
    found = set()
    for module in modules:
        for name, function in inspect.getmembers(module, inspect.iscoroutinefunction):
            own = function.__module__ == module.__name__ and not name.startswith("_")
            if own and inspect.signature(function).parameters.get("tenant") is not None:
                found.add(f"{module.__name__.rpartition('.')[2]}.{name}")
    return found


def test_every_statement_of_a_tenant_stands_here() -> None:
    assert reading(
        [audit, deliveries, endpoints, esims, events, stats, find, health, jobs, orders, subscriptions]
    ) == set(READS) | WRITES | COUNTS | {"health.unhealthy", "deliveries.preset_counts"}


@pytest.fixture
async def merchant(operator: Api, receiver: Receiver) -> Merchant:
    return await a_merchant(operator, webhook_url=receiver.url())


async def rows_of(operator: Api, merchant: Merchant) -> Rows:
    """Make a row of each kind and wait until the delivery was attempted."""
    await operator.put("/v1/providers/upstream", {"kind": "esimaccess"})
    tenant = {"account": merchant.account, "mode": "test"}
    order = await operator.post(
        "/v1/orders", tenant | {"provider": "upstream", "transactionId": "t-1", "packageCode": "CKH1"}
    )
    update = {"transactionId": "t-1", "esimTranNo": "K1", "esimStatus": "IN_USE"}
    [result] = (await operator.post("/v1/updates", tenant | {"updates": [update]}, status=200))["results"]

    async def delivered() -> Any:
        found = await operator.get(f"/v1/deliveries?account={merchant.account}&mode=test&status=delivered")
        return found["data"]

    [delivery] = await eventually(delivered)
    [notification] = (await operator.get("/v1/notifications"))["data"]
    requery = await operator.post(f"/v1/esims/requery?account={merchant.account}&mode=test", {}, status=202)
    [entry] = (await operator.get(f"/v1/audit?subject={requery['id']}"))["data"]
    return Rows(
        notification=parse_id(Prefix.NOTIFICATION, notification["id"]),
        requery=parse_id(Prefix.REQUERY, requery["id"]),
        audit_entry=parse_id(Prefix.AUDIT, entry["id"]),
        esim=parse_id(Prefix.ESIM, result["esim"]),
        order=parse_id(Prefix.ORDER, order["id"]),
        event=parse_id(Prefix.EVENT, result["events"][0]),
        endpoint=parse_id(Prefix.ENDPOINT, merchant.endpoint or ""),
        delivery=parse_id(Prefix.DELIVERY, delivery["id"]),
    )


async def test_only_the_tenant_itself_reads_its_rows(operator: Api, merchant: Merchant, database: Database) -> None:
    rows = await rows_of(operator, merchant)
    other = await a_merchant(operator)
    account_id = parse_id(Prefix.ACCOUNT, merchant.account)
    own = Tenant(account_id, Mode.TEST)
    strangers = [Tenant(parse_id(Prefix.ACCOUNT, other.account), Mode.TEST), Tenant(new_id(), Mode.TEST)]

    async with database.session() as db:
        await db.conn.execute("UPDATE events SET traceparent = $1", f"00-{TRACE_ID}-b7ad6b7169203331-01")
        assert [name for name, read in READS.items() if not await read(db, own, rows)] == []
        for stranger in strangers:
            assert [name for name, read in READS.items() if await read(db, stranger, rows)] == []
        other_mode = Tenant(account_id, Mode.LIVE)
        assert {name for name, read in READS.items() if await read(db, other_mode, rows)} <= ACCOUNT_ONLY


async def test_only_the_tenant_itself_deletes_its_endpoint(
    operator: Api, merchant: Merchant, database: Database
) -> None:
    rows = await rows_of(operator, merchant)
    own = Tenant(parse_id(Prefix.ACCOUNT, merchant.account), Mode.TEST)

    async with database.transaction() as db:
        at = await db.conn.fetchval("SELECT now()")
        for tenant in (Tenant(new_id(), Mode.TEST), Tenant(own.account_id, Mode.LIVE)):
            assert not await endpoints.delete(db, tenant, rows.endpoint, now=at)
        assert await endpoints.find(db, own, rows.endpoint) is not None
        assert await endpoints.delete(db, own, rows.endpoint, now=at)


@pytest.mark.parametrize("mode", ["test", "live"])
async def test_keys_of_others_find_nothing_over_the_api(operator: Api, merchant: Merchant, mode: str) -> None:
    await rows_of(operator, merchant)
    other = await a_merchant(operator, mode=mode)
    tenant = f"account={merchant.account}&mode=test"
    event = (await operator.get(f"/v1/events?{tenant}"))["data"][0]
    delivery = (await operator.get(f"/v1/deliveries?{tenant}"))["data"][0]
    paths = [
        f"/v1/esims/{event['data']['id']}",
        f"/v1/esims/{event['data']['id']}/events",
        f"/v1/events/{event['id']}",
        f"/v1/deliveries/{delivery['id']}",
        f"/v1/endpoints/{merchant.endpoint}",
    ]

    async with operator.as_key(other.key) as api:
        assert [(await api.call("GET", path)).status for path in paths] == [404] * len(paths)
        assert [(await api.call("GET", f"{path}?{tenant}")).status for path in paths] == [404] * len(paths)
        for path in ("/v1/esims", "/v1/events", "/v1/deliveries", "/v1/endpoints"):
            assert (await api.get(path))["data"] == []
    async with operator.as_key(merchant.key) as api:
        assert [(await api.call("GET", path)).status for path in paths] == [200] * len(paths)
