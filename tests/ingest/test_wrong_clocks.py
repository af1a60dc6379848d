"""Nodes whose own clock is wrong: all go by the database's."""

from datetime import datetime, timedelta, tzinfo

import pytest

from api import Api
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from esimhooks.server.domain import clock
from esimhooks.server.providers.sandbox.esims import Purchase
from esimhooks.server.providers.sandbox.life import Ending
from esimhooks.server.providers.sandbox.sandbox import Sandbox
from esimhooks.server.store.database import Database
from esimhooks.server.store.database_clock import DatabaseClock
from upstream import a_shop, allocate, an_upstream, esim_status


def set_clock(monkeypatch: pytest.MonkeyPatch, off_by: timedelta) -> None:
    """Have the machine's clock be wrong."""

    class Wrong:
        @staticmethod
        def now(zone: tzinfo) -> datetime:
            return datetime.now(zone) + off_by

    monkeypatch.setattr(clock, "datetime", Wrong)


async def test_what_a_provider_confirms_is_later_than_what_it_reported_before_where_the_nodes_clock_is_behind(
    settings: Settings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_clock(monkeypatch, timedelta(seconds=-30))
    [key] = await sandbox.order(Purchase(order_no="B1", transaction_id="t-1", ending=Ending.CANCELLED))
    allocate(sandbox, "B1")
    async with running(settings) as node, Api(node.url, node.admin_key) as operator:
        shop, upstream = await a_shop(operator), await an_upstream(operator, sandbox.base_url)
        created = {"esimTranNo": key, "transactionId": "t-1", "esimStatus": "CREATED", "provider": "upstream"}
        await shop.update(created)
        await upstream.notify(esim_status(key, "IN_USE"))
        while (step := await sandbox.step(key)) is not None and step.name != "cancelled":
            pass

        await upstream.notify(esim_status(key, "CANCEL"))

        await upstream.journaled("applied")
        assert (await shop.events())[-1]["newStatus"] == "CANCEL"


async def test_the_clock_of_all_nodes_is_the_databases(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    set_clock(monkeypatch, timedelta(days=40))
    present = DatabaseClock(database)
    await present.read()

    async with database.session() as db:
        theirs: datetime = await db.conn.fetchval("SELECT clock_timestamp()")

    assert abs(present() - theirs) < timedelta(minutes=1)
