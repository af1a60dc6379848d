"""The demo's receiver: it answers 200 only to what verifies with `standardwebhooks`, and counts what came."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from urllib.parse import urlsplit

import pytest
from aiohttp import ClientSession
from standardwebhooks import Webhook

from esimhooks.cli.demo_receiver import DemoReceiver

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_plJ3nmyCDGBKInavdOK15jsl"


@pytest.fixture
async def receiver() -> AsyncIterator[DemoReceiver]:
    async with DemoReceiver() as listening:
        listening.trust(SECRET)
        yield listening


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


def event(number: int = 1) -> bytes:
    return json.dumps({"id": f"evt_{number}", "event": "esim.activated", "sequence": 1}).encode()


def signed(body: bytes, *, webhook_id: str = "evt_1", secret: str = SECRET) -> dict[str, str]:
    now = datetime.now(UTC)
    return {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(webhook_id, now, body.decode()),
    }


async def sent(session: ClientSession, receiver: DemoReceiver, body: bytes, headers: dict[str, str]) -> int:
    async with session.post(receiver.url, data=body, headers=headers) as answer:
        return answer.status


async def test_a_signed_event_is_taken_and_counted(receiver: DemoReceiver, session: ClientSession) -> None:
    assert await sent(session, receiver, event(), signed(event())) == 200

    assert receiver.bodies == {"evt_1": event()}
    assert receiver.types == {"evt_1": "esim.activated"}
    assert (receiver.requests, receiver.unverified, receiver.duplicates) == (1, 0, 0)


@pytest.mark.parametrize(
    "headers",  # made when the test runs: minutes after they were signed they would be refused for their age
    [
        dict,
        lambda: signed(event(), secret=OTHER_SECRET),
        lambda: signed(event(2)),
        lambda: signed(event()) | {"webhook-id": "evt_2"},
        lambda: signed(event()) | {"webhook-timestamp": "1614265330"},
        lambda: signed(event()) | {"webhook-signature": "v1"},
        lambda: signed(event()) | {"webhook-signature": "v1,%%%"},
    ],
    ids=["unsigned", "another secret", "another body", "another id", "too old", "no comma", "no base64"],
)
async def test_what_does_not_verify_is_refused_and_counted(
    receiver: DemoReceiver, session: ClientSession, headers: Callable[[], dict[str, str]]
) -> None:
    assert await sent(session, receiver, event(), headers()) == 401

    assert receiver.bodies == {}
    assert receiver.unverified == 1


async def test_nothing_is_taken_before_it_knows_a_secret(session: ClientSession) -> None:
    async with DemoReceiver() as receiver:
        assert await sent(session, receiver, event(), signed(event())) == 401


async def test_a_repeat_is_taken_and_counted_once_as_event(receiver: DemoReceiver, session: ClientSession) -> None:
    for _ in range(3):
        assert await sent(session, receiver, event(), signed(event())) == 200

    assert len(receiver.types) == 1
    assert (receiver.duplicates, receiver.altered) == (2, 0)


async def test_a_repeat_with_other_bytes_is_noticed(receiver: DemoReceiver, session: ClientSession) -> None:
    changed = event() + b" "

    await sent(session, receiver, event(), signed(event()))
    await sent(session, receiver, changed, signed(changed))

    assert (receiver.duplicates, receiver.altered) == (1, 1)


@pytest.mark.parametrize(
    "words",
    [
        b"\x16\x03\x01\x02\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: many\r\n\r\n",
        b"POST / HTTP/1.1\r\ncontent-length: 9999999\r\n\r\n",
    ],
    ids=["TLS", "no length", "too large"],
)
async def test_what_is_no_webhook_at_all_does_it_no_harm(
    receiver: DemoReceiver, session: ClientSession, words: bytes
) -> None:
    parts = urlsplit(receiver.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(words)
    writer.write_eof()
    await reader.read()
    writer.close()
    await writer.wait_closed()

    assert await sent(session, receiver, event(), signed(event())) == 200
