"""Pushed usage is emitted at most once per `usageInterval`; pending usage is emitted with the next event."""

import pytest
from msgspec.structs import replace

from esimhooks.server.domain.emit import EmitPolicy, emit_pending
from esimhooks.server.domain.esim import Esim
from esimhooks.server.domain.update import Cause, Update
from esimhooks.vocabulary.envelope import FieldChange
from esimhooks.vocabulary.statuses import EsimStatus
from esimhooks.vocabulary.volumes import BYTES_PER_MB
from factories import EVERY_CHANGE, GB, an_active_esim, an_update, apply_update, hours

FOUR_HOURS = EmitPolicy(usage_interval_s=14_400)


def usage_emitted_once() -> Esim:
    first = an_update(occurred_at=hours(1), used_bytes=100 * BYTES_PER_MB)
    return apply_update(an_active_esim(), first, policy=FOUR_HOURS).esim


def used(megabytes: int, at: float, **fields: object) -> Esim:
    update = an_update(occurred_at=hours(at), used_bytes=megabytes * BYTES_PER_MB, **fields)
    applied = apply_update(usage_emitted_once(), update, policy=FOUR_HOURS)
    assert applied.events == []
    return applied.esim


def test_the_default_interval_is_four_hours() -> None:
    assert EmitPolicy().usage_interval_s == 4 * 3600


def test_the_first_pushed_usage_is_emitted_at_once() -> None:
    update = an_update(occurred_at=hours(1), used_bytes=BYTES_PER_MB)

    assert apply_update(an_active_esim(), update, policy=FOUR_HOURS).events == ["data_updated"]


def test_usage_within_the_interval_is_pending_and_the_state_is_up_to_date() -> None:
    assert used(200, at=4.9).used_bytes == 200 * BYTES_PER_MB


def test_usage_after_the_interval_is_emitted() -> None:
    update = an_update(occurred_at=hours(5), used_bytes=200 * BYTES_PER_MB)

    assert apply_update(usage_emitted_once(), update, policy=FOUR_HOURS).events == ["data_updated"]


def test_with_an_interval_of_0_every_change_is_emitted() -> None:
    first = apply_update(
        an_active_esim(), an_update(occurred_at=hours(1), used_bytes=BYTES_PER_MB), policy=EVERY_CHANGE
    )
    second = apply_update(first.esim, an_update(occurred_at=hours(1), used_bytes=2 * BYTES_PER_MB), policy=EVERY_CHANGE)

    assert second.events == ["data_updated"]


@pytest.mark.parametrize(
    ("update", "event"),
    [
        pytest.param(an_update(occurred_at=hours(6), used_bytes=300 * BYTES_PER_MB), "data_updated", id="usage"),
        pytest.param(
            an_update(
                occurred_at=hours(3),
                usage_at=hours(6),
                esim_status=EsimStatus.SUSPENDED,
                used_bytes=300 * BYTES_PER_MB,
            ),
            "suspended",
            id="a status",
        ),
        pytest.param(
            an_update(cause=Cause.POLL, usage_at=hours(6), used_bytes=300 * BYTES_PER_MB), "usage_updated", id="a poll"
        ),
    ],
)
def test_pending_usage_is_in_the_next_events_changes_with_the_value_last_emitted(update: Update, event: str) -> None:
    pending = used(200, at=2)

    applied = apply_update(pending, update, received_at=hours(6), policy=FOUR_HOURS)

    assert event in applied.events
    assert applied.envelopes[0].changes
    assert applied.envelopes[0].changes["dataUsage"] == FieldChange(old=100, new=300)
    assert applied.envelopes[0].changes["data_usage_remain"] == FieldChange(old=10140, new=9940)
    assert applied.esim.pending_changes == {}


def test_pending_usage_is_emitted_with_an_event_that_brings_no_usage_itself() -> None:
    applied = apply_update(
        used(200, at=2), an_update(occurred_at=hours(3), esim_status=EsimStatus.SUSPENDED), policy=FOUR_HOURS
    )

    assert applied.events == ["suspended"]
    assert applied.only.changes
    assert applied.only.changes["dataUsage"] == FieldChange(old=100, new=200)
    assert applied.only.changes["esimStatus"] == FieldChange(old="IN_USE", new="SUSPENDED")


def test_what_was_emitted_is_not_emitted_again() -> None:
    applied = apply_update(
        used(200, at=2), an_update(occurred_at=hours(3), esim_status=EsimStatus.SUSPENDED), policy=FOUR_HOURS
    )

    again = apply_update(
        applied.esim, an_update(occurred_at=hours(3.5), esim_status=EsimStatus.IN_USE), policy=FOUR_HOURS
    )

    assert again.only.changes == {"esimStatus": FieldChange(old="SUSPENDED", new="IN_USE")}


def test_a_change_that_was_taken_back_while_pending_is_no_change() -> None:
    pending = used(200, at=2)
    back = apply_update(pending, an_update(occurred_at=hours(3), used_bytes=100 * BYTES_PER_MB), policy=FOUR_HOURS)

    applied = apply_update(
        back.esim, an_update(occurred_at=hours(3.5), esim_status=EsimStatus.SUSPENDED), policy=FOUR_HOURS
    )

    assert back.events == []
    assert applied.only.changes
    assert "dataUsage" not in applied.only.changes


def test_a_pending_change_that_the_emitting_update_takes_back_is_no_change() -> None:
    back = an_update(occurred_at=hours(3), esim_status=EsimStatus.SUSPENDED, used_bytes=100 * BYTES_PER_MB)

    applied = apply_update(used(200, at=2), back, policy=FOUR_HOURS)

    assert applied.events == ["suspended"]
    assert applied.only.changes
    assert "dataUsage" not in applied.only.changes


def test_a_change_that_was_taken_back_is_not_emitted_when_the_interval_is_over() -> None:
    pending = used(200, at=2)
    back = apply_update(pending, an_update(occurred_at=hours(3), used_bytes=100 * BYTES_PER_MB), policy=FOUR_HOURS).esim

    waited, nothing = emit_pending(pending, now=hours(6)), emit_pending(replace(back, pending_changes={}), now=hours(6))

    assert [draft.type for draft in waited.drafts] == ["esim.data_updated"]
    assert (waited.esim.sequence, waited.esim.pending_until) == (pending.sequence + 1, None)
    assert (waited.esim.usage_emitted_at, waited.esim.pending_changes) == (hours(6), {})
    assert nothing.drafts == ()
    assert (nothing.esim.sequence, nothing.esim.usage_emitted_at) == (back.sequence, back.usage_emitted_at)


def test_a_status_event_does_not_begin_the_interval_anew() -> None:
    suspended = apply_update(
        usage_emitted_once(), an_update(occurred_at=hours(4), esim_status=EsimStatus.SUSPENDED), policy=FOUR_HOURS
    )

    applied = apply_update(suspended.esim, an_update(occurred_at=hours(5), used_bytes=GB), policy=FOUR_HOURS)

    assert applied.events == ["data_updated"]


def test_a_threshold_is_emitted_at_once() -> None:
    applied = apply_update(usage_emitted_once(), an_update(occurred_at=hours(2), used_bytes=3 * GB), policy=FOUR_HOURS)

    assert applied.events == ["data_updated"]
    assert applied.only.thresholds == [25]


@pytest.mark.parametrize(
    "teller",
    [
        pytest.param(an_update(occurred_at=hours(4), used_bytes=3 * GB), id="a threshold"),
        pytest.param(an_update(cause=Cause.POLL, usage_at=hours(4), used_bytes=2 * GB), id="a poll"),
        pytest.param(an_update(cause=Cause.REQUERY, occurred_at=hours(4)), id="a requery"),
    ],
)
def test_the_interval_runs_from_the_last_usage_event_of_any_kind(teller: Update) -> None:
    applied = apply_update(usage_emitted_once(), teller, received_at=hours(4), policy=FOUR_HOURS)

    soon = apply_update(applied.esim, an_update(occurred_at=hours(7.9), used_bytes=GB), policy=FOUR_HOURS)
    late = apply_update(applied.esim, an_update(occurred_at=hours(8), used_bytes=GB), policy=FOUR_HOURS)

    assert (soon.events, late.events) == ([], ["data_updated"])
