"""Whatever is set of a test event: it is raised and agrees with itself and its eSIM, or it is refused with a reason."""

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from api import Api, Json, a_merchant
from esimhooks.server.manage.test_events import SETTABLE
from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.schemas import schema_of
from esimhooks.vocabulary.statuses import EsimStatus, SmdpStatus
from web.routes import is_problem

texts = st.text(
    st.characters(min_codepoint=32, max_codepoint=0x24F, exclude_categories=["Cc"]), min_size=1, max_size=20
)
volumes = st.integers(0, 20_000) | st.floats(0, 20_000).map(lambda number: round(number, 2))
times = st.integers(1_420_070_400, 2_051_222_400).map(lambda seconds: datetime.fromtimestamp(seconds, UTC).isoformat())
OF_KIND: dict[str, st.SearchStrategy[Json]] = {
    "iccid": st.from_regex(r"[0-9]{18,20}", fullmatch=True),
    "imsi": st.from_regex(r"[0-9]{15}", fullmatch=True),
    "msisdn": st.from_regex(r"\+?[0-9]{1,15}", fullmatch=True),
    "eid": st.from_regex(r"[0-9]{32}", fullmatch=True),
    "esimStatus": st.sampled_from(list(EsimStatus)),
    "smdpStatus": st.sampled_from(list(SmdpStatus)),
    "durationUnit": st.just("DAY"),
    "totalDuration": st.integers(1, 400),
    "validity_usage_remain": st.integers(0, 400),
    "unlimited": st.booleans(),
    "throttled": st.booleans(),
} | dict.fromkeys(("totalVolume", "dataUsage", "data_usage_remain"), volumes)
OF_KIND |= dict.fromkeys(("activateTime", "expiredTime", "lastUsageUpdate"), times)
wrong = st.none() | st.booleans() | st.integers(-5, 10**12) | texts | st.just("2026-11-30")
facts: st.SearchStrategy[dict[str, Json]] = st.fixed_dictionaries(
    {}, optional={name: OF_KIND.get(name, texts) | (OF_KIND.get(name, texts) | wrong) for name in SETTABLE}
)
few: st.SearchStrategy[dict[str, Json]] = st.lists(st.sampled_from(SETTABLE), max_size=4, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({name: OF_KIND.get(name, texts) for name in names})
)


def disagreements(event: Json, esim: Json, facts: Json) -> list[str]:
    data, at = event["data"], datetime.fromisoformat(event["timestamp"])
    used, rest, total = (data[name] for name in ("dataUsage", "data_usage_remain", "totalVolume"))
    changes = event["changes"]
    times_of = {
        name: datetime.fromisoformat(data[name]) for name in ("createdAt", "updatedAt", "lastUsageUpdate") if data[name]
    }
    found = {
        "the eSIM as it is read": esim == data,
        "rest": None in (used, rest, total) or abs(max(total - used, 0) - rest) < 0.02,
        "changes": all(one["new"] == data[name] != one["old"] for name, one in changes.items()),
        "new status": event.get("newStatus", data["esimStatus"]) == data["esimStatus"],
        "statuses": ("previousStatus" in event) == ("newStatus" in event),
        "times": all(one <= at + timedelta(seconds=1) for name, one in times_of.items() if name not in facts),
        "made before": times_of["createdAt"] < at,
    }
    return [name for name, holds in found.items() if not holds]


@settings(max_examples=25)
@given(event=st.sampled_from(list(EventType)), data=few | facts)
async def test_a_test_event_agrees_with_itself_or_is_refused(operator: Api, event: EventType, data: Json) -> None:
    merchant = await a_merchant(operator)
    async with operator.as_key(merchant.key) as caller:
        answer = await caller.call("POST", "/v1/test-events", {"event": event, "data": data})
        if answer.status != 201:
            assert answer.status in (409, 422), answer
            is_problem(answer, answer.status)
            return
        made = await caller.get(f"/v1/events/{answer.body['id']}")
        esim = await caller.get(f"/v1/esims/{made['data']['id']}")

    Draft202012Validator(schema_of(event)).validate(made)
    assert made["event"] == event
    assert disagreements(made, esim, data) == []
    text = {
        name: value for name, value in data.items() if value is not None and isinstance(made["data"].get(name), str)
    }
    assert {
        name: made["data"][name] for name in text if name not in ("expiredTime", "activateTime", "lastUsageUpdate")
    } == {name: value for name, value in text.items() if name not in ("expiredTime", "activateTime", "lastUsageUpdate")}
