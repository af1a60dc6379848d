"""`esimhooks.testing` and `drain`: what a receiver's own tests are made of."""

import asyncio
import logging
from pathlib import Path

import pytest
from litestar import Litestar, asgi
from litestar.testing import TestClient

from esimhooks import Event, EventType, Receiver, Retrying, Webhook
from esimhooks.testing import SignedRequest, example_event, signed_request
from receiver_side.posting import SECRET, Seen


def a_receiver(tmp_path: Path, retrying: Retrying | None = None) -> Receiver:
    return Receiver(SECRET, inbox=f"sqlite:///{tmp_path / 'inbox.db'}", retrying=retrying)


def an_application(receiver: Receiver) -> Litestar:
    return Litestar([asgi("/hooks", copy_scope=True)(receiver)], lifespan=[receiver.lifespan], logging_config=None)


def test_a_made_up_event_agrees_with_itself() -> None:
    event = example_event("esim.usage_updated", dataUsage=900)

    data, changes = event.data, event.changes
    assert data.total_volume is not None
    assert (data.data_usage, data.data_usage_remain) == (900, data.total_volume - 900)
    assert changes["dataUsage"].new == 900
    assert changes["data_usage_remain"].new == data.data_usage_remain
    assert isinstance(changes["dataUsage"].old, int | float)
    assert changes["dataUsage"].old < 900


@pytest.mark.parametrize("event", EventType)
def test_every_type_of_event_can_be_made_up_and_verified(event: EventType) -> None:
    first, second = example_event(event), example_event(event, sequence=7, mode="test", esim_status="IN_USE")

    request = signed_request(SECRET, second)

    assert first.id != second.id
    assert Webhook(SECRET).verify(request.body, request.headers) == second
    assert (second.sequence, second.mode, second.data.esim_status) == (7, "test", "IN_USE")


def test_a_field_that_does_not_exist_is_named() -> None:
    with pytest.raises(TypeError, match="datausage"):
        example_event("esim.activated", datausage=900)


def test_drain_calls_sync_and_async_handlers_and_leaves_what_failed_for_later(tmp_path: Path) -> None:
    receiver, seen = a_receiver(tmp_path), Seen()
    receiver.on("*", name="plain")(seen.add)

    @receiver.on("*")
    async def later(event: Event) -> None:
        seen.add(event)

    @receiver.on("*")
    def broken(event: Event) -> None:
        raise OSError

    request = signed_request(SECRET, "esim.activated")
    assert receiver.take(request.body, request.headers).status == 200

    stats = receiver.drain()

    assert (stats.done, stats.waiting, stats.dead) == (2, 1, 0)
    assert seen.ids == [request.headers["webhook-id"]] * 2


def test_an_application_without_its_lifespan_says_that_handlers_may_not_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    receiver, seen = a_receiver(tmp_path), Seen()
    receiver.on("*", name="welcome")(seen.add)
    request = signed_request(SECRET, "esim.activated")
    client = TestClient(an_application(receiver))

    with caplog.at_level(logging.WARNING):
        assert client.post("/hooks", content=request.body, headers=request.headers).status_code == 200
    assert "no lifespan has started it" in caplog.text

    receiver.drain()
    assert seen.ids == [request.headers["webhook-id"]]


def test_what_was_claimed_when_a_loop_ended_is_given_back_at_once(tmp_path: Path) -> None:
    """Each loop of `asyncio.run` lives for one request only, and ends while its worker claims, begins or waits."""
    receiver, seen = a_receiver(tmp_path), Seen()
    receiver.on("*", name="welcome")(seen.add)
    requests = [signed_request(SECRET, "esim.activated") for _ in range(40)]

    async def take(request: SignedRequest, pauses: int) -> None:
        await receiver.start_async()
        assert (await receiver._take_async(request.body, request.headers)).status == 200
        for _ in range(pauses):
            await asyncio.sleep(0)

    for number, request in enumerate(requests):
        asyncio.run(take(request, number))

    assert receiver.drain().done == len(requests)
    assert sorted(seen.ids) == sorted(one.headers["webhook-id"] for one in requests)


def test_with_its_lifespan_an_application_is_quiet_and_drains_while_it_runs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    receiver, seen = a_receiver(tmp_path), Seen()
    receiver.on("*", name="welcome")(seen.add)
    request = signed_request(SECRET, "esim.activated")

    with (
        caplog.at_level(logging.WARNING),
        TestClient(an_application(receiver)) as client,
    ):
        assert client.post("/hooks", content=request.body, headers=request.headers).status_code == 200
        receiver.drain()
    assert (seen.ids, caplog.text) == ([request.headers["webhook-id"]], "")
