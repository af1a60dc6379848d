"""Several processes on one inbox: each event is worked on by one of them, once, whichever of them took it."""

import asyncio
import re
import sys
from pathlib import Path

import pytest
from aiohttp import ClientConnectorError, ClientSession, TCPConnector

from api import eventually
from esimhooks import Webhook, open_inbox
from esimhooks.signing import new_secret
from examples.example_process import example

UVICORN = Path(sys.executable).with_name("uvicorn")
EVENTS = 60


@pytest.mark.slow(reason="starts three Python processes")
@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_events_sent_twice_to_three_processes_are_each_worked_on_once(
    kind: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    secret = new_secret()
    inbox = f"sqlite:///{tmp_path / 'inbox.db'}" if kind == "sqlite" else request.getfixturevalue("empty_inbox")
    words: list[str | Path] = [
        UVICORN,
        "--app-dir",
        "examples/receivers",
        "asgi_app:receiver",
        "--port",
        "0",
        "--workers",
        "3",
    ]
    bodies = {
        f"evt_{n}": f'{{"id":"evt_{n}","event":"esim.activated","data":{{"id":"esim_{n}"}}}}' for n in range(EVENTS)
    }

    with example(words, tmp_path / "output", {"ESIMHOOKS_WEBHOOK_SECRET": secret, "ESIMHOOKS_INBOX": inbox}) as running:
        await running.started()

        async def takes_requests() -> bool:
            try:
                async with ClientSession() as session, session.get(running.url) as answer:
                    return answer.status == 405
            except ClientConnectorError:
                return False

        await eventually(takes_requests)
        # A connection for each request: otherwise one process would get them all.
        async with ClientSession(connector=TCPConnector(limit=12, force_close=True)) as session:

            async def sent(event_id: str) -> int:
                body = bodies[event_id].encode()
                async with session.post(
                    running.url, data=body, headers=Webhook(secret).sign(body, message_id=event_id)
                ) as answer:
                    return answer.status

            statuses = await asyncio.gather(*(sent(event_id) for event_id in [*bodies, *bodies]))

        async def worked_off() -> bool:
            with open_inbox(inbox) as opened:
                return opened.stats().done == EVENTS

        await eventually(worked_off)

        # Not by lines: a process may write the end of its line after another has written.
        worked_on = re.findall(r"esim\.activated (esim_\d+)", running.printed())
    assert statuses == [200] * 2 * EVENTS
    assert sorted(worked_on) == sorted(f"esim_{n}" for n in range(EVENTS))
