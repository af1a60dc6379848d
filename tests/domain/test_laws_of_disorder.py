"""The order of arrival does not matter: what was reported last by the provider's time is what counts."""

from itertools import permutations
from random import Random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from msgspec import to_builtins

from esimhooks.server.domain.esim import Esim
from esimhooks.server.domain.plans import Plan
from esimhooks.server.domain.transition import apply
from esimhooks.server.domain.update import Cause, Identity, Update
from esimhooks.server.domain.wire import esim_data
from esimhooks.vocabulary.statuses import EsimStatus, PlanState, SmdpStatus
from factories import an_order, an_update, apply_updates, days, hours

ARRIVED = days(30)

Facts = tuple[EsimStatus | None, SmdpStatus | None, tuple[int, int] | None, bool]

facts: st.SearchStrategy[Facts] = st.tuples(
    st.none() | st.sampled_from(EsimStatus),
    st.none() | st.sampled_from(SmdpStatus),
    st.none() | st.tuples(st.integers(1, 1000), st.integers(0, 1000)),
    st.booleans(),
)


def as_of(hour: int, applied: Facts, cause: Cause) -> Update:
    """An update that reports its axes whole; figures carry a time of their own where the last fact says so."""
    status, smdp_status, figures, own_time = applied
    at = hours(hour)
    return an_update(
        cause=cause,
        occurred_at=at,
        esim_status=status,
        smdp_status=smdp_status,
        total_bytes=figures and figures[0],
        used_bytes=figures and figures[1],
        usage_at=at if own_time or cause is Cause.REQUERY else None,
    )


def axes(esim: Esim) -> tuple[object, ...]:
    return esim.status, esim.smdp_status, esim.total_bytes, esim.used_bytes


def after(updates: list[Update]) -> tuple[object, ...]:
    return axes(apply_updates(an_order(), updates, received_at=ARRIVED)[-1].esim)


@given(
    applied=st.lists(facts, min_size=2, max_size=4),
    causes=st.lists(st.sampled_from([Cause.PUSH, Cause.POLL, Cause.VALIDITY, Cause.REQUERY]), min_size=4, max_size=4),
)
def test_any_order_of_arrival_leads_to_the_same_state(applied: list[Facts], causes: list[Cause]) -> None:
    updates = [as_of(hour, one, cause) for hour, (one, cause) in enumerate(zip(applied, causes, strict=False))]

    assert {after(list(order)) for order in permutations(updates)} == {after(updates)}


@given(applied=st.lists(facts, min_size=1, max_size=8), order=st.randoms(use_true_random=False))
def test_on_each_axis_the_latest_report_counts(applied: list[Facts], order: Random) -> None:
    updates = [as_of(hour, one, Cause.PUSH) for hour, one in enumerate(applied)]
    shuffled = list(updates)
    order.shuffle(shuffled)

    status = next((one[0] for one in reversed(applied) if one[0]), None)
    smdp_status = next((one[1] for one in reversed(applied) if one[1]), None)
    figures = next((one[2] for one in reversed(applied) if one[2]), (None, None))

    assert after(shuffled) == (status, smdp_status, *figures)


@given(order=st.permutations(range(1, 7)), statuses=st.lists(st.sampled_from(SmdpStatus), min_size=6, max_size=6))
def test_numbered_profile_notifications_are_ordered_by_their_number(
    order: list[int], statuses: list[SmdpStatus]
) -> None:
    updates = [
        an_update(occurred_at=hours(-number), smdp_status=statuses[number - 1], smdp_sequence=number, eid="8" * 32)
        for number in order
    ]

    final = apply_updates(an_order(), updates, received_at=ARRIVED)[-1].esim

    assert (final.smdp_status, final.smdp_sequence) == (statuses[-1], 6)


details = st.fixed_dictionaries(
    {},
    optional={
        "esim_status": st.sampled_from([s for s in EsimStatus if s is not EsimStatus.PENDING]),
        "smdp_status": st.sampled_from(SmdpStatus),
        "activate_at": st.integers(-20, 20).map(days),
        "expire_at": st.integers(1, 200).map(days),
        "total_days": st.integers(1, 60),
        "total_bytes": st.integers(1, 1000),
        "used_bytes": st.integers(0, 1000),
        "unlimited": st.booleans(),
        "ac": st.sampled_from(["LPA:1$a$1", "LPA:1$a$2"]),
        "eid": st.sampled_from(["8" * 32, "9" * 32]),
        "apn": st.sampled_from(["one", "two"]),
        "imsi": st.sampled_from(["001010000000001", "001010000000002"]),
        "package_code": st.sampled_from(["P1", "P2"]),
        "throttled": st.booleans(),
        "iccid": st.just("8943000000123456785"),
        "plans": st.lists(
            st.builds(
                Plan,
                id=st.sampled_from(["a", "b"]),
                state=st.none() | st.sampled_from(PlanState),
                total_bytes=st.none() | st.integers(1, 1000),
                used_bytes=st.none() | st.integers(0, 1000),
                expire_at=st.none() | st.integers(1, 200).map(days),
            ),
            max_size=2,
            unique_by=lambda plan: plan.id,
        ).map(tuple),
    },
)


def a_report(hour: int, fields: dict[str, Any]) -> Update:
    rest = dict(fields)
    identity = Identity(esim_tran_no="T1", iccid=rest.pop("iccid", None))
    return an_update(identity=identity, occurred_at=hours(hour), **rest)


def shown(updates: list[Update]) -> dict[str, Any]:
    esim = an_order()
    for update in updates:
        esim = apply(esim, update, received_at=ARRIVED).after
    data: dict[str, Any] = to_builtins(esim_data(esim, now=ARRIVED))
    return data | {"id": None}


@given(reports=st.lists(details, min_size=2, max_size=6), order=st.randoms(use_true_random=False))
def test_the_same_facts_in_any_order_give_the_same_esim(reports: list[dict[str, Any]], order: Random) -> None:
    updates = [a_report(hour, fields) for hour, fields in enumerate(reports)]
    shuffled = list(updates)
    order.shuffle(shuffled)

    assert shown(shuffled) == shown(updates)
