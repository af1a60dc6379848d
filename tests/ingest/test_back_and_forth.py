"""What goes back and forth, with and without a time, and what is never withheld."""

from datetime import UTC, datetime
from typing import Any

import pytest

from api import Api, Json
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from upstream import Upstream, a_shop, an_upstream, esim_status


def now() -> str:
    return datetime.now(UTC).isoformat()


def outcomes(results: list[Json]) -> list[str]:
    return [result["outcome"] for result in results]


async def test_a_fact_without_a_time_is_no_repetition_after_one_with_a_time(operator: Api) -> None:
    shop = await a_shop(operator)
    active: Json = {"transactionId": "t-1", "esimStatus": "IN_USE"}
    [first] = await shop.update(active)

    await shop.update({"transactionId": "t-1", "esimStatus": "SUSPENDED", "occurredAt": now()})
    [again] = await shop.update(active)

    assert again["outcome"] == "applied"
    assert await shop.raised(first["esim"]) == ["activated", "suspended", "activated"]


async def test_what_changed_nothing_in_between_leaves_a_repetition_a_repetition(operator: Api) -> None:
    shop = await a_shop(operator)
    active: Json = {"transactionId": "t-1", "esimStatus": "IN_USE"}
    await shop.update(active)

    [between] = await shop.update(active | {"occurredAt": now()})
    [again] = await shop.update(active)

    assert outcomes([between, again]) == ["unchanged", "duplicate"]


async def test_a_notification_without_a_time_is_no_repetition_after_one_with_an_id(operator: Api) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator)
    await shop.order("t-1")
    active = esim_status("K1", "IN_USE", transactionId="t-1")
    await upstream.notify(active)

    await upstream.notify(esim_status("K1", "SUSPENDED") | {"notifyId": "n1"})
    answer = await upstream.notify(active)

    assert answer.body["outcome"] == "applied"
    assert await shop.raised() == ["activated", "suspended", "activated"]


async def test_the_same_bytes_are_a_repetition_also_where_they_speak_twice_of_an_esim(operator: Api) -> None:
    shop = await a_shop(operator)
    document = """
        name = "Acme"
        [[rule]]
        name = "s"
        each = "list"
        set.key = "sim"
        set.status = {path = "state", table = {live = "IN_USE", off = "SUSPENDED"}}
    """
    made = await operator.put("/v1/providers/upstream", {"kind": "mapping", "settings": {"document": document}})
    upstream = Upstream(operator, made["inboundUrl"])
    await shop.update({"transactionId": "t-1", "esimTranNo": "K1", "esimStatus": "CREATED", "provider": "upstream"})
    both = {"list": [{"sim": "K1", "state": "live"}, {"sim": "K1", "state": "off"}]}

    answers = [await upstream.notify(body) for body in (both, both, {"list": both["list"][:1]}, both)]

    assert [answer.body["outcome"] for answer in answers] == ["applied", "duplicate", "applied", "applied"]
    assert await shop.raised() == ["created", "activated", "suspended", "activated", "suspended"]


@pytest.mark.parametrize("before", [{"unlimited": True}, {}])
async def test_a_volume_that_becomes_known_is_emitted_at_once(settings: Settings, before: dict[str, Any]) -> None:
    patient = settings.model_copy(update={"usage_interval_s": 14_400})
    async with running(patient) as node, Api(node.url, node.admin_key) as operator:
        shop = await a_shop(operator)
        identity = {"transactionId": "t-1"}
        await shop.update(identity | {"esimStatus": "IN_USE"}, identity | before | {"dataUsage": 10})
        raised = await shop.raised()

        await shop.update(identity | {"totalVolume": 4000, "dataUsage": 10, "unlimited": False})

        assert await shop.raised() == [*raised, "data_updated"]
