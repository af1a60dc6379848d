"""What becomes of a delivery, by what its receiver does (wire, "What an answer means" and "Schedule").

A running node and a real receiver. Schedules of the tests' own are short; of the long one only the times are looked at,
and the clock is moved.
"""

import asyncio
import resource
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from api import Api, eventually
from esimhooks.server.domain.ids import Prefix, parse_id
from esimhooks.server.store.database import Database, connection
from receiver import Behaviour, Receiver, close_unanswered, hang, raw, redirect, status, too_many
from system.gated_answers import Gate
from system.sent_webhooks import (
    CLOCK_S,
    an_endpoint,
    an_event,
    assert_the_same_but_for_the_attempt,
    attempted,
    ended_at,
    epoch_seconds,
    in_status,
    make_due,
    outcomes,
    pauses,
    verified,
)

pytestmark = [
    pytest.mark.slow(reason="waits for schedules of seconds, on a machine that may be busy"),
    pytest.mark.timeout(60),
]

LATE_S = 20.0
"""How late a busy machine may be with what it does at once."""


@pytest.mark.parametrize(
    ("behaviour", "outcome", "code"),
    [
        (status(500), "5xx", 500),
        (status(404), "4xx", 404),
        (too_many("0"), "429", 429),
        (close_unanswered(), "connect", None),
    ],
    ids=["500", "404", "429", "closed"],
)
async def test_a_delivery_fails_after_the_last_of_its_schedule_and_never_starts_early(
    merchant: Api, receiver: Receiver, behaviour: Behaviour, outcome: str, code: int | None
) -> None:
    receiver.answer(script=[behaviour])
    endpoint = await an_endpoint(merchant, receiver.url(), retrySchedule=[0, 1, 1])

    event = await an_event(merchant)
    delivery = await in_status(merchant, event, "failed")

    assert outcomes(delivery) == [(number, outcome, code) for number in (1, 2, 3)]
    assert delivery["attemptCount"] == 3
    assert delivery["nextAttemptAt"] is None
    assert epoch_seconds(delivery["finishedAt"]) >= ended_at(delivery["attempts"][-1]) - CLOCK_S
    assert min(pauses(delivery["attempts"])) >= 1 - CLOCK_S
    assert_the_same_but_for_the_attempt(receiver.received, endpoint.secret)


async def test_a_receiver_that_hangs_is_given_up_after_the_timeout_of_its_endpoint(
    merchant: Api, receiver: Receiver
) -> None:
    receiver.answer(script=[hang()])
    endpoint = await an_endpoint(merchant, receiver.url(), retrySchedule=[0, 1], timeout=1)

    event = await an_event(merchant)
    delivery = await in_status(merchant, event, "failed")

    assert outcomes(delivery) == [(1, "timeout", None), (2, "timeout", None)]
    assert all(one["durationMs"] >= 1000 for one in delivery["attempts"])
    assert min(pauses(delivery["attempts"])) >= 1 - CLOCK_S
    assert_the_same_but_for_the_attempt(receiver.received, endpoint.secret)


async def test_a_redirect_is_a_failure_and_is_never_followed(merchant: Api, receiver: Receiver) -> None:
    receiver.answer(script=[redirect(receiver.url("/elsewhere"))])
    await an_endpoint(merchant, receiver.url(), retrySchedule=[0, 1])

    event = await an_event(merchant)
    delivery = await in_status(merchant, event, "failed")

    assert outcomes(delivery) == [(1, "3xx", 302), (2, "3xx", 302)]
    assert [request.path for request in receiver.received] == ["/hook", "/hook"]


async def test_a_receiver_that_is_down_gets_its_webhook_when_it_comes_back(merchant: Api, receiver: Receiver) -> None:
    endpoint = await an_endpoint(merchant, receiver.url(), retrySchedule=[0, 1, 1, 1, 1, 1])
    await receiver.stop()

    event = await an_event(merchant)
    await attempted(merchant, event, 1)
    await receiver.start()
    delivery = await in_status(merchant, event, "delivered")

    refused, [last] = delivery["attempts"][:-1], delivery["attempts"][-1:]
    assert [one["outcome"] for one in refused] == ["connect"] * len(refused)
    assert (last["outcome"], last["statusCode"]) == ("2xx", 200)
    [request] = receiver.received
    assert verified(request, endpoint.secret)["id"] == event
    assert request.headers["webhook-attempt"] == str(len(refused) + 1)
    assert min(pauses(delivery["attempts"])) >= 1 - CLOCK_S


async def test_the_default_schedule_has_six_attempts_and_adds_at_most_a_tenth(
    merchant: Api, receiver: Receiver, database: Database
) -> None:
    receiver.answer(status=503)
    endpoint = await an_endpoint(merchant, receiver.url())
    event = await an_event(merchant)

    for number, delay_s in enumerate((60, 300, 900, 3600, 7200), 1):
        delivery = await attempted(merchant, event, number)
        waits_s = epoch_seconds(delivery["nextAttemptAt"]) - ended_at(delivery["attempts"][-1])
        assert delivery["status"] == "pending"
        assert delay_s - CLOCK_S <= waits_s <= delay_s * 1.1 + LATE_S
        await make_due(database, event)
    delivery = await in_status(merchant, event, "failed")

    assert outcomes(delivery) == [(number, "5xx", 503) for number in range(1, 7)]
    assert_the_same_but_for_the_attempt(receiver.received, endpoint.secret)


@pytest.mark.parametrize("code", [429, 503])
async def test_retry_after_puts_the_next_attempt_off_beyond_the_schedule(
    merchant: Api, receiver: Receiver, code: int
) -> None:
    receiver.answer(script=[too_many("600", code)])
    await an_endpoint(merchant, receiver.url(), retrySchedule=[0, 1])

    delivery = await attempted(merchant, await an_event(merchant), 1)

    waits_s = epoch_seconds(delivery["nextAttemptAt"]) - ended_at(delivery["attempts"][0])
    assert 600 - CLOCK_S <= waits_s <= 600 + LATE_S


async def test_retry_after_may_be_a_date(merchant: Api, receiver: Receiver) -> None:
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=10)
    receiver.answer(script=[too_many(format_datetime(until, usegmt=True))])
    await an_endpoint(merchant, receiver.url(), retrySchedule=[0, 1])

    delivery = await attempted(merchant, await an_event(merchant), 1)

    assert 0 <= epoch_seconds(delivery["nextAttemptAt"]) - until.timestamp() + CLOCK_S <= LATE_S


async def test_retry_after_never_brings_an_attempt_forward_nor_puts_it_off_by_more_than_a_day(
    merchant: Api, receiver: Receiver
) -> None:
    receiver.answer("/soon", script=[too_many("1")])
    receiver.answer("/never", script=[too_many("99999999")])
    soon = await an_endpoint(merchant, receiver.url("/soon"), retrySchedule=[0, 300], eventTypes=["esim.created"])
    never = await an_endpoint(merchant, receiver.url("/never"), retrySchedule=[0, 300], eventTypes=["esim.expired"])

    first = await attempted(merchant, await an_event(merchant, "esim.created"), 1)
    second = await attempted(merchant, await an_event(merchant, "esim.expired"), 1)

    assert (first["endpoint"], second["endpoint"]) == (soon.id, never.id)
    assert epoch_seconds(first["nextAttemptAt"]) - ended_at(first["attempts"][0]) >= 300 - CLOCK_S
    assert epoch_seconds(second["nextAttemptAt"]) - ended_at(second["attempts"][0]) <= 86_400 + LATE_S


async def test_410_stops_the_delivery_and_keeps_the_others_for_later(merchant: Api, receiver: Receiver) -> None:
    gone = Gate(then=status(410))
    receiver.answer("/gone", script=[gone.answer])
    endpoint = await an_endpoint(merchant, receiver.url("/gone"), maxInFlight=1, eventTypes=["esim.created"])
    await an_endpoint(merchant, receiver.url("/other"), eventTypes=["esim.expired"])
    first = await an_event(merchant)
    await receiver.wait_for(1)
    others = [await an_event(merchant) for _ in range(3)]

    gone.open()
    stopped = await in_status(merchant, first, "stopped")
    later = await an_event(merchant, "esim.expired")
    await in_status(merchant, later, "delivered")

    assert outcomes(stopped) == [(1, "410", 410)]
    shown = await merchant.get(f"/v1/endpoints/{endpoint.id}")
    assert (shown["enabled"], shown["disabledReason"]) == (False, "gone")
    assert [request.path for request in receiver.received] == ["/gone", "/other"]
    pending = (await merchant.get(f"/v1/deliveries?endpoint={endpoint.id}&status=pending"))["data"]
    assert {one["event"] for one in pending} == set(others)
    assert all(one["attemptCount"] == 0 for one in pending)


async def test_a_disabled_endpoint_gets_no_deliveries_of_new_events(merchant: Api, receiver: Receiver) -> None:
    receiver.answer("/gone", status=410)
    gone = await an_endpoint(merchant, receiver.url("/gone"))
    open_one = await an_endpoint(merchant, receiver.url("/open"))
    await in_status(merchant, await an_event(merchant), "stopped", endpoint=gone)

    event = await an_event(merchant)
    delivery = await in_status(merchant, event, "delivered")

    assert delivery["endpoint"] == open_one.id


async def test_a_failed_delivery_that_is_sent_again_counts_on_and_begins_its_schedule_again(
    merchant: Api, receiver: Receiver
) -> None:
    receiver.answer(status=500)
    endpoint = await an_endpoint(merchant, receiver.url(), retrySchedule=[0, 1])
    event = await an_event(merchant)
    failed = await in_status(merchant, event, "failed")

    await merchant.post(f"/v1/deliveries/{failed['id']}/retry", status=202)
    again = await attempted(merchant, event, 4)
    receiver.answer(status=204)
    await merchant.post(f"/v1/deliveries/{failed['id']}/retry", status=202)
    delivered = await in_status(merchant, event, "delivered")

    assert (again["status"], again["attemptCount"]) == ("failed", 4)
    assert pauses(again["attempts"])[2] >= 1 - CLOCK_S
    assert outcomes(delivered) == [*((number, "5xx", 500) for number in range(1, 5)), (5, "2xx", 204)]
    assert_the_same_but_for_the_attempt(receiver.received, endpoint.secret)


async def test_a_pending_delivery_that_is_sent_again_by_hand_is_attempted_at_once(
    merchant: Api, receiver: Receiver
) -> None:
    receiver.answer(script=[status(500), status()])
    await an_endpoint(merchant, receiver.url(), retrySchedule=[0, 600])
    delivery = await attempted(merchant, await an_event(merchant), 1)

    answer = await merchant.call("POST", f"/v1/deliveries/{delivery['id']}/retry")

    assert answer.status == 202
    assert (await attempted(merchant, delivery["event"], 2))["status"] == "delivered"


async def test_a_fault_of_ours_does_not_use_up_an_attempt(
    merchant: Api, receiver: Receiver, database: Database, migrated: str
) -> None:
    # The answer closes the connection, so that each attempt needs a file handle of its own.
    receiver.answer(script=[raw(b"HTTP/1.1 500 Odd\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"), status()])
    endpoint = await an_endpoint(merchant, receiver.url(), retrySchedule=[0, 600])
    event = await an_event(merchant)
    await attempted(merchant, event, 1)

    async with connection(migrated) as conn:  # needs no handle later on
        await _fill_the_pool_of_the_node(merchant)
        with _no_file_handles_left():
            await conn.execute("UPDATE queue SET due_at = now() WHERE event_id = $1", parse_id(Prefix.EVENT, event))
            fault = (await attempted(merchant, event, 2))["attempts"][1]
    await make_due(database, event)
    delivery = await in_status(merchant, event, "delivered")

    assert (fault["outcome"], fault["statusCode"]) == ("internal", None)
    counted = [one for one in delivery["attempts"] if one["outcome"] != "internal"]
    assert [(one["number"], one["outcome"]) for one in counted] == [(1, "5xx"), (2, "2xx")]
    assert delivery["attemptCount"] == 2
    assert_the_same_but_for_the_attempt(receiver.received, endpoint.secret)


async def _fill_the_pool_of_the_node(merchant: Api) -> None:
    """Have the node open its connections to the database while it still can."""
    await asyncio.gather(*(merchant.get("/v1/esims") for _ in range(50)))


async def test_each_endpoint_of_an_account_gets_every_event_once_and_under_the_same_id(
    merchant: Api, receiver: Receiver
) -> None:
    one = await an_endpoint(merchant, receiver.url("/one"))
    two = await an_endpoint(merchant, receiver.url("/two"))

    events = {await an_event(merchant) for _ in range(20)}

    async def none_pending() -> bool:
        return not (await merchant.get("/v1/deliveries?status=pending"))["data"]

    await eventually(none_pending)
    for path, secret in (("/one", one.secret), ("/two", two.secret)):
        arrived = [request for request in receiver.received if request.path == path]
        assert sorted(str(verified(request, secret)["id"]) for request in arrived) == sorted(events)
        assert sorted(request.headers["webhook-id"] for request in arrived) == sorted(events)
        assert all(abs(int(request.headers["webhook-timestamp"]) - time.time()) < 60 for request in arrived)


class _no_file_handles_left:  # noqa: N801 - reads as a statement
    """Let this process open nothing more; what is open stays usable."""

    def __enter__(self) -> None:
        self._limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        with Path("/dev/null").open() as lowest_free:
            number = lowest_free.fileno()
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, self._limits[1]))

    def __exit__(self, *_: object) -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, self._limits)
