"""Other people's collections of bad input through every operation that takes a body: refused in order, or kept exactly.

JSONTestSuite as whole bodies; the Big List of Naughty Strings in every field of free text, and back in answers and
webhooks. `make test` deals them out over operations and fields, so that each is sent several times; `make corpora` sends
all of them to each.
"""

import json
import os
from pathlib import Path

import pytest

from api import Api, Json, a_merchant
from esimhooks.server.domain.ids import new_id
from receiver import Receiver
from web.described import Described, Document, JsonPath, found, put
from web.routes import WITH_BODY, Route, is_problem
from web.rows import rows_of

CORPORA = Path(__file__).parents[1] / "corpora"
TEXTS: dict[str, str] = json.loads((CORPORA / "json-test-suite" / "parsing.json").read_text())
NAUGHTY: list[str] = json.loads((CORPORA / "blns" / "blns.json").read_text())
REFUSED_BY_US = {
    "y_object_duplicated_key": "two parsers read it differently",
    "y_object_duplicated_key_and_value": "two parsers read it differently",
    "y_object_escaped_null_in_key": "PostgreSQL cannot keep NUL",
    "y_string_null_escape": "PostgreSQL cannot keep NUL",
}
KNOWN = {"data": "packageName", "credentials": "accessCode"}
"""Where any name may stand, but only some are taken."""
BATCH = 100
WHOLE = os.environ.get("CORPORA") == "whole"
HANDS = {"json": 1 if WHOLE else 4, "naughty": 1 if WHOLE else 8}
"""Among how many operations, or fields, one collection is dealt out."""
WITHOUT_FREE_TEXT = (
    "/v1/updates",
    "/v1/events/{event_id}/resend",
    "/v1/operator-keys/{key_id}",
    "/v1/accounts/{account_id}/portal-links",
    "/v1/endpoints/{endpoint_id}/rotate-secret",
    "/v1/deliveries/retry",
    "/v1/providers/{name}/dry-run",
)
"""Their only free text outside of eSIMs is an id."""
DOCUMENT = Document()
WITH_TEXT = [one for one in DOCUMENT.operations if one.body and list(DOCUMENT.texts(one.body))]

pytestmark = [pytest.mark.slow(reason="sends hundreds of bodies"), pytest.mark.timeout(300)]


def raw(text: str) -> bytes:
    """Return the bytes of a text; U+FFFD stands for what is no UTF-8."""
    return text.encode().replace("\ufffd".encode(), b"\xff")


@pytest.mark.parametrize("route", WITH_BODY, ids=lambda route: f"{route.method} {route.path}")
async def test_what_is_no_json_is_a_400_and_what_is_json_never(operator: Api, route: Route) -> None:
    path = route.at() + ("?account=acc_01jd3v8k5fe8ya3q8r0m2n6x7c&mode=test" if route.of_tenant else "")
    dealt = list(TEXTS.items())[WITH_BODY.index(route) % HANDS["json"] :: HANDS["json"]]
    for name, text in dealt:
        answer = await operator.raw(route.method, path, raw(text), content_type="application/json")
        taken = not text and not route.needs_body
        if (name.startswith("n_") and not taken) or name in REFUSED_BY_US:
            is_problem(answer, 400)
        elif name.startswith("y_"):
            is_problem(answer, 404, 422)
        else:
            is_problem(answer, 400, 404, 422)


@pytest.mark.parametrize("one", WITH_TEXT, ids=lambda one: f"{one.method} {one.path}")
async def test_naughty_strings_are_refused_in_order_or_kept_exactly(
    operator: Api, receiver: Receiver, one: Described
) -> None:
    account = (await operator.post("/v1/accounts", {"name": "Acme"}))["id"]
    rows = await rows_of(operator, account, "test", receiver.url())
    await operator.put("/v1/providers/upstream", {"kind": "esimaccess"})
    path = one.at(rows.ids | {"name": "upstream"}) + (f"?{rows.query}" if one.of_tenant else "")
    plain = one.example or DOCUMENT.smallest(one.body)
    accepted = 0
    places = dict.fromkeys(_known(steps) for steps in DOCUMENT.texts(one.body))
    for number, steps in enumerate(places, WITH_TEXT.index(one)):
        for text in NAUGHTY[number % HANDS["naughty"] :: HANDS["naughty"]]:
            body = put(plain | ({"account": account} if "account" in plain else {}), steps, text)
            if "transactionId" in plain and steps != ("transactionId",):
                body["transactionId"] = str(new_id())
            answer = await operator.call(one.method, path, body)
            assert answer.status < 500, (steps, text, answer)
            if answer.status >= 400:
                is_problem(answer, answer.status)
                continue
            accepted += 1
            shown = found(answer.body, steps)
            assert shown in (None, text), (steps, text, shown)
    assert accepted or one.path in WITHOUT_FREE_TEXT


def _known(steps: JsonPath) -> JsonPath:
    return (steps[0], KNOWN[str(steps[0])]) if steps[0] in KNOWN and len(steps) == 2 else steps


async def test_naughty_strings_arrive_in_webhooks_as_they_were_handed_in(operator: Api, receiver: Receiver) -> None:
    merchant = await a_merchant(operator, webhook_url=receiver.url())
    fields = ("packageName", "packageCode", "orderNo", "apn", "ac", "qrCodeUrl", "shortUrl")
    updates: list[Json] = [
        {"transactionId": f"t-{number}", "esimStatus": "CREATED"} | dict.fromkeys(fields, text)
        for number, text in enumerate(NAUGHTY)
    ]
    results = []
    for first in range(0, len(updates), BATCH):
        body = {"account": merchant.account, "mode": "test", "updates": updates[first : first + BATCH]}
        results += (await operator.post("/v1/updates", body, status=200))["results"]
    kept = [update for update, result in zip(updates, results, strict=True) if result["outcome"] == "applied"]
    arrived = {}
    for request in await receiver.wait_for(len(kept), timeout=60):
        data = json.loads(request.body)["data"]
        arrived[data["transactionId"]] = {name: data[name] for name in fields}

    assert {result["outcome"] for result in results} <= {"applied", "invalid"}
    assert len(kept) > len(NAUGHTY) * 0.9
    assert arrived == {update["transactionId"]: {name: update[name] for name in fields} for update in kept}
