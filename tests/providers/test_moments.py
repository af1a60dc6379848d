"""The ways in which providers write times."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from esimhooks.server.providers.moments import moment

EXPECTED = datetime(2026, 4, 22, 17, 27, 44, tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    [
        "2026-04-22T17:27:44Z",
        "2026-04-22T17:27:44.000Z",
        "2026-04-22T17:27:44+0000",
        "2026-04-22T17:27:44+00:00",
        "2026-04-22T19:27:44+0200",
        "2026-04-22T13:57:44-03:30",
        "2026-04-22 17:27:44 UTC",
        "2026-04-22 17:27:44",
        "20260422172744",
        20260422172744,
        1776878864,
        "1776878864",
        1776878864.0,
        1776878864000,
        "1776878864000",
    ],
)
def test_every_documented_way_of_writing_a_time_is_read(written: object) -> None:
    found = moment(written)

    assert found == EXPECTED
    assert found.tzinfo is UTC


@pytest.mark.parametrize(
    ("written", "hour"),
    [("01:30:00", "23:30"), ("02:10:00", "01:10"), ("02:30:00", "01:30"), ("03:00:00", "02:00")],
)
def test_of_the_hour_that_summer_time_repeats_the_second_is_meant(written: str, hour: str) -> None:
    found = moment(f"2026-10-25 {written}", zone=ZoneInfo("Europe/Berlin"))

    assert f"{found:%H:%M}" == hour


@pytest.mark.parametrize(
    ("written", "micros"),
    [("2026-04-22T17:27:44.123Z", 123_000), ("2026-04-22T17:27:44.123456789Z", 123_456), (1776878864123, 123_000)],
)
def test_a_fraction_of_a_second_is_kept_to_the_microsecond(written: object, micros: int) -> None:
    assert moment(written) == EXPECTED.replace(microsecond=micros)


@pytest.mark.parametrize(
    "written",
    [
        *("", "now", "2026-04-22", "2026-02-30T00:00:00Z", "2026-04-22T25:00:00Z", "2026-04-22T17:27:44 CET"),
        *("2026-04-22T17:27:44+99:99", "0001-01-01T00:00:00+23:00", "1999-12-31T23:59:59Z", "2100-01-01T00:00:00Z"),
        *("20261322172744", "٢٠٢٦٠٤٢٢١٧٢٧٤٤", "1" * 15, "0", "1e9", "2026-04-22T17:27:44Zx"),
        *(0, -1, 10**15, 10**400, float("nan"), float("inf"), 1e300, True, None, [], {}),
    ],
)
def test_nonsense_is_no_time(written: object) -> None:
    with pytest.raises(ValueError, match="not a time"):
        moment(written)
