"""Which change of status raises which event: every row of the table of statuses, and everything beside it."""

import pytest
from msgspec import UNSET

from esimhooks.vocabulary.envelope import FieldChange
from esimhooks.vocabulary.statuses import EsimStatus, SmdpStatus
from factories import NOON, an_esim, an_order, an_update, apply_update, hours

CREATED, IN_USE, ACTIVATED = EsimStatus.CREATED, EsimStatus.IN_USE, EsimStatus.ACTIVATED
LATER = sorted(set(EsimStatus) - {CREATED, EsimStatus.PENDING})

TABLE = [
    (EsimStatus.CREATED, "created", UNSET),
    (EsimStatus.ACTIVATED, "activated", UNSET),
    (EsimStatus.IN_USE, "activated", UNSET),
    (EsimStatus.SUSPENDED, "suspended", "suspended"),
    (EsimStatus.CANCEL, "suspended", "cancelled"),
    (EsimStatus.REVOKED, "suspended", "revoked"),
    (EsimStatus.EXPIRED, "expired", "validity_ended"),
    (EsimStatus.USED_UP, "expired", "data_used_up"),
    (EsimStatus.USED_EXPIRED, "expired", "data_used_and_validity_ended"),
    (EsimStatus.UNUSED_EXPIRED, "expired", "unused_data_expired"),
    (EsimStatus.FAILED, "status_changed", UNSET),
]
ROWS = pytest.mark.parametrize(
    ("status", "event", "reason"), TABLE, ids=[f"{status.value} raises esim.{event}" for status, event, _ in TABLE]
)


@ROWS
def test_a_new_status_raises_its_event(status: EsimStatus, event: str, reason: str) -> None:
    pending = an_esim(status=EsimStatus.PENDING)

    applied = apply_update(pending, an_update(occurred_at=hours(1), esim_status=status))

    assert applied.events == [event]
    assert applied.only.reason == reason
    assert (applied.only.previous_status, applied.only.new_status) == (EsimStatus.PENDING, status)
    assert applied.only.changes is not UNSET
    assert applied.only.changes["esimStatus"] == FieldChange(old="PENDING", new=status.value)
    assert applied.only.data.esim_status is status


@ROWS
def test_a_first_status_raises_its_event_without_a_previous_one(status: EsimStatus, event: str, reason: str) -> None:
    applied = apply_update(an_order(), an_update(occurred_at=hours(1), esim_status=status))

    assert applied.events == [event]
    assert applied.only.reason == reason
    assert (applied.only.previous_status, applied.only.new_status) == (UNSET, status)
    assert applied.only.changes is UNSET


def test_pending_as_the_first_status_raises_nothing() -> None:
    applied = apply_update(an_order(), an_update(occurred_at=hours(1), esim_status=EsimStatus.PENDING))

    assert applied.events == []
    assert applied.esim.status is EsimStatus.PENDING


def test_the_event_of_a_creation_says_what_the_order_has_become() -> None:
    pending = apply_update(an_order(), an_update(occurred_at=NOON, esim_status=EsimStatus.PENDING)).esim

    applied = apply_update(pending, an_update(occurred_at=hours(1), esim_status=CREATED, ac="LPA:1$a$b"))

    assert applied.only.changes == {
        "esimStatus": FieldChange(old="PENDING", new="CREATED"),
        "ac": FieldChange(old=None, new="LPA:1$a$b"),
    }


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param(ACTIVATED, IN_USE, id="ACTIVATED to IN_USE means the same"),
        pytest.param(IN_USE, ACTIVATED, id="IN_USE to ACTIVATED means the same"),
        *(pytest.param(old, CREATED, id=f"back to CREATED from {old.value}") for old in LATER),
        *(pytest.param(old, EsimStatus.PENDING, id=f"back to PENDING from {old.value}") for old in [*LATER, CREATED]),
    ],
)
def test_every_other_change_is_status_changed(old: EsimStatus, new: EsimStatus) -> None:
    applied = apply_update(an_esim(status=old), an_update(occurred_at=hours(1), esim_status=new))

    assert applied.events == ["status_changed"]
    assert (applied.only.previous_status, applied.only.new_status, applied.only.reason) == (old, new, UNSET)


@pytest.mark.parametrize("old", [EsimStatus.SUSPENDED, EsimStatus.USED_UP, EsimStatus.EXPIRED, CREATED])
@pytest.mark.parametrize("new", [IN_USE, ACTIVATED])
def test_use_after_anything_else_is_activated(old: EsimStatus, new: EsimStatus) -> None:
    assert apply_update(an_esim(status=old), an_update(occurred_at=hours(1), esim_status=new)).events == ["activated"]


@pytest.mark.parametrize(
    ("old", "new", "event"),
    [
        (EsimStatus.USED_UP, EsimStatus.USED_EXPIRED, "expired"),
        (EsimStatus.SUSPENDED, EsimStatus.CANCEL, "suspended"),
        (EsimStatus.CANCEL, EsimStatus.REVOKED, "suspended"),
    ],
)
def test_the_event_is_a_function_of_the_new_status(old: EsimStatus, new: EsimStatus, event: str) -> None:
    assert apply_update(an_esim(status=old), an_update(occurred_at=hours(1), esim_status=new)).events == [event]


def test_the_operators_own_reason_replaces_ours() -> None:
    update = an_update(occurred_at=hours(1), esim_status=EsimStatus.SUSPENDED, reason="unpaid invoice")

    assert apply_update(an_esim(), update).only.reason == "unpaid invoice"


def test_a_reason_is_not_emitted_with_an_event_that_has_none() -> None:
    update = an_update(occurred_at=hours(1), esim_status=IN_USE, reason="welcome back")

    assert apply_update(an_esim(), update).only.reason is UNSET


def test_a_profile_status_alone_is_status_changed() -> None:
    applied = apply_update(an_esim(), an_update(occurred_at=hours(1), smdp_status=SmdpStatus.DOWNLOADED))

    assert applied.events == ["status_changed"]
    assert (applied.only.previous_status, applied.only.new_status) == (UNSET, UNSET)
    assert applied.only.changes == {"smdpStatus": FieldChange(old="RELEASED", new="DOWNLOADED")}


@pytest.mark.parametrize("status", sorted(SmdpStatus))
def test_a_profile_status_moves_in_any_direction(status: SmdpStatus) -> None:
    other = SmdpStatus.ENABLED if status is not SmdpStatus.ENABLED else SmdpStatus.DISABLED

    applied = apply_update(an_esim(smdp_status=other), an_update(occurred_at=hours(1), smdp_status=status))

    assert applied.events == ["status_changed"]
    assert applied.only.data.smdp_status is status
    assert applied.only.data.esim_status is CREATED


def test_a_profile_status_that_comes_with_a_status_is_emitted_in_the_same_single_event() -> None:
    update = an_update(occurred_at=hours(1), esim_status=IN_USE, smdp_status=SmdpStatus.ENABLED)

    applied = apply_update(an_esim(total_days=None), update)

    assert applied.events == ["activated"]
    assert applied.only.changes == {
        "esimStatus": FieldChange(old="CREATED", new="IN_USE"),
        "smdpStatus": FieldChange(old="RELEASED", new="ENABLED"),
        "activateTime": FieldChange(old=None, new="2026-11-23T13:00:00.000Z"),
    }


def test_the_same_status_again_raises_nothing() -> None:
    applied = apply_update(
        an_esim(), an_update(occurred_at=hours(1), esim_status=CREATED, smdp_status=SmdpStatus.RELEASED)
    )

    assert applied.events == []
    assert applied.change.outcome == "unchanged"


def test_the_timestamp_is_the_providers_time_of_the_change_and_otherwise_its_arrival() -> None:
    applied = apply_update(an_esim(), an_update(occurred_at=hours(1), esim_status=IN_USE), received_at=hours(2))
    untimed = apply_update(an_esim(), an_update(esim_status=IN_USE), received_at=hours(2))

    assert applied.only.timestamp == "2026-11-23T13:00:00.000Z"
    assert untimed.only.timestamp == "2026-11-23T14:00:00.000Z"
