"""The bare client: the server's own sender and signing, the same bodies, the same caps, and no database.

Run as `python -m benchmarks.bare` with url, bodies, count and endpoints as JSON on standard input; prints the seconds.
"""

import asyncio
import json
import sys
import time
from ipaddress import ip_network
from typing import Any

import uvloop

from esimhooks.server.app import server
from esimhooks.server.delivery.http.client import Sender
from esimhooks.server.delivery.http.gate import Gate
from esimhooks.server.domain.ids import Prefix, new_id, text_of
from esimhooks.signing import new_secret, signature_header
from esimhooks.version import __version__

PER_ENDPOINT = 20
IN_FLIGHT = 500


async def send_all(load: dict[str, Any]) -> float:
    """Send `count` signed bodies over the endpoints; return how long it took."""
    sender = Sender(Gate([ip_network("127.0.0.0/8")]))
    secret, bodies = new_secret(), [body.encode() for body in load["bodies"]]
    numbers = iter(range(load["count"]))

    async def work(index: int) -> None:
        for number in numbers:
            body, message_id = bodies[number % len(bodies)], text_of(Prefix.EVENT, new_id())
            now = int(time.time())
            headers = {
                "content-type": "application/json",
                "user-agent": f"esimhooks/{__version__}",
                "webhook-id": message_id,
                "webhook-timestamp": str(now),
                "webhook-signature": signature_header([secret], message_id=message_id, timestamp=now, body=body),
                "webhook-event": "esim.data_updated",
                "webhook-attempt": "1",
            }
            await sender.send(f"{load['url']}/ok/{index}", headers=headers, body=body, timeout_s=5.0)

    server.freeze_startup_objects()  # as the server does
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for slot in range(min(IN_FLIGHT, PER_ENDPOINT * load["endpoints"])):
            group.create_task(work(slot % load["endpoints"]))
    took = time.monotonic() - began
    await sender.close()
    return took


if __name__ == "__main__":
    print(uvloop.run(send_all(json.load(sys.stdin))))
