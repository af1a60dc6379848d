"""Accounts: made, shown, listed, renamed, deleted; and lists in general: pages, limits, cursors."""

import base64
import os

import pytest

from api import Api, a_merchant
from receiver import Receiver
from web.routes import is_field, is_problem
from web.rows import pages


async def accounts(operator: Api, *names: str) -> list[str]:
    return [(await operator.post("/v1/accounts", {"name": name}))["id"] for name in names]


async def test_an_account_is_made_shown_renamed_and_deleted(operator: Api) -> None:
    made = await operator.post("/v1/accounts", {"name": "Acme"})
    assert made.keys() == {"id", "name", "quotas", "frozenAt", "createdAt", "updatedAt"}
    assert made["id"].startswith("acc_")
    assert made["createdAt"].endswith("Z")
    path = f"/v1/accounts/{made['id']}"
    assert await operator.get(path) == made

    renamed = await operator.call("PATCH", path, {"name": "Acme Ltd"})
    assert (renamed.status, renamed.body["name"]) == (200, "Acme Ltd")
    assert (await operator.get(path))["name"] == "Acme Ltd"

    deleted = await operator.call("DELETE", path)
    assert (deleted.status, deleted.body) == (204, None)
    for method, body in (("GET", None), ("PATCH", {"name": "Acme"}), ("DELETE", None)):
        is_problem(await operator.call(method, path, body), 404)


async def test_a_patch_changes_what_it_names_and_nothing_else(operator: Api) -> None:
    made = await operator.post("/v1/accounts", {"name": "Acme"})
    path = f"/v1/accounts/{made['id']}"

    unchanged = await operator.call("PATCH", path, {})
    assert (unchanged.status, unchanged.body) == (200, made)
    is_field(await operator.call("PATCH", path, {"name": None}), "/name", "text of 1 to 100 characters")
    merged = await operator.raw("PATCH", path, b'{"name": "B"}', content_type="application/merge-patch+json")
    assert (merged.status, merged.body["name"]) == (200, "B")


@pytest.mark.parametrize("name", ["é", "名前", "👩‍🚀", "<script>alert(1)</script>", "' OR 1=1 --", "a" * 100])
async def test_names_come_back_as_they_were_given(name: str, operator: Api) -> None:
    [account] = await accounts(operator, name)

    assert (await operator.get(f"/v1/accounts/{account}"))["name"] == name


@pytest.mark.parametrize("name", ["\u202eright to left", "a\u2066b", "a\x9bb", "a\u2028b", "a\x85b"])
async def test_names_that_would_look_like_others_are_refused(name: str, operator: Api) -> None:
    is_field(await operator.call("POST", "/v1/accounts", {"name": name}), "/name", "text of 1 to 100 characters")


async def test_lists_are_newest_first_in_pages_that_end(operator: Api) -> None:
    made = await accounts(operator, *"abcde")

    for limit, sizes in ((1, [1] * 5), (2, [2, 2, 1]), (5, [5]), (100, [5])):
        found = await pages(operator, "/v1/accounts", limit=limit)
        assert [len(page) for page in found] == sizes
        assert [row["id"] for page in found for row in page] == made[::-1]


async def test_no_row_comes_twice_or_is_missing_while_new_ones_come_in(operator: Api) -> None:
    made = await accounts(operator, *"abcde")
    page = await operator.get("/v1/accounts?limit=2")
    seen = [row["id"] for row in page["data"]]
    while page["nextCursor"]:
        await accounts(operator, "new")
        page = await operator.get(f"/v1/accounts?limit=2&cursor={page['nextCursor']}")
        seen += [row["id"] for row in page["data"]]

    assert seen == made[::-1]


async def test_a_cursor_outlives_the_row_behind_which_it_stands(operator: Api) -> None:
    made = await accounts(operator, *"abcd")
    page = await operator.get("/v1/accounts?limit=2")
    await operator.call("DELETE", f"/v1/accounts/{made[2]}")

    rest = await operator.get(f"/v1/accounts?cursor={page['nextCursor']}")
    assert [row["id"] for row in rest["data"]] == [made[1], made[0]]


async def test_the_default_page_has_25_rows(operator: Api) -> None:
    await accounts(operator, *map(str, range(26)))

    page = await operator.get("/v1/accounts")
    assert len(page["data"]) == 25
    assert page["nextCursor"] is not None


@pytest.mark.parametrize("limit", ["0", "101", "-1", "1.5", "x", "", "9" * 400, "true"])
async def test_limits_are_from_1_to_100(limit: str, operator: Api) -> None:
    is_field(await operator.call("GET", f"/v1/accounts?limit={limit}"), "query:limit", "an integer from 1 to 100")


@pytest.mark.parametrize("cursor", ["x", "=", "%00", "a" * 22 + "b" * 100, "é", "acc_01jd3v8k5fe8ya3q8r0m2n6x7c", ""])
async def test_cursors_are_those_of_another_list(cursor: str, operator: Api) -> None:
    is_field(await operator.call("GET", f"/v1/accounts?cursor={cursor}"), "query:cursor", "expected")


async def test_a_made_up_cursor_is_harmless(operator: Api) -> None:
    await accounts(operator, "a")
    for made_up in (bytes(16), b"\xff" * 16, os.urandom(16)):
        cursor = base64.urlsafe_b64encode(made_up).decode().rstrip("=")
        assert (await operator.call("GET", f"/v1/accounts?cursor={cursor}")).status == 200


async def test_unknown_query_parameters_are_refused_like_unknown_fields(operator: Api) -> None:
    is_field(await operator.call("GET", "/v1/accounts?limt=5"), "query:limt", "no such parameter", "limit")
    is_field(await operator.call("GET", "/v1/accounts?limit=5&limit=6"), "query:limit", "once")
    is_field(await operator.call("POST", "/v1/accounts?name=x", {"name": "Acme"}), "query:name", "no query")


async def test_deleting_an_account_cancels_what_waits_and_keeps_the_history(operator: Api, receiver: Receiver) -> None:
    receiver.answer(status=500)
    merchant = await a_merchant(operator, webhook_url=receiver.url())
    other = await a_merchant(operator, webhook_url=receiver.url("/other"))
    async with operator.as_key(merchant.key) as caller:
        await caller.post("/v1/test-events", {"event": "esim.activated"})
        await receiver.wait_for(1)

        assert (await operator.call("DELETE", f"/v1/accounts/{merchant.account}")).status == 204

        is_problem(await caller.call("GET", "/v1/deliveries"), 401)
    tenant = f"account={merchant.account}&mode=test"
    [delivery] = (await operator.get(f"/v1/deliveries?{tenant}"))["data"]
    assert (delivery["status"], delivery["nextAttemptAt"]) == ("cancelled", None)
    is_problem(await operator.call("POST", f"/v1/deliveries/{delivery['id']}/retry?{tenant}"), 404)
    is_problem(await operator.call("POST", f"/v1/events/{delivery['event']}/resend?{tenant}", {}), 404)
    is_problem(await operator.call("GET", f"/v1/endpoints/{merchant.endpoint}?{tenant}"), 404)
    async with operator.as_key(other.key) as caller:
        assert len((await caller.get("/v1/endpoints"))["data"]) == 1
