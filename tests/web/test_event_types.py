"""Event types: meaning, schema and example of each, as any key may read them."""

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from api import Api, a_merchant
from esimhooks.vocabulary.events import EventType
from web.routes import is_field, is_problem


async def test_each_event_type_has_its_meaning_and_an_example_that_fits_its_schema(operator: Api) -> None:
    merchant = await a_merchant(operator)
    async with operator.as_key(merchant.key) as api:
        rows = (await api.get("/v1/event-types"))["data"]
        assert [row["event"] for row in rows] == list(EventType)
        for row in rows:
            shown = await api.get(f"/v1/event-types/{row['event']}")
            assert row["meaning"] == shown["meaning"] != ""
            Draft202012Validator(shown["schema"]).validate(shown["example"])
            assert shown["example"]["event"] == row["event"]
        is_problem(await api.call("GET", "/v1/event-types/esim.nope"), 404)


async def test_event_types_come_in_pages_as_all_lists_do(operator: Api) -> None:
    seen, cursor = [], ""
    for size in (3, 3, 2):
        page = await operator.get(f"/v1/event-types?limit=3{cursor}")
        assert len(page["data"]) == size
        seen += [row["event"] for row in page["data"]]
        cursor = f"&cursor={page['nextCursor']}"
    assert (seen, page["nextCursor"]) == (list(EventType), None)
    for wrong in ("limit=0", "limit=101"):
        is_field(await operator.call("GET", f"/v1/event-types?{wrong}"), "query:limit", "1 to 100")
    is_field(await operator.call("GET", "/v1/event-types?cursor=%21"), "query:cursor", "expected the nextCursor")


async def test_schemas_are_open_to_all(operator: Api) -> None:
    async with operator.as_key("wrong") as stranger:
        answer = await stranger.call("GET", "/schemas/esim.activated.json")
        assert (answer.status, answer.body["title"]) == (200, "esim.activated")
        assert answer.headers["content-type"].startswith("application/schema+json")
        for name in ("esim.activated", "esim.nope.json", ".json"):
            is_problem(await stranger.call("GET", f"/schemas/{name}"), 404)
