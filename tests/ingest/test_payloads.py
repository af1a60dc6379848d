"""Every published webhook at the server's own inbound address: what it is answered, journaled, changed and emitted.

Payloads come from tests/providers/payloads; the eSIM or order is made known over the API beforehand, or afterwards.
"""

from typing import Any

import pytest
from msgspec import Struct

from api import Api, Json, eventually
from esimhooks.server.providers.sandbox.esims import Purchase
from esimhooks.server.providers.sandbox.sandbox import Sandbox
from upstream import FORM, JSON, PAYLOADS, Shop, Upstream, a_shop, allocate, an_upstream, bytes_of, payload

LONG_AGO = "2023-01-01T00:00:00Z"
IN_USE: Json = {"esimStatus": "IN_USE", "occurredAt": LONG_AGO}


class Case(Struct, frozen=True, kw_only=True):
    """What is known of the eSIM beforehand, and what the payload makes of it.

    `clock` are events that the end of validity raises afterwards, because the payload's lies in the past.
    """

    name: str
    known: Json
    state: Json
    events: tuple[str, ...]
    of_pending: tuple[str, ...]
    """Events where all that is known is the order."""
    clock: tuple[str, ...] = ()
    detail: str | None = None
    more: Json = {}
    """Members of the last of `events`."""


CASES = [
    Case(
        name="DATA_USAGE-10-2025",
        known=IN_USE | {"totalVolume": 51_200, "dataUsage": 0},
        state={"dataUsage": 46_096.41, "data_usage_remain": 5103.59, "lastUsageUpdate": "2025-07-21T09:38:25.000Z"},
        events=("activated", "data_updated"),
        of_pending=("data_updated",),
        more={"thresholds": [25, 50, 75, 90], "timestamp": "2025-07-21T10:57:28.000Z"},
    ),
    Case(
        name="DATA_USAGE-50",
        known=IN_USE | {"totalVolume": 20_480, "dataUsage": 0},
        state={"dataUsage": 10_243.48, "data_usage_remain": 10_236.52, "lastUsageUpdate": "2026-04-22T15:53:03.000Z"},
        events=("activated", "data_updated"),
        of_pending=("data_updated",),
        more={"thresholds": [25, 50]},
    ),
    Case(
        name="ESIM_STATUS-cancel-2025",
        known={"esimStatus": "CREATED", "occurredAt": LONG_AGO},
        state={"esimStatus": "CANCEL", "smdpStatus": "RELEASED"},
        events=("created", "suspended"),
        of_pending=("suspended",),
        more={"reason": "cancelled", "previousStatus": "CREATED", "newStatus": "CANCEL"},
        detail="Luhn",
    ),
    Case(
        name="ESIM_STATUS-help-querystring",
        known={"esimStatus": "CREATED", "occurredAt": LONG_AGO},
        state={"esimStatus": "IN_USE", "smdpStatus": "INSTALLED"},
        events=("created", "activated"),
        of_pending=("activated",),
        more={"previousStatus": "CREATED", "newStatus": "IN_USE"},
    ),
    Case(
        name="ESIM_STATUS-in_use",
        known={"esimStatus": "CREATED", "occurredAt": LONG_AGO},
        state={"esimStatus": "IN_USE", "smdpStatus": "ENABLED", "activateTime": "2026-04-22T17:27:44.000Z"},
        events=("created", "activated"),
        of_pending=("activated",),
        more={"timestamp": "2026-04-22T17:27:44.000Z"},
        detail="Luhn",
    ),
    Case(
        name="SMDP_EVENT-download-2025",
        known={"esimStatus": "CREATED", "smdpStatus": "RELEASED", "occurredAt": LONG_AGO},
        state={"esimStatus": "CREATED", "smdpStatus": "DOWNLOADED", "eid": "89049032441217199317443115730672"},
        events=("created", "status_changed"),
        of_pending=("created",),
        more={"timestamp": "2025-09-11T13:28:09.000Z"},
    ),
    Case(
        name="SMDP_EVENT-enabled",
        known={"esimStatus": "CREATED", "smdpStatus": "INSTALLED", "occurredAt": LONG_AGO},
        state={"esimStatus": "IN_USE", "smdpStatus": "ENABLED", "eid": "89049032928658130957704843380532"},
        events=("created", "activated"),
        of_pending=("activated",),
        more={"previousStatus": "CREATED", "newStatus": "IN_USE"},
    ),
    Case(
        name="VALIDITY_USAGE",
        known=IN_USE,
        state={"totalDuration": 30, "expiredTime": "2026-04-23T17:13:19.000Z", "validity_usage_remain": 0},
        events=("activated", "usage_updated"),
        of_pending=("usage_updated",),
        clock=("expired",),
    ),
    Case(
        name="VALIDITY_USAGE-2025-minimal",
        known=IN_USE,
        state={"totalDuration": 30, "expiredTime": "2024-01-11T08:10:19.000Z"},
        events=("activated", "usage_updated"),
        of_pending=("usage_updated",),
        clock=("expired",),
    ),
]
ORDERS = ("ORDER_STATUS", "ORDER_STATUS-2025-minimal")


def named(case: Case) -> str:
    return case.name


def webhooks(prefix: str, *, others: bool = False) -> list[str]:
    names = [path.stem for path in sorted(PAYLOADS.glob("*.json"))]
    found = [name for name in names if payload(name)["_fixture"]["kind"] == "webhook"]
    return [name for name in found if name.startswith(prefix) != others]


def content_of(name: str) -> Json:
    found = payload(f"esimaccess-{name}")
    if "body" in found:
        return found["body"]["content"]
    return {
        "orderNo": "B23122613010998",
        "transactionId": "ord_658adb14bcebb413862417",
        "iccid": "8943108170000828413",
    }


def body_of(name: str) -> tuple[bytes, str]:
    found = payload(f"esimaccess-{name}")
    return bytes_of(found), FORM if "body_raw" in found else JSON


async def make_known(shop: Shop, case: Case) -> str:
    """Order the eSIM of a payload and have the operator report its numbers and state; return its id."""
    content = content_of(case.name)
    order = await shop.order(content["transactionId"], orderNo=content["orderNo"])
    keys = {name: content[name] for name in ("transactionId", "iccid", "esimTranNo") if name in content}
    [result] = await shop.update(keys | case.known)
    assert result["esim"] == order["esims"][0]["id"]
    esim_id: str = result["esim"]
    return esim_id


def picked(whole: Json, part: dict[str, Any]) -> Json:
    return {name: whole.get(name) for name in part}


def test_every_webhook_of_esim_access_has_its_case_here() -> None:
    covered = {f"esimaccess-{case.name}" for case in CASES} | {
        f"esimaccess-{name}" for name in (*ORDERS, "CHECK_HEALTH")
    }

    assert covered == set(webhooks("esimaccess-"))


@pytest.mark.parametrize("case", CASES, ids=named)
async def test_a_webhook_about_a_known_esim_is_applied_once(operator: Api, case: Case) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator)
    esim_id = await make_known(shop, case)
    body, content_type = body_of(case.name)

    answer = await upstream.notify_raw(body, content_type=content_type)
    again = await upstream.notify_raw(body, content_type=content_type)

    assert (answer.status, answer.body["outcome"], answer.body["esim"]) == (200, "applied", esim_id)
    assert (again.status, again.body["outcome"], again.body.get("esim", esim_id)) == (200, "duplicate", esim_id)
    await shop.raised_in_time(*case.events, *case.clock)
    raised = (await shop.events())[len(case.events) - 1]
    assert answer.body["events"] == [raised["id"]]
    assert picked(raised, case.more) == case.more
    assert picked(await shop.esim(esim_id), case.state) == case.state
    first, second = await upstream.journal()
    assert (first["outcome"], first["kind"], first["esim"]) == ("applied", case.name.partition("-")[0], esim_id)
    assert (second["outcome"], second["kind"]) == ("duplicate", first["kind"])
    assert (case.detail or "") in (first["detail"] or "")


@pytest.mark.parametrize("case", CASES, ids=named)
async def test_a_webhook_that_comes_before_its_order_is_applied_once_the_order_is_known(
    operator: Api, case: Case
) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator)
    body, content_type = body_of(case.name)
    content = content_of(case.name)

    answer = await upstream.notify_raw(body, content_type=content_type)
    again = await upstream.notify_raw(body, content_type=content_type)

    assert (answer.status, answer.body["outcome"], answer.body.get("esim")) == (200, "unmatched", None)
    # Without id and time a repetition is known by the eSIM only, and that is not known yet.
    outcome = "duplicate" if has_id_or_time(content_of(case.name), body) else "unmatched"
    assert (again.status, again.body["outcome"]) == (200, outcome)
    [entry, later] = await upstream.journal()
    assert (entry["outcome"], entry["kind"]) == ("unmatched", case.name.partition("-")[0])

    order = await shop.order(content["transactionId"], orderNo=content["orderNo"])

    await shop.raised_in_time(*case.of_pending)
    [applied] = await upstream.journal(outcome="applied")
    assert applied["id"] == entry["id"] or (applied["id"] == later["id"] and outcome == "unmatched")
    assert applied["esim"] == order["esims"][0]["id"]
    esim = await shop.esim(order["esims"][0]["id"])
    assert picked(esim, case.state | content_keys(content)) == case.state | content_keys(content)


def has_id_or_time(content: Json, body: bytes) -> bool:
    """Whether a notification has an id or a time of its own."""
    return any(name in body for name in (b"notifyId", b"eventGenerateTime")) or "timestamp" in content


def content_keys(content: Json) -> Json:
    return {name: content[name] for name in ("esimTranNo", "iccid", "orderNo") if name in content}


async def test_a_webhook_in_the_query_string_counts_like_one_in_the_body(operator: Api) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator)
    [case] = [case for case in CASES if case.name == "ESIM_STATUS-help-querystring"]
    esim_id = await make_known(shop, case)
    body, _ = body_of(case.name)

    answer = await upstream.notify_raw(b"", query=body.decode())
    again = await upstream.notify_raw(body, content_type=FORM)

    assert (answer.status, answer.body["outcome"], answer.body["esim"]) == (200, "applied", esim_id)
    assert again.body == {"outcome": "duplicate", "esim": esim_id}
    assert await shop.raised() == ["created", "activated"]
    shown = await operator.get(f"/v1/notifications/{(await upstream.journal())[0]['id']}")
    assert (shown["query"], shown["body"]) == (body.decode(), "")


async def test_a_health_check_is_answered_and_kept_and_changes_nothing(operator: Api) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator)
    body, _ = body_of("CHECK_HEALTH")

    answers = [await upstream.notify_raw(body) for _ in range(2)]

    assert [(answer.status, answer.body) for answer in answers] == [(200, {"outcome": "ignored"})] * 2
    assert [(entry["outcome"], entry["kind"]) for entry in await upstream.journal()] == [
        ("ignored", "CHECK_HEALTH")
    ] * 2
    assert await shop.events() == []


@pytest.mark.parametrize("name", ORDERS)
async def test_a_ready_order_is_fetched_and_its_esim_created_once(operator: Api, sandbox: Sandbox, name: str) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator, sandbox.base_url)
    order_no = content_of(name)["orderNo"]
    [key] = await sandbox.order(Purchase(order_no=order_no, transaction_id="t-1"))
    allocate(sandbox, order_no)
    order = await shop.order("t-1", orderNo=order_no)
    body, _ = body_of(name)

    answer = await upstream.notify_raw(body)
    again = await upstream.notify_raw(body)

    assert (answer.status, answer.body) == (200, {"outcome": "waiting"})
    assert again.body == {"outcome": "duplicate" if has_id_or_time({}, body) else "waiting"}

    async def applied() -> list[Json]:
        return await upstream.journal(outcome="applied")

    [*_, entry] = await eventually(applied)
    assert (entry["kind"], entry["esim"]) == ("ORDER_STATUS", order["esims"][0]["id"])
    assert await shop.raised() == ["created"]
    esim = await shop.esim(entry["esim"])
    assert (esim["esimTranNo"], esim["esimStatus"]) == (key, "CREATED")


@pytest.mark.parametrize("name", ORDERS)
async def test_a_ready_order_of_a_provider_that_cannot_be_queried_is_kept_as_unmatched(
    operator: Api, name: str
) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator)
    await shop.order("t-1", orderNo=content_of(name)["orderNo"])

    answer = await upstream.notify_raw(body_of(name)[0])

    assert (answer.status, answer.body) == (200, {"outcome": "waiting"})
    entry = await upstream.journaled("unmatched")
    assert "no credentials" in entry["detail"]
    assert await shop.events() == []


@pytest.mark.parametrize("name", webhooks("esimaccess-", others=True))
async def test_a_webhook_of_another_provider_is_answered_and_kept_as_invalid(operator: Api, name: str) -> None:
    shop, upstream = await a_shop(operator), await an_upstream(operator)
    body = bytes_of(payload(name))

    answers = [await upstream.notify_raw(body) for _ in range(2)]

    assert [(answer.status, answer.body["outcome"]) for answer in answers] == [(200, "invalid")] * 2
    entries = await upstream.journal(outcome="invalid")
    shown = await operator.get(f"/v1/notifications/{entries[0]['id']}")
    assert (len(entries), shown["body"], shown["kind"]) == (2, body.decode(), None)
    assert "notifyType: expected" in shown["detail"] or "expected notifyType" in shown["detail"]
    assert await shop.events() == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe", b'{"notifyType":', b'{"a":1,"a":2}'])
async def test_bytes_that_nobody_understands_are_answered_and_kept(operator: Api, body: bytes) -> None:
    upstream = await an_upstream(operator)

    answer = await upstream.notify_raw(body)

    assert (answer.status, answer.body["outcome"]) == (200, "invalid")
    [entry] = await upstream.journal()
    shown = await operator.get(f"/v1/notifications/{entry['id']}")
    kept = shown["body"].encode() if shown["bodyEncoding"] == "utf-8" else b"\xff\xfe"
    assert (kept, entry["outcome"]) == (body, "invalid")


async def test_a_wrong_token_is_refused_and_nothing_is_kept(operator: Api) -> None:
    upstream = await an_upstream(operator)
    forged = Upstream(operator, upstream.inbound_url[:-1] + ("A" if upstream.inbound_url[-1] != "A" else "B"))

    answer = await forged.notify_raw(body_of("CHECK_HEALTH")[0])

    assert answer.status == 401
    assert await upstream.journal() == []
