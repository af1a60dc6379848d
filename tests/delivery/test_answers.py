"""`Retry-After`: a header that receivers write as they please."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esimhooks.server.delivery.http.answers import MAX_WAIT_S, keep_headers, parse_retry_after

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 120 ", 120.0),
        ("007", 7.0),
        ("9" * 400, MAX_WAIT_S),
        ("Mon, 23 Nov 2026 12:02:00 GMT", 120.0),
        ("Monday, 23-Nov-26 12:02:00 GMT", 120.0),
        ("Mon Nov 23 12:02:00 2026", 120.0),
        ("Mon, 23 Nov 2026 14:02:00 +0200", 120.0),
        ("Mon, 23 Nov 2026 12:02:00 -0000", 120.0),
        ("Mon, 23 Nov 2026 11:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_WAIT_S),
        ("Mon, 99 Nov 2026 12:02:00 GMT", None),
        ("-5", None),
        ("+5", None),
        ("1.5", None),
        ("1e3", None),
        ("²", None),
        ("soon", None),
        ("", None),
    ],
)
def test_a_wait_is_read_as_seconds_or_a_date(value: str, wait_s: float | None) -> None:
    assert parse_retry_after(value, NOW) == wait_s


@given(st.text() | st.from_regex(r"(Mon, )?[0-9]{1,9} Nov [0-9]{1,9} [0-9:]{1,12} ?[+-]?[0-9A-Z]{0,9}", fullmatch=True))
def test_no_text_breaks_the_reading_of_a_wait(value: str) -> None:
    wait_s = parse_retry_after(value, NOW)

    assert wait_s is None or 0 <= wait_s <= MAX_WAIT_S


def test_at_most_fifty_headers_are_kept() -> None:
    assert len(keep_headers([(b"a", b"b")] * 80)) == 50
