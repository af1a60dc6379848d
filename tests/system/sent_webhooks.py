"""What a merchant does with deliveries in tests: make endpoints, raise events, follow a delivery, check a request.

Everything goes through the API, but for moving the clock: `make_due` does in the database what an hour would do.
"""

from datetime import datetime
from itertools import pairwise
from typing import Any, NamedTuple

from standardwebhooks import Webhook

from api import Api, Json, eventually
from esimhooks.server.domain.ids import Prefix, parse_id
from esimhooks.server.store.database import Database
from receiver import Received

CLOCK_S = 0.005
"""Times in answers are whole milliseconds; two of them and a duration add up to less than this."""


class Endpoint(NamedTuple):
    """Id and secret of an endpoint."""

    id: str
    secret: str


async def an_endpoint(merchant: Api, url: str, **settings: Json) -> Endpoint:
    """Make an endpoint."""
    made = await merchant.post("/v1/endpoints", {"url": url} | settings)
    return Endpoint(made["id"], made["secret"])


async def an_event(merchant: Api, event: str = "esim.created") -> str:
    """Raise an event and return its id."""
    return str((await merchant.post("/v1/test-events", {"event": event}))["id"])


async def delivery_of(merchant: Api, event: str, endpoint: Endpoint | None = None) -> Json:
    """Return the one delivery of an event (to that endpoint) with its attempts."""
    narrowed = f"&endpoint={endpoint.id}" if endpoint else ""
    [listed] = (await merchant.get(f"/v1/deliveries?event={event}{narrowed}"))["data"]
    return await merchant.get(f"/v1/deliveries/{listed['id']}")


async def in_status(
    merchant: Api, event: str, status: str, *, endpoint: Endpoint | None = None, within_s: float | None = None
) -> Json:
    """Return the delivery of the event once it has the status."""

    async def look() -> Json:
        found = await delivery_of(merchant, event, endpoint)
        return found if found["status"] == status else None

    return await eventually(look, within_s=within_s)


async def attempted(merchant: Api, event: str, times: int, *, within_s: float | None = None) -> Json:
    """Return the delivery of the event once so many attempts are written."""

    async def look() -> Json:
        found = await delivery_of(merchant, event)
        return found if len(found["attempts"]) >= times else None

    return await eventually(look, within_s=within_s)


async def make_due(database: Database, event: str) -> None:
    """Let the time pass until the next attempt of the event's deliveries is due."""
    async with database.session() as db:
        await db.conn.execute("UPDATE queue SET due_at = now() WHERE event_id = $1", parse_id(Prefix.EVENT, event))


def epoch_seconds(text: str) -> float:
    """Return a time of an answer in seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()


def ended_at(attempt: Json) -> float:
    """Return when the attempt ended, in seconds since 1970."""
    return epoch_seconds(attempt["startedAt"]) + float(attempt["durationMs"]) / 1000


def pauses(attempts: Json) -> list[float]:
    """Return the seconds between the end of each attempt and the start of the next."""
    return [epoch_seconds(later["startedAt"]) - ended_at(earlier) for earlier, later in pairwise(attempts)]


def outcomes(delivery: Json) -> list[tuple[int, str, int | None]]:
    """Return number, outcome class and status code of each attempt."""
    return [(one["number"], one["outcome"], one["statusCode"]) for one in delivery["attempts"]]


def verified(request: Received, secret: str) -> Any:
    """Return the body of a request that the public `standardwebhooks` package accepts; it raises for any other."""
    return Webhook(secret).verify(request.body, request.headers)


def assert_the_same_but_for_the_attempt(requests: list[Received], secret: str) -> None:
    """Check what every receiver relies on: signed, one id, one body, attempts counted from 1."""
    for request in requests:
        assert verified(request, secret)["id"] == request.headers["webhook-id"]
    assert len({request.headers["webhook-id"] for request in requests}) == 1
    assert len({request.body for request in requests}) == 1
    assert [request.headers["webhook-attempt"] for request in requests] == [
        str(number) for number, _ in enumerate(requests, 1)
    ]
