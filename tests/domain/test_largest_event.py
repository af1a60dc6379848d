"""No event is larger than 256 KiB, whatever is reported of an eSIM (wire, "Envelope")."""

import json
from typing import Any

import msgspec
from msgspec.structs import replace

from esimhooks.server.domain.plans import MAX_PLANS, MAX_PLANS_BYTES, PLAN_BYTES, Plan, merge, wire_bytes
from esimhooks.server.domain.update import Update
from esimhooks.server.domain.validation import decode
from esimhooks.server.domain.wire import esim_data
from esimhooks.server.providers.generic import UpdateBody, to_update
from esimhooks.vocabulary.envelope import MAX_BODY_BYTES, encode
from esimhooks.vocabulary.statuses import PlanState
from factories import NOON, an_active_esim, an_order, apply_update, hours

WIDE = "\U0001f4f6"
"""Four bytes of UTF-8, as many as a letter can have."""


def largest(number: int) -> Update:
    """An update with as much as may be handed in; of another number, all of it is different."""
    text, long = str(number) + WIDE * 199, str(number) + WIDE * 1999
    letters = (MAX_PLANS_BYTES // MAX_PLANS - PLAN_BYTES - 20) // 8
    plan = {"totalVolume": 999_999_999.99, "dataUsage": 999_999_999.98 - number, "state": "depleted"}
    times = {"activateTime": "2026-03-01T10:00:00.123Z", "expiredTime": f"2026-03-0{number}T10:00:00.123Z"}
    applied: dict[str, Any] = {
        **dict.fromkeys(
            ("transactionId", "orderNo", "esimTranNo", "packageCode", "packageName", "apn", "reason"), text
        ),
        **dict.fromkeys(("ac", "qrCodeUrl", "shortUrl"), long),
        "iccid": "8943000000123456785",
        "esimStatus": "SUSPENDED",
        "location": {"country": text, "network": text, "at": times["expiredTime"]},
        "device": {"make": text, "model": text},
        "topUp": {"transactionId": text, "packageCode": text},
        "metadata": {str(number): WIDE * 1018},
        "plans": [
            plan | times | {"id": f"{index:02}{WIDE * letters}", "name": WIDE * letters} for index in range(MAX_PLANS)
        ],
    }
    return to_update(decode(json.dumps(applied).encode(), UpdateBody))


def test_the_largest_update_after_another_raises_events_that_fit() -> None:
    first = apply_update(an_active_esim(), largest(1))

    second = apply_update(replace(first.esim, status=None), largest(2), received_at=hours(2))

    sizes = [len(encode(one)) for one in second.envelopes]
    assert max(sizes) > MAX_BODY_BYTES // 2, "it is as large as it can be"
    assert max(sizes) <= MAX_BODY_BYTES


def test_a_plan_is_never_larger_than_it_is_counted() -> None:
    plan = Plan(
        id='"' * 200,
        name=WIDE * 200,
        state=PlanState.DEPLETED,
        total_bytes=2**62,
        used_bytes=2**61,
        activate_at=NOON,
        expire_at=NOON,
    )
    [applied] = esim_data(an_order(further=replace(an_order().further, plans=(plan,))), now=NOON).plans or []

    assert len(msgspec.json.encode(applied)) <= wire_bytes([plan])


def test_the_oldest_plans_that_are_over_make_room_then_those_that_are_new() -> None:
    over = [Plan(id=f"a{index:02}", state=PlanState.EXPIRED, reported_at={"state": hours(index)}) for index in range(2)]
    active = [Plan(id=f"b{index:02}", state=PlanState.ACTIVE) for index in range(MAX_PLANS - 2)]

    one_more = merge([*over, *active], [Plan(id="c1", state=PlanState.ACTIVE)], time_of=lambda last: last or hours(9))
    full = merge(
        one_more,
        [Plan(id=name, state=PlanState.ACTIVE) for name in ("c2", "c3")],
        time_of=lambda last: last or hours(9),
    )

    assert [plan.id for plan in one_more] == ["a01", *(plan.id for plan in active), "c1"]
    assert len(full) == MAX_PLANS
    assert "a01" not in {plan.id for plan in full}
    assert len({"c2", "c3"} & {plan.id for plan in full}) == 1


def test_of_plans_that_are_over_the_one_heard_of_last_stays() -> None:
    early = Plan(id="a", state=PlanState.EXPIRED, reported_at={"state": hours(1), "name": hours(2)})
    late = Plan(id="b", state=PlanState.EXPIRED, reported_at={"state": hours(0), "name": hours(5)})
    active = [Plan(id=f"c{number:02}", state=PlanState.ACTIVE) for number in range(MAX_PLANS - 2)]

    kept = merge([early, late, *active], [Plan(id="d", state=PlanState.ACTIVE)], time_of=lambda last: last or hours(9))

    assert {"a", "b"} & {plan.id for plan in kept} == {"b"}
