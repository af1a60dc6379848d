"""What a receiver answered: status and headers in; class, wait and what is kept of it out. Pure."""

from collections.abc import Iterable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from esimhooks.server.domain.delivery import OutcomeClass

MAX_HEADERS = 50
MAX_HEADER_BYTES = 8 * 1024

MAX_WAIT_S = 366 * 86_400.0
"""Numbers beyond this are no wait that anybody means; they are cut so that they can be stored."""

BY_STATUS = {410: OutcomeClass.GONE, 429: OutcomeClass.TOO_MANY}
BY_HUNDRED = {
    2: OutcomeClass.OK,
    3: OutcomeClass.REDIRECT,
    4: OutcomeClass.CLIENT_ERROR,
    5: OutcomeClass.SERVER_ERROR,
}


def classify(status: int) -> OutcomeClass:
    """Return the class of a status. One that HTTP does not know says as much as a connection that broke."""
    return BY_STATUS.get(status) or BY_HUNDRED.get(status // 100, OutcomeClass.CONNECT)


def remark(status: int) -> str | None:
    """Return what a person should know of a status beyond its number, if anything."""
    match classify(status):
        case OutcomeClass.REDIRECT:
            return "redirects are not followed"
        case OutcomeClass.CONNECT:
            return f"{status} is no final status of HTTP"
        case _:
            return None


def parse_retry_after(value: str, now: datetime) -> float | None:
    """Return the seconds that a `Retry-After` (RFC 9110, 10.2.3) asks to wait from `now`, None if it says nothing.

    A date in the past is 0; a wait of more than a year is cut to one.
    """
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value[:20]), MAX_WAIT_S)
    try:
        until = parsedate_to_datetime(value)
        if until.tzinfo is None:
            until = until.replace(tzinfo=UTC)
        wait_s = (until - now).total_seconds()
    except (ValueError, OverflowError):
        return None
    return min(max(wait_s, 0.0), MAX_WAIT_S)


def keep_headers(raw: Iterable[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    """Return the first headers as text, as many as are kept. Latin-1 reads any byte and stores in any database."""
    kept: list[tuple[str, str]] = []
    left_bytes = MAX_HEADER_BYTES
    for name, value in raw:
        left_bytes -= len(name) + len(value)
        if left_bytes < 0 or len(kept) == MAX_HEADERS:
            break
        kept.append((name.decode("latin-1"), value.decode("latin-1")))
    return tuple(kept)
