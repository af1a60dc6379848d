"""Lists fit the screen: one line a row, the least important columns left out, ids and times short."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from esimhooks.cli.columns import age, lines
from esimhooks.cli.resources import RESOURCES

NOW = datetime(2026, 11, 23, 10, tzinfo=UTC)
DELIVERY: dict[str, Any] = {
    "id": "dlv_01m89dwvtgerjabt6jkct8wan5",
    "status": "delivered",
    "eventType": "esim.status_changed",
    "attemptCount": 1,
    "createdAt": "2026-11-23T09:56:00.104Z",
    "nextAttemptAt": None,
    "endpoint": "ep_01m89dwvtgerjabt6jkct8abcd",
    "event": "evt_01m89dwvtgerjabt6jkct8efgh",
}
DELIVERIES = next(
    verb.columns
    for resource in RESOURCES
    for verb in resource.verbs
    if (resource.name, verb.name) == ("deliveries", "list")
)


def shown(width: int | None) -> list[str]:
    return [line.plain for line in lines([DELIVERY], DELIVERIES, width=width, now=NOW)]


def test_at_80_columns_a_row_has_its_whole_id_and_what_matters_most() -> None:
    header, row = shown(80)

    assert header.split() == ["ID", "STATUS", "AGE", "EVENT", "TRIES", "NEXT"]
    assert row.split() == ["dlv_01m89dwvtgerjabt6jkct8wan5", "delivered", "4m", "esim.status_changed", "1", "-"]


def test_at_50_columns_the_id_status_and_age_are_left() -> None:
    assert shown(50)[1].split() == ["dlv_01m89dwvtgerjabt6jkct8wan5", "delivered", "4m"]


def test_a_column_that_does_not_fit_is_cut_where_enough_is_left_for_it() -> None:
    endpoint = {"id": "ep_01m89dwvtgerjabt6jkct8abcd", "url": "https://shop.example/webhooks/esim", "enabled": True}

    narrow, usual = (lines([endpoint], "id url:address enabled", width=width, now=NOW)[1].plain for width in (50, 80))

    assert narrow == "ep_01m89dwvtgerjabt6jkct8abcd  https://shop.examp…"
    assert usual.split() == [endpoint["id"], "https://shop.example/webhooks/esim", "yes"]


def test_ids_of_other_things_are_short_by_what_distinguishes_them() -> None:
    assert shown(130)[1].split()[6:8] == ["ep_…t8abcd", "evt_…t8efgh"]


def test_without_a_bound_everything_is_whole() -> None:
    row = shown(None)[1]

    assert DELIVERY["endpoint"] in row
    assert DELIVERY["createdAt"] in row


def test_a_column_of_times_is_named_as_what_it_shows() -> None:
    headers = {
        width: lines([DELIVERY], "id createdAt:age nextAttemptAt:next timestamp:age at:age", width=width, now=NOW)[0]
        for width in (80, None)
    }

    assert headers[80].plain.split() == ["ID", "AGE", "NEXT", "AGE", "AGE"]
    assert headers[None].plain.split() == ["ID", "CREATED", "NEXT", "TIME", "TIME"]


@given(
    names=st.lists(st.text(min_size=0, max_size=60), min_size=1, max_size=5),
    width=st.integers(min_value=40, max_value=200),
)
def test_no_line_is_wider_than_the_screen_and_none_is_broken(names: list[str], width: int) -> None:
    rows = [DELIVERY | {"id": f"acc_{number}", "name": name} for number, name in enumerate(names)]

    printed = lines(rows, "id name createdAt:age eventType endpoint", width=width, now=NOW)

    assert len(printed) == len(rows) + 1
    assert all(cell_len(line.plain) <= width and "\n" not in line.plain for line in printed)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59, "59s"), (60, "1m"), (7200, "2h"), (90_000, "1d"), (-300, "in 5m")]
)
def test_a_time_is_its_age(seconds: int, text: str) -> None:
    assert age((NOW - timedelta(seconds=seconds)).isoformat(), NOW) == text
