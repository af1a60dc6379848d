"""The eSIM object of the wire: units, rounding, what is null, what counts as a change."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esimhooks.server.domain.esim import Further
from esimhooks.server.domain.wire import changed_fields, days_left, esim_data
from esimhooks.vocabulary.esim import Allowance
from esimhooks.vocabulary.timestamps import timestamp
from esimhooks.vocabulary.volumes import BYTES_PER_MB, from_megabytes, megabytes
from factories import GB, NOON, an_active_esim, an_order, days, hours


@pytest.mark.parametrize(
    ("end", "left"),
    [
        pytest.param(days(30), 30, id="whole days"),
        pytest.param(days(29) + timedelta(microseconds=1), 30, id="a begun day counts"),
        pytest.param(NOON + timedelta(seconds=1), 1, id="the last second is a day"),
        pytest.param(NOON, 0, id="the end itself"),
        pytest.param(days(-3), 0, id="never below 0"),
        pytest.param(None, None, id="unknown"),
    ],
)
def test_days_left_are_rounded_up_and_never_below_0(end: datetime | None, left: int | None) -> None:
    esim = an_active_esim(expire_at=end)

    assert days_left(esim, now=NOON) == left
    assert esim_data(esim, now=NOON).validity_usage_remain == left


@pytest.mark.parametrize(
    ("volume_bytes", "volume_mb"),
    [
        (0, 0),
        (BYTES_PER_MB, 1),
        (5 * GB, 5120),
        (BYTES_PER_MB * 3 // 2, 1.5),
        (1, 0),
        (BYTES_PER_MB // 100, 0.01),
        (10 * GB - 1, 10240),
        (1_395_864_371, 1331.2),
    ],
)
def test_volumes_are_megabytes_of_1048576_bytes_with_2_decimals(volume_bytes: int, volume_mb: float) -> None:
    assert megabytes(volume_bytes) == volume_mb
    assert esim_data(an_active_esim(used_bytes=volume_bytes), now=NOON).data_usage == volume_mb


@given(volume_bytes=st.integers(0, 10**15))
def test_a_volume_loses_less_than_a_hundredth_of_a_megabyte_on_the_wire(volume_bytes: int) -> None:
    wire = msgspec.json.decode(msgspec.json.encode(megabytes(volume_bytes)))

    assert abs(from_megabytes(wire) - volume_bytes) <= BYTES_PER_MB / 200 + 1
    assert from_megabytes(5.5) == 5_767_168


@pytest.mark.parametrize(
    ("total", "used", "remain"),
    [(10 * GB, GB, 9216), (GB, 2 * GB, 0), (None, GB, None), (GB, None, None)],
)
def test_data_left_is_never_below_0_and_unknown_where_a_part_of_it_is(
    total: int | None, used: int | None, remain: int | None
) -> None:
    data = esim_data(an_active_esim(total_bytes=total, used_bytes=used), now=NOON)

    assert data.data_usage_remain == remain


def test_what_nobody_has_reported_is_null_and_present() -> None:
    wire: dict[str, Any] = msgspec.to_builtins(esim_data(an_order(), now=NOON))

    applied = {name: value for name, value in wire.items() if value is not None}
    assert len(wire) == 27
    assert set(applied) == {"id", "transactionId", "durationUnit", "createdAt", "updatedAt"}


@pytest.mark.parametrize(
    ("further", "member", "value"),
    [
        (Further(unlimited=True), "unlimited", True),
        (Further(throttled=False), "throttled", False),
        (Further(voice=Allowance(total=10, used=0)), "voice", {"total": 10, "used": 0}),
        (Further(sms=Allowance(total=10, used=1)), "sms", {"total": 10, "used": 1}),
        (Further(metadata={"cart": "c-9"}), "metadata", {"cart": "c-9"}),
    ],
)
def test_of_the_further_members_those_that_are_known_are_there(further: Further, member: str, value: object) -> None:
    bare = msgspec.to_builtins(esim_data(an_order(), now=NOON)).keys()

    wire: dict[str, Any] = msgspec.to_builtins(esim_data(an_order(further=further), now=NOON))

    assert {name: wire[name] for name in wire.keys() - bare} == {member: value}


def test_the_odd_names_of_the_guide_are_kept() -> None:
    wire = msgspec.to_builtins(esim_data(an_active_esim(), now=NOON))

    assert {"data_usage_remain", "validity_usage_remain", "qrCodeUrl", "esimTranNo", "lastUsageUpdate"} <= set(wire)


def test_updated_at_and_what_only_names_the_esim_are_no_changes() -> None:
    before = an_active_esim(apn="a")
    after = msgspec.structs.replace(before, apn="b", updated_at=hours(1))

    assert changed_fields(esim_data(before, now=NOON), esim_data(after, now=NOON)) == {"apn": "a"}


def test_a_timestamp_is_utc_with_milliseconds() -> None:
    rome = datetime.fromisoformat("2026-11-23T11:15:30.123999+01:00")

    assert timestamp(rome) == "2026-11-23T10:15:30.123Z"
    assert timestamp(datetime(2026, 1, 2, tzinfo=UTC)) == "2026-01-02T00:00:00.000Z"
