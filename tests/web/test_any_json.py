"""Whatever JSON is sent to whatever route: an answer below 500, and a problem where it is refused."""

import json
import math

from hypothesis import given, settings
from hypothesis import strategies as st

from api import Api, Json
from esimhooks.server.api.strict_json import MAX_DEPTH, check
from web.routes import WITH_BODY, is_problem

WORDS = [
    "name",
    "mode",
    "webhookUrl",
    "allowedIps",
    "expiresAt",
    "url",
    "eventTypes",
    "retrySchedule",
    "timeout",
    "maxInFlight",
    "kind",
    "baseUrl",
    "credentials",
    "settings",
    "account",
    "provider",
    "transactionId",
    "orderNo",
    "packageCode",
    "quantity",
    "updates",
    "event",
    "esim",
    "data",
    "iccid",
    "esimStatus",
    "occurredAt",
    "totalVolume",
    "dataUsage",
    "expiredTime",
]
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    | st.sampled_from(
        ["live", "test", "esimaccess", "esim.*", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"]
    )
)
names = st.sampled_from(WORDS) | st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
values: st.SearchStrategy[Json] = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=6), max_leaves=12
)


@settings(max_examples=25)
@given(value=values)
async def test_no_json_is_answered_with_a_5xx(operator: Api, value: Json) -> None:
    body = json.dumps(value).encode()
    for route in WITH_BODY:
        query = "?account=acc_00000000000000000000000000&mode=test" if route.of_tenant else ""
        answer = await operator.raw(route.method, route.at() + query, body, content_type="application/json")
        assert answer.status < 500, (route, value, answer)
        if answer.status >= 400:
            is_problem(answer, answer.status)


@given(value=values)
def test_json_that_is_in_order_passes_whatever_its_layout(value: Json) -> None:
    if "\x00" in json.dumps(value, ensure_ascii=False) or "\\u0000" in json.dumps(value):
        return

    check(json.dumps(value).encode())
    check(json.dumps(value, ensure_ascii=False, indent=1).encode())


def test_brackets_in_text_are_no_nesting() -> None:
    check(json.dumps(["[" * 1000, '\\"[' * 1000, {"{" * 1000: "\\"}]).encode())
    check(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)


def test_the_largest_numbers_pass() -> None:
    check(str([2**63 - 1, -(2**63 - 1), math.nextafter(math.inf, 0), 5e-324]).encode())
