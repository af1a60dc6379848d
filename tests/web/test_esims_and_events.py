"""eSIMs and events: the shapes that others rely on, every filter, pages, the pull API, and test events."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest

from api import Api, Json, a_merchant
from web.routes import a_tenant, is_field, is_problem
from web.rows import an_esim, pages

ICCID = "8943108170000775671"


async def an_account(operator: Api) -> str:
    account: str = (await operator.post("/v1/accounts", {"name": "Acme"}))["id"]
    return account


async def ids(operator: Api, path: str) -> list[str]:
    return [row["id"] for row in (await operator.get(path))["data"]]


async def test_an_update_makes_an_esim_and_its_events(operator: Api) -> None:
    account = await an_account(operator)
    update = {
        "transactionId": "t-2",
        "iccid": ICCID,
        "esimStatus": "IN_USE",
        "dataUsage": 12.5,
        "totalVolume": 1024,
        "occurredAt": "2026-04-22T17:27:44Z",
    }
    body = {"account": account, "mode": "test", "updates": [update]}

    [result] = (await operator.post("/v1/updates", body, status=200))["results"]

    assert result["outcome"] == "applied"
    query = f"account={account}&mode=test"
    esim = await operator.get(f"/v1/esims/{result['esim']}?{query}")
    expected = {"id": result["esim"], "iccid": ICCID, "transactionId": "t-2", "esimStatus": "IN_USE"}
    assert {name: esim[name] for name in expected} == expected
    assert (esim["dataUsage"], esim["totalVolume"]) == (12.5, 1024)
    event = await operator.get(f"/v1/events/{result['events'][0]}?{query}")
    assert event["id"] == result["events"][0]
    assert event["mode"] == "test"
    assert event["data"]["iccid"] == ICCID
    assert await ids(operator, f"/v1/esims/{result['esim']}/events?{query}") == result["events"][::-1]


async def test_updates_without_an_account_of_their_own_find_no_unknown_esim(operator: Api) -> None:
    answer = await operator.post("/v1/updates", {"updates": [{"transactionId": "t", "iccid": ICCID}]}, status=200)

    assert [result["outcome"] for result in answer["results"]] == ["unmatched"]


async def test_esims_are_found_by_each_filter(operator: Api) -> None:
    account = await an_account(operator)
    query = f"account={account}&mode=test"
    wanted = (await an_esim(operator, account, "test", iccid=ICCID, transactionId="t-é+1", orderNo="B 1"))["esim"]
    other = (await an_esim(operator, account, "test", esimStatus="CREATED"))["esim"]
    await an_esim(operator, account, "live", iccid=ICCID)

    assert await ids(operator, f"/v1/esims?{query}") == [other, wanted]
    filters = {"status": "IN_USE", "iccid": ICCID, "transactionId": "t-é+1", "orderNo": "B 1"}
    for name, value in filters.items():
        assert await ids(operator, f"/v1/esims?{query}&{name}={quote(value)}") == [wanted]
        assert await ids(operator, f"/v1/esims?{query}&{name}={'EXPIRED' if name == 'status' else 'other'}") == []
    everything = "&".join(f"{name}={quote(value)}" for name, value in filters.items())
    assert await ids(operator, f"/v1/esims?{query}&{everything}") == [wanted]
    assert len(await pages(operator, f"/v1/esims?{query}", limit=1)) == 2
    is_field(await operator.call("GET", f"/v1/esims?{query}&status=NOPE"), "query:status", "PENDING")
    is_field(await operator.call("GET", f"/v1/esims?{query}&iccid=%00"), "query:iccid", "control characters")


async def test_events_are_found_by_each_filter(operator: Api) -> None:
    account = await an_account(operator)
    query = f"account={account}&mode=test"
    first = await an_esim(operator, account, "test")
    second = await an_esim(operator, account, "test", esimStatus="CREATED")
    [activated], [created] = first["events"], second["events"]

    assert await ids(operator, f"/v1/events?{query}") == [created, activated]
    assert await ids(operator, f"/v1/events?{query}&type=esim.created") == [created]
    assert await ids(operator, f"/v1/events?{query}&esim={first['esim']}") == [activated]
    hour = timedelta(hours=1)
    before, after = (quote((datetime.now(UTC) + shift).isoformat()) for shift in (-hour, hour))
    assert await ids(operator, f"/v1/events?{query}&from={before}&to={after}") == [created, activated]
    assert await ids(operator, f"/v1/events?{query}&from={after}") == []
    assert await ids(operator, f"/v1/events?{query}&to={before}") == []
    assert await ids(operator, f"/v1/events?{query}&from=1900-01-01T00:00:00Z&to=9999-12-31T23:59:59Z") != []


@pytest.mark.parametrize("name", ["from", "to"])
@pytest.mark.parametrize("time", ["2026-04-22T17:27:44", "2026-04-22", "yesterday", "5", "", "2026-13-01T00:00:00Z"])
async def test_times_without_a_zone_are_refused_clearly(name: str, time: str, operator: Api) -> None:
    query = await a_tenant(operator)
    for path in ("events", "deliveries"):
        answer = await operator.call("GET", f"/v1/{path}{query}&{name}={time}")
        is_field(answer, f"query:{name}", "a time with its zone such as 2026-04-22T17:27:44Z")


@pytest.mark.parametrize(
    "path",
    ["events?esim", "events?after", "events?type", "deliveries?endpoint", "deliveries?event", "deliveries?status"],
)
async def test_filters_of_the_wrong_kind_are_named(path: str, operator: Api) -> None:
    query = await a_tenant(operator)
    path, name = path.split("?")

    is_field(
        await operator.call("GET", f"/v1/{path}{query}&{name}=acc_01jd3v8k5fe8ya3q8r0m2n6x7c"),
        f"query:{name}",
        "expected",
    )


async def test_after_reads_on_from_an_event_oldest_first_to_the_end(operator: Api) -> None:
    merchant = await a_merchant(operator)
    async with operator.as_key(merchant.key) as caller:
        made = [(await caller.post("/v1/test-events", {"event": "esim.activated"}))["id"] for _ in range(6)]
        start = f"/v1/events?after={made[0]}"
        assert [[row["id"] for row in page] for page in await pages(caller, start, limit=2)] == [
            made[1:3],
            made[3:5],
            made[5:],
        ]
        read: list[str] = []
        last = made[0]
        while found := (await caller.get(f"/v1/events?after={last}&limit=2"))["data"]:
            read += [event["id"] for event in found]
            last = read[-1]
        assert read == made[1:]
        assert len(await ids(caller, "/v1/events?after=evt_00000000000000000000000000")) == 6


async def test_a_test_event_takes_data_and_an_esim(operator: Api) -> None:
    merchant = await a_merchant(operator)
    esim = (await an_esim(operator, merchant.account, "test"))["esim"]
    async with operator.as_key(merchant.key) as caller:
        body: Json = {"event": "esim.data_updated", "esim": esim, "data": {"iccid": ICCID, "dataUsage": 7.5}}
        made = await caller.post("/v1/test-events", body)
        event = await caller.get(f"/v1/events/{made['id']}")
        assert await ids(caller, f"/v1/events?esim={esim}&type=esim.data_updated") == [made["id"]]

    assert made == {"id": made["id"], "event": "esim.data_updated", "mode": "test"}
    assert event["mode"] == "test"
    assert {name: event["data"][name] for name in ("id", "iccid", "dataUsage")} == {
        "id": esim,
        "iccid": ICCID,
        "dataUsage": 7.5,
    }


async def test_test_events_are_for_test_keys(operator: Api) -> None:
    live = await a_merchant(operator, mode="live")
    async with operator.as_key(live.key) as caller:
        is_problem(await caller.call("POST", "/v1/test-events", {"event": "esim.activated"}), 403)
    query = f"?account={live.account}&mode=live"
    is_problem(await operator.call("POST", f"/v1/test-events{query}", {"event": "esim.activated"}), 403)


async def test_an_esim_that_nobody_can_be_queried_about_is_a_409_at_requery(operator: Api) -> None:
    account = await an_account(operator)
    esim = (await an_esim(operator, account, "test"))["esim"]

    answer = await operator.call("POST", f"/v1/esims/{esim}/requery?account={account}&mode=test")
    assert is_problem(answer, 409)["code"] == "CONFLICT"


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
async def test_times_beyond_the_calendar_are_refused_and_nothing_is_kept(time: str, operator: Api) -> None:
    account = await an_account(operator)
    update = {"transactionId": "t", "iccid": ICCID, "esimStatus": "IN_USE", "expiredTime": time}
    answer = await operator.call("POST", "/v1/updates", {"account": account, "mode": "test", "updates": [update]})

    assert answer.status in {200, 422}
    if answer.status == 200:
        assert [result["outcome"] for result in answer.body["results"]] == ["invalid"]
    assert (await operator.get(f"/v1/esims?account={account}&mode=test"))["data"] == []
