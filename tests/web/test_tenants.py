"""No tenant reaches another's rows: every operation that takes an id, with every foreign id; every list.

Operations come from the document, so that one added later is tested by itself; where it needs a body to be
carried out, `BODIES` has it.
"""

import itertools
import json

import pytest

from api import Api
from receiver import Receiver
from web.routes import API, is_field, is_problem
from web.rows import Rows, rows_of

BODIES: dict[tuple[str, str], dict[str, object]] = {
    ("POST", "/v1/endpoints/{endpoint_id}/rotate-secret"): {},
    ("POST", "/v1/endpoints/{endpoint_id}/test"): {"event": "esim.activated"},
    ("POST", "/v1/events/{event_id}/resend"): {},
    ("POST", "/v1/endpoints/{endpoint_id}/recover"): {"from": "2020-01-01T00:00:00Z"},
    ("PATCH", "/v1/endpoints/{endpoint_id}"): {},
}
FILTERS = {"esim": "esim_id", "event": "event_id", "endpoint": "endpoint_id", "after": "event_id"}
OF_TENANT = [route for route in API if route.of_tenant]


async def three(operator: Api, receiver: Receiver) -> list[Rows]:
    """An account in both modes, and another account."""
    mine, other = [(await operator.post("/v1/accounts", {"name": name}))["id"] for name in ("Mine", "Other")]
    return [
        await rows_of(operator, account, mode, receiver.url(f"/{account}/{mode}"))
        for account, mode in ((mine, "test"), (mine, "live"), (other, "test"))
    ]


@pytest.mark.slow(reason="makes rows of three tenants and asks for each at every operation in two ways")
@pytest.mark.timeout(30)
async def test_every_operation_with_a_foreign_id_is_a_404(operator: Api, receiver: Receiver) -> None:
    tenants = await three(operator, receiver)
    tried = 0
    for mine, other in itertools.permutations(tenants, 2):
        async with operator.as_key(mine.key) as merchant:
            for route in [route for route in OF_TENANT if route.parameters]:
                body = BODIES.get((route.method, route.path))
                is_problem(await merchant.call(route.method, route.at(**other.ids), body), 404)
                is_problem(await operator.call(route.method, f"{route.at(**other.ids)}?{mine.query}", body), 404)
                tried += 1

    assert tried >= 6 * 8
    for tenant in tenants:
        for route in [route for route in OF_TENANT if route.parameters and route.method == "GET"]:
            assert (await operator.call("GET", f"{route.at(**tenant.ids)}?{tenant.query}")).status == 200


@pytest.mark.slow(reason="makes rows of three tenants and reads every list of each")
@pytest.mark.timeout(30)
async def test_no_list_shows_a_row_of_another(operator: Api, receiver: Receiver) -> None:
    tenants = await three(operator, receiver)
    lists = [route for route in OF_TENANT if route.method == "GET" and not route.parameters]
    assert len(lists) >= 4
    for mine in tenants:
        foreign = {one for other in tenants if other is not mine for one in other.ids.values()} - {mine.account}
        async with operator.as_key(mine.key) as merchant:
            for route in lists:
                answer = await merchant.get(route.path)
                shown = json.dumps(answer)
                assert answer["data"], route
                assert [one for one in foreign if one in shown] == []


@pytest.mark.slow(reason="makes rows of three tenants")
@pytest.mark.timeout(30)
async def test_a_filter_by_a_foreign_id_finds_nothing(operator: Api, receiver: Receiver) -> None:
    mine, *others = await three(operator, receiver)
    async with operator.as_key(mine.key) as merchant:
        for other in others:
            for name in ("esim", "event", "endpoint"):
                found = await merchant.get(f"/v1/deliveries?{name}={other.ids[FILTERS[name]]}")
                assert found == {"data": [], "nextCursor": None}
            assert (await merchant.get(f"/v1/events?esim={other.ids['esim_id']}"))["data"] == []
            is_field(await merchant.call("GET", f"/v1/events?after={other.ids['event_id']}"), "query:after", "kept")


@pytest.mark.slow(reason="makes rows of three tenants")
@pytest.mark.timeout(30)
async def test_a_test_event_cannot_speak_of_a_foreign_esim(operator: Api, receiver: Receiver) -> None:
    mine, *others = await three(operator, receiver)
    async with operator.as_key(mine.key) as merchant:
        for other in others:
            body = {"event": "esim.activated", "esim": other.ids["esim_id"]}
            is_problem(await merchant.call("POST", "/v1/test-events", body), 404)


@pytest.mark.slow(reason="makes rows of three tenants")
@pytest.mark.timeout(30)
async def test_a_merchant_may_name_its_own_account_and_mode_and_no_other(operator: Api, receiver: Receiver) -> None:
    tenants = await three(operator, receiver)
    for mine, named in itertools.product(tenants, repeat=2):
        async with operator.as_key(mine.key) as merchant:
            answer = await merchant.call("GET", f"/v1/esims?{named.query}")
            assert answer.status == (200 if named is mine else 404)
