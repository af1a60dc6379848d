"""The way of one notification through a node: the files that docs/flow.md names, in its order, and not many more."""

import re
from pathlib import Path

import pytest

from api import Api, eventually
from esimhooks.server.app.settings import Settings
from esimhooks.server.store.database import Database
from receiver import Receiver
from system.node_process import settings_of
from system.profiled_node import ProfiledNode
from upstream import a_shop, an_upstream, esim_status

pytestmark = [pytest.mark.slow(reason="starts a node"), pytest.mark.timeout(120)]

FLOW = (Path(__file__).parents[2] / "docs" / "flow.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"src/esimhooks/([\w/]+\.py)", FLOW))
STEPS = re.findall(r"^\| \d+ \| `src/esimhooks/([\w/]+\.py)`", FLOW, re.MULTILINE)
ALSO_BY_THE_CLOCK = {"server/delivery/dispatcher.py"}
ORCHESTRATING = ("server/api/", "server/ingest/", "server/delivery/")
MAX_FILES = 79  # to come down to 30


@pytest.fixture
def variables(settings: Settings) -> dict[str, str]:
    """The settings of a node that takes in and sends, as another process reads them."""
    return settings_of(settings, roles="api,dispatcher")


async def test_a_notification_goes_the_way_that_is_documented(
    variables: dict[str, str], database: Database, receiver: Receiver
) -> None:
    ways = []
    async with ProfiledNode(variables) as node, Api(node.url, node.admin_key) as operator:
        shop, upstream = await a_shop(operator, webhook_url=receiver.url()), await an_upstream(operator)
        await shop.order("t-1", orderNo="B1")
        await shop.update({"transactionId": "t-1", "esimTranNo": "2410", "esimStatus": "CREATED"})
        await attempted(database, 1)
        for count, status in enumerate(("IN_USE", "SUSPENDED", "IN_USE", "USED_UP"), start=2):
            await node.files()
            notification = esim_status("2410", status) | {"notifyId": f"n-{count}"}
            assert (await upstream.notify(notification)).body["outcome"] == "applied"
            await attempted(database, count)
            ways.append(await node.files())

    # What ran by the clock meanwhile did not run each time.
    way = [file for file in ways[-1] if all(file in other for other in ways)]
    assert [step for step in way if step in STEPS and step not in ALSO_BY_THE_CLOCK] == [
        step for step in STEPS if step not in ALSO_BY_THE_CLOCK
    ]
    assert {file for file in way if file.startswith(ORCHESTRATING)} <= NAMED
    assert len(way) <= MAX_FILES, way


async def attempted(database: Database, count: int) -> None:
    """Wait until so many deliveries have arrived and nothing is queued."""

    async def found() -> bool:
        async with database.session() as db:
            query = "SELECT count(*), (SELECT count(*) FROM queue) FROM deliveries WHERE status = 'delivered'"
            return tuple(await db.conn.fetchrow(query)) == (count, 0)

    await eventually(found)
