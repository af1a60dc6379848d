"""Orders that failed, eSIMs that replace others, and profiles of other orders (lifecycle, "Orders, replacement, refund")."""

from datetime import datetime
from typing import Any

import pytest

from esimhooks.server.domain.change import UpdateOutcome
from esimhooks.server.domain.emit import emit
from esimhooks.server.domain.esim import Esim
from esimhooks.server.domain.ids import Prefix, new_id, text_of
from esimhooks.server.domain.transition import TERMINAL, apply, may_leave, superseded, superseding
from esimhooks.server.domain.update import Cause, Identity
from esimhooks.vocabulary.envelope import FieldChange
from esimhooks.vocabulary.events import EventType
from esimhooks.vocabulary.statuses import EsimStatus, SmdpStatus
from factories import EVERY_CHANGE, an_active_esim, an_esim, an_update, apply_update, hours

CREATED, FAILED = EsimStatus.CREATED, EsimStatus.FAILED
OTHER_ICCID = "8943000000000000014"


def a_failed_slot(**fields: Any) -> Esim:
    return an_esim(**({"status": FAILED, "status_at": hours(2)} | fields))


@pytest.mark.parametrize("status", sorted(set(EsimStatus) - TERMINAL))
def test_an_esim_that_has_not_ended_may_always_be_meant(status: EsimStatus) -> None:
    assert may_leave(an_esim(status=status), an_update(occurred_at=None))


@pytest.mark.parametrize("ended", sorted(TERMINAL))
@pytest.mark.parametrize(
    ("brings_back", "fields"),
    [
        (False, {}),
        (False, {"occurred_at": hours(1)}),
        (False, {"occurred_at": hours(2)}),
        (True, {"occurred_at": hours(3)}),
        (True, {"by_operator": True}),
        (True, {"cause": Cause.FILL}),
        (True, {"cause": Cause.REQUERY}),
        (False, {"by_operator": True, "esim_status": None}),
        (False, {"occurred_at": hours(3), "esim_status": EsimStatus.CANCEL}),
    ],
)
def test_an_esim_that_ended_is_brought_back_by_a_later_status_or_by_who_may(
    ended: EsimStatus, fields: dict[str, Any], *, brings_back: bool
) -> None:
    update = an_update(**({"occurred_at": None, "esim_status": CREATED} | fields))

    assert may_leave(a_failed_slot(status=ended), update) is brings_back
    if fields == {"occurred_at": hours(1)}:
        assert may_leave(a_failed_slot(status=ended, status_at=None), update)


def test_the_end_of_a_replaced_esim_is_emitted_with_who_replaces_it() -> None:
    old, new = an_active_esim(), new_id()

    change = superseded(old, new, now=hours(5))
    emission = emit(change, EVERY_CHANGE, now=hours(5))

    assert (change.outcome, change.after.status, change.after.updated_at) == (
        UpdateOutcome.APPLIED,
        EsimStatus.REVOKED,
        hours(5),
    )
    assert [(draft.type, draft.reason) for draft in emission.drafts] == [(EventType.SUSPENDED, "replaced")]
    assert emission.changes["replacedBy"] == FieldChange(old=None, new=text_of(Prefix.ESIM, new))
    assert emission.changes["esimStatus"] == FieldChange(old="IN_USE", new="REVOKED")


def test_one_that_was_revoked_before_is_emitted_as_replaced_once() -> None:
    old, new = an_esim(status=EsimStatus.REVOKED), new_id()

    first = emit(superseded(old, new, now=hours(5)), EVERY_CHANGE, now=hours(5))
    again = emit(superseded(first.esim, new, now=hours(6)), EVERY_CHANGE, now=hours(6))

    assert [(draft.type, draft.reason) for draft in first.drafts] == [(EventType.SUSPENDED, "replaced")]
    assert (first.previous_status, first.new_status) == (None, None)
    assert list(first.changes) == ["replacedBy"]
    assert again.drafts == ()


def test_a_link_is_a_change_also_where_what_is_reported_beside_it_is_old() -> None:
    known, old = an_active_esim(status_at=hours(2)), new_id()

    stale = apply(known, an_update(occurred_at=hours(1), esim_status=CREATED), received_at=hours(3))
    linked = superseding(stale, old, now=hours(3))

    assert (stale.outcome, linked.outcome) == (UpdateOutcome.STALE, UpdateOutcome.APPLIED)
    assert (linked.after.status, linked.after.further.replaces) == (known.status, old)


@pytest.mark.parametrize(
    ("replaces", "identity"),
    [
        (True, {}),
        (True, {"order_no": "B1"}),
        (True, {"transaction_id": "shop-1"}),
        (True, {"order_no": "B1", "transaction_id": "top-up"}),
        (False, {"order_no": "B2"}),
        (False, {"order_no": "B2", "transaction_id": "shop-1"}),
        (False, {"transaction_id": "shop-2"}),
    ],
)
def test_another_profile_counts_only_where_it_is_reported_of_the_same_order(
    identity: dict[str, str], *, replaces: bool
) -> None:
    esim = an_esim(ac="LPA:1$a$1", order_no="B1", transaction_id="shop-1")
    update = an_update(
        identity=Identity(esim_tran_no="T1", iccid=OTHER_ICCID, **identity),
        occurred_at=hours(1),
        ac="LPA:1$a$2",
        smdp_status=SmdpStatus.RELEASED,
    )

    applied = apply_update(esim, update)

    assert (applied.esim.iccid, applied.esim.ac) == (
        (OTHER_ICCID, "LPA:1$a$2") if replaces else (esim.iccid, "LPA:1$a$1")
    )
    assert [doubt.field for doubt in applied.change.doubts] == ([] if replaces else ["iccid"])


def test_of_the_profile_that_is_replaced_no_status_stays() -> None:
    update = an_update(identity=Identity(esim_tran_no="T1", order_no="B1", iccid=OTHER_ICCID), occurred_at=hours(2))

    after = apply_update(an_active_esim(smdp_sequence=7, eid="89049032000001000001234567890111"), update).esim

    assert (after.iccid, after.eid, after.smdp_status, after.smdp_sequence) == (OTHER_ICCID, None, None, None)


@pytest.mark.parametrize("order_no", [None, "B1"])
def test_a_transaction_distinguishes_orders_where_a_number_is_missing(order_no: str | None) -> None:
    esim = an_esim(order_no=order_no, transaction_id="shop-1")
    identity = Identity(iccid=OTHER_ICCID, transaction_id="shop-2", order_no=None if order_no else "B1")

    applied = apply_update(esim, an_update(identity=identity, occurred_at=hours(1)))

    assert applied.esim.iccid == esim.iccid


@pytest.mark.parametrize("cause", [Cause.FILL, Cause.REQUERY])
def test_the_order_that_was_queried_counts_whatever_order_the_provider_names(cause: Cause) -> None:
    at: datetime = hours(1)
    identity = Identity(esim_tran_no="T1", iccid=OTHER_ICCID, order_no="B2")

    applied = apply_update(an_esim(order_no="B1"), an_update(identity=identity, occurred_at=at, cause=cause))

    assert (applied.esim.iccid, applied.esim.order_no) == (OTHER_ICCID, "B2")
