"""Updates that come late, twice or without a time: three axes, each ordered by the provider's time."""

from typing import Any

import pytest

from esimhooks.server.domain.esim import Esim
from esimhooks.server.domain.reports import is_same
from esimhooks.server.domain.update import Cause, Identity, Update
from esimhooks.vocabulary.statuses import EsimStatus, SmdpStatus
from factories import GB, an_active_esim, an_esim, an_update, apply_update, hours

TERMINAL = [
    EsimStatus.CANCEL,
    EsimStatus.REVOKED,
    EsimStatus.USED_EXPIRED,
    EsimStatus.UNUSED_EXPIRED,
    EsimStatus.FAILED,
]
AXES = pytest.mark.parametrize(
    ("clock", "field", "value"),
    [
        pytest.param("status_at", "esim_status", EsimStatus.SUSPENDED, id="eSIM status"),
        pytest.param("smdp_at", "smdp_status", SmdpStatus.DELETED, id="SM-DP+ status"),
        pytest.param("usage_at", "used_bytes", GB, id="usage"),
    ],
)


@AXES
def test_an_update_older_than_the_last_one_on_its_axis_is_stale(clock: str, field: str, value: object) -> None:
    esim = an_active_esim(**{clock: hours(2)})

    applied = apply_update(esim, an_update(occurred_at=hours(1), **{field: value}), received_at=hours(3))

    assert (applied.change.outcome, applied.events) == ("stale", [])
    assert is_same(applied.esim, esim)


@AXES
def test_an_older_update_fills_what_is_unknown_and_raises_nothing(clock: str, field: str, value: object) -> None:
    esim = an_active_esim(**{clock: hours(2)})

    applied = apply_update(esim, an_update(occurred_at=hours(1), **{field: value}, apn="old"), received_at=hours(3))

    assert (applied.change.outcome, applied.events) == ("applied", [])
    assert (applied.esim.apn, applied.esim.status, applied.esim.smdp_status) == ("old", esim.status, esim.smdp_status)


@AXES
def test_equal_times_are_decided_by_arrival(clock: str, field: str, value: object) -> None:
    applied = apply_update(an_active_esim(**{clock: hours(2)}), an_update(occurred_at=hours(2), **{field: value}))

    assert applied.change.outcome == "applied"


@AXES
def test_an_update_without_a_time_counts_as_having_happened_at_its_arrival(clock: str, field: str, value: Any) -> None:
    arrived = apply_update(an_active_esim(**{clock: hours(2)}), an_update(**{field: value}), received_at=hours(3))
    overtaken = apply_update(arrived.esim, an_update(occurred_at=hours(2.5), **{field: value}), received_at=hours(4))

    assert arrived.change.outcome == "applied"
    assert getattr(arrived.esim, clock) == hours(3)
    assert overtaken.change.outcome == "stale"


@AXES
def test_an_update_is_taken_on_one_axis_and_stale_on_another(clock: str, field: str, value: object) -> None:
    esim = an_active_esim(**({"status_at": hours(2), "smdp_at": hours(2), "usage_at": hours(2)} | {clock: hours(0)}))
    everything = an_update(
        occurred_at=hours(1),
        **(
            {"esim_status": EsimStatus.CANCEL, "smdp_status": SmdpStatus.DISABLED, "used_bytes": 9 * GB}
            | {field: value}
        ),
    )

    applied = apply_update(esim, everything, received_at=hours(3))

    taken = {
        "esim_status": applied.esim.status,
        "smdp_status": applied.esim.smdp_status,
        "used_bytes": applied.esim.used_bytes,
    }
    assert applied.change.outcome == "applied"
    assert taken == {
        "esim_status": esim.status,
        "smdp_status": esim.smdp_status,
        "used_bytes": esim.used_bytes,
    } | {field: value}


def test_a_status_that_is_confirmed_beside_usage_that_is_late_changes_nothing_and_is_not_stale() -> None:
    update = an_update(occurred_at=hours(3), esim_status=EsimStatus.IN_USE, usage_at=hours(1), used_bytes=GB)

    applied = apply_update(an_active_esim(usage_at=hours(2)), update)
    late = apply_update(
        applied.esim, an_update(occurred_at=hours(2.5), esim_status=EsimStatus.SUSPENDED), received_at=hours(4)
    )

    assert (applied.change.outcome, applied.esim.used_bytes) == ("unchanged", 0)
    assert late.change.outcome == "stale", "what was confirmed later counts"


def test_usage_is_ordered_by_its_own_time_where_it_has_one() -> None:
    esim = an_active_esim(usage_at=hours(2))

    applied = apply_update(esim, an_update(occurred_at=hours(5), usage_at=hours(1), used_bytes=GB))

    assert applied.change.outcome == "stale"


@pytest.mark.parametrize("field", ["esim_status", "smdp_status", "used_bytes"])
def test_a_time_in_the_future_is_a_doubt_and_counts_as_now(field: str) -> None:
    values: dict[str, Any] = {"esim_status": EsimStatus.SUSPENDED, "smdp_status": SmdpStatus.DELETED, "used_bytes": GB}
    ahead = apply_update(
        an_active_esim(), an_update(occurred_at=hours(9), **{field: values[field]}), received_at=hours(1)
    )
    back = {"esim_status": EsimStatus.IN_USE, "smdp_status": SmdpStatus.ENABLED, "used_bytes": 0}

    applied = apply_update(ahead.esim, an_update(occurred_at=hours(2), **{field: back[field]}), received_at=hours(2))

    assert [doubt.field for doubt in ahead.change.doubts] == ["occurredAt"]
    assert ahead.only.timestamp == "2026-11-23T13:00:00.000Z"
    assert applied.change.outcome == "applied"


@pytest.mark.parametrize("minutes", [0, 5])
def test_a_clock_that_is_a_little_ahead_is_believed(minutes: int) -> None:
    at = hours(1 + minutes / 60)

    applied = apply_update(
        an_active_esim(), an_update(occurred_at=at, esim_status=EsimStatus.SUSPENDED), received_at=hours(1)
    )

    assert (applied.esim.status_at, applied.change.doubts) == (at, ())


@AXES
def test_an_update_without_a_time_is_newer_than_all_that_is_known(clock: str, field: str, value: Any) -> None:
    esim = an_active_esim(**{clock: hours(2)})

    applied = apply_update(esim, an_update(**{field: value}), received_at=hours(1))

    assert applied.change.outcome == "applied"
    assert getattr(applied.esim, clock) == hours(2)


class TestSequenceNumbers:
    """SM-DP+ notifications of one EID are ordered by the eUICC's own count."""

    EID = "89049032000001000001234567890111"

    def numbered(self, sequence: int, **fields: Any) -> Esim:
        return an_esim(eid=self.EID, smdp_sequence=sequence, **fields)

    def test_a_lower_number_of_the_same_eid_is_stale_whatever_its_time(self) -> None:
        update = an_update(occurred_at=hours(2), smdp_status=SmdpStatus.ENABLED, smdp_sequence=4, eid=self.EID)

        assert apply_update(self.numbered(5), update).change.outcome == "stale"

    def test_a_higher_number_of_the_same_eid_is_taken_whatever_its_time(self) -> None:
        update = an_update(occurred_at=hours(1), smdp_status=SmdpStatus.ENABLED, smdp_sequence=6, eid=self.EID)

        applied = apply_update(self.numbered(5, smdp_at=hours(2)), update, received_at=hours(3))

        assert applied.esim.smdp_status is SmdpStatus.ENABLED

    def test_the_number_of_another_eid_says_nothing(self) -> None:
        fields: dict[str, Any] = {"smdp_status": SmdpStatus.ENABLED, "smdp_sequence": 1, "eid": "8" * 32}

        newer = apply_update(self.numbered(5), an_update(occurred_at=hours(1), **fields))
        older = apply_update(self.numbered(5), an_update(occurred_at=hours(-1), **fields), received_at=hours(1))

        assert newer.esim.smdp_status is SmdpStatus.ENABLED
        assert (newer.esim.eid, newer.esim.smdp_sequence) == ("8" * 32, 1)
        assert older.change.outcome == "stale"

    def test_the_number_says_nothing_after_the_esim_moved_to_another_device(self) -> None:
        moved = apply_update(self.numbered(5), an_update(occurred_at=hours(1), eid="8" * 32)).esim

        update = an_update(occurred_at=hours(2), smdp_status=SmdpStatus.ENABLED, smdp_sequence=1, eid="8" * 32)

        assert apply_update(moved, update).esim.smdp_status is SmdpStatus.ENABLED

    def test_the_same_number_again_is_stale(self) -> None:
        update = an_update(occurred_at=hours(2), smdp_status=SmdpStatus.ENABLED, smdp_sequence=5, eid=self.EID)

        assert apply_update(self.numbered(5), update).change.outcome == "stale"

    @pytest.mark.parametrize(
        "between",
        [
            pytest.param(an_update(occurred_at=hours(1), smdp_status=SmdpStatus.DISABLED), id="a push"),
            pytest.param(
                an_update(cause=Cause.REQUERY, occurred_at=hours(1), smdp_status=SmdpStatus.DISABLED, eid=EID),
                id="a snapshot",
            ),
        ],
    )
    @pytest.mark.parametrize(
        ("sequence", "at", "holds"),
        [
            pytest.param(4, 2, SmdpStatus.DISABLED, id="a lower number"),
            pytest.param(6, 0.5, SmdpStatus.DISABLED, id="a higher number, older than the word between"),
            pytest.param(6, 1.5, SmdpStatus.DELETED, id="a higher number, newer than the word between"),
        ],
    )
    def test_a_word_without_a_number_does_not_make_the_number_forgotten(
        self, between: Update, sequence: int, at: float, holds: SmdpStatus
    ) -> None:
        esim = apply_update(self.numbered(5), between).esim
        late = an_update(occurred_at=hours(at), smdp_status=SmdpStatus.DELETED, smdp_sequence=sequence, eid=self.EID)

        applied = apply_update(esim, late, received_at=hours(3))

        assert applied.esim.smdp_status is holds

    def test_a_number_without_a_device_says_nothing_of_the_known_one(self) -> None:
        anonymous = an_update(occurred_at=hours(1), smdp_status=SmdpStatus.DISABLED, smdp_sequence=1)

        assert apply_update(self.numbered(5), anonymous).esim.smdp_sequence == 5

    def test_without_a_number_the_time_decides(self) -> None:
        late = an_update(occurred_at=hours(-1), smdp_status=SmdpStatus.ENABLED, eid=self.EID)

        assert apply_update(self.numbered(5), late, received_at=hours(1)).change.outcome == "stale"


class TestTerminalStatuses:
    """Not left by what is pushed without a time."""

    @pytest.mark.parametrize("status", TERMINAL)
    def test_is_not_left_by_a_push_without_a_time(self, status: EsimStatus) -> None:
        applied = apply_update(an_esim(status=status), an_update(esim_status=EsimStatus.IN_USE), received_at=hours(1))

        assert (applied.change.outcome, applied.esim.status) == ("stale", status)

    @pytest.mark.parametrize("status", TERMINAL)
    def test_is_left_by_a_later_push_with_a_time(self, status: EsimStatus) -> None:
        applied = apply_update(an_esim(status=status), an_update(occurred_at=hours(1), esim_status=EsimStatus.IN_USE))

        assert applied.events == ["activated"]

    @pytest.mark.parametrize("status", TERMINAL)
    def test_is_left_by_a_requery(self, status: EsimStatus) -> None:
        applied = apply_update(an_esim(status=status), an_update(cause=Cause.REQUERY, esim_status=EsimStatus.IN_USE))

        assert applied.events == ["activated", "usage_updated", "requeried"]

    @pytest.mark.parametrize("status", sorted(set(EsimStatus) - set(TERMINAL) - {EsimStatus.SUSPENDED}))
    def test_every_other_status_is_left_by_a_push_without_a_time(self, status: EsimStatus) -> None:
        applied = apply_update(
            an_esim(status=status), an_update(esim_status=EsimStatus.SUSPENDED), received_at=hours(1)
        )

        assert applied.events == ["suspended"]

    def test_reported_again_without_a_time_is_unchanged(self) -> None:
        applied = apply_update(
            an_esim(status=EsimStatus.CANCEL), an_update(esim_status=EsimStatus.CANCEL), received_at=hours(1)
        )

        assert (applied.change.outcome, applied.events) == ("unchanged", [])


def test_what_identifies_an_esim_is_filled_in_once_and_not_overwritten_by_a_push() -> None:
    update = an_update(occurred_at=hours(1), identity=Identity(esim_tran_no="T2", order_no="B2"), apn="internet")

    applied = apply_update(an_esim(order_no=None), update)

    assert (applied.esim.esim_tran_no, applied.esim.order_no, applied.esim.apn) == ("T1", "B2", "internet")
