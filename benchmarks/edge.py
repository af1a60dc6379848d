"""What the edge of the server costs: one `POST /v1/updates` from its ASGI scope to the answer, with the intake left out.

Run `python -m benchmarks.edge`: it prints microseconds of processor time of this process, the median of rounds and the
quickest. Nothing is listened on and no database is queried: routing, key, limits, decoding, validation, metrics and the
answer remain (docs/decisions/0032).
"""

import asyncio
import json
import statistics
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from esimhooks.server.api.auth import Authenticator
from esimhooks.server.api.http import Message, Scope
from esimhooks.server.api.installation import Installation
from esimhooks.server.api.limits import LoginThrottle, RateLimit
from esimhooks.server.api.router import Router
from esimhooks.server.app.asgi import table
from esimhooks.server.domain.change import UpdateOutcome, UpdateResult
from esimhooks.server.ingest.inbound import Intake
from esimhooks.server.observe.refused import Refusals
from esimhooks.server.store.database import Database

ROUNDS, REQUESTS = 15, 1000
KEY = "esim_admin_" + "0" * 49
UPDATE = {"transactionId": "shop-7", "iccid": "8943000000123456785", "esimStatus": "IN_USE", "dataUsage": 12.5}
BODY = json.dumps({"updates": [UPDATE]}).encode()
RESULTS = [(UpdateResult(outcome=UpdateOutcome.APPLIED),)]


class _Constant:
    """Takes updates in without looking at them."""

    async def accept_updates(self, raw: Sequence[bytes], *_: object, **__: object) -> object:
        return RESULTS * len(raw)


def edge() -> Router:
    """Return the application, with nothing behind it."""
    authenticator = Authenticator(
        _Constant(),  # type: ignore[arg-type]  # never queried, as the key is the operator's first
        admin_key=KEY,
        trusted_proxies=0,
        clock=lambda: datetime.now(UTC),
        addresses=RateLimit(0, scope="address"),
        throttle=LoginThrottle(tries_per_minute=0, refusals=Refusals()),
    )
    installation = Installation(
        clock=lambda: datetime.now(UTC),
        keys_limit=RateLimit(0, scope="key"),
        wakes=(),
        brand="Esimhooks",
        thresholds=(),
        public_url="http://127.0.0.1",
        metrics_token=None,
    )
    services: dict[type, Any] = {
        Authenticator: authenticator,
        Installation: installation,
        Intake: _Constant(),
        Database: None,
    }
    return Router(table(), services)


async def requests(router: Router, count: int) -> float:
    """Make so many requests one after the other; return the seconds of processor time that each took."""
    scope: Scope = {
        "type": "http",
        "method": "POST",
        "scheme": "http",
        "path": "/v1/updates",
        "raw_path": b"/v1/updates",
        "query_string": b"",
        "client": ("127.0.0.1", 50_000),
        "headers": [
            (b"host", b"127.0.0.1:8400"),
            (b"authorization", f"Bearer {KEY}".encode()),
            (b"content-type", b"application/json"),
            (b"content-length", str(len(BODY)).encode()),
        ],
    }
    answered = []

    async def receive() -> Message:
        return {"type": "http.request", "body": BODY, "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            answered.append(message["status"])

    started = time.process_time()
    for _ in range(count):
        await router(scope, receive, send)
    took = time.process_time() - started
    if answered != [200] * count:
        raise RuntimeError(f"expected answers of 200, got {set(answered)}")
    return took / count


def main() -> None:
    """Print the figures."""
    router = edge()
    asyncio.run(requests(router, REQUESTS))  # everything is imported and cached
    took_us = [asyncio.run(requests(router, REQUESTS)) * 1e6 for _ in range(ROUNDS)]
    print(
        f"POST /v1/updates at the edge: {statistics.median(took_us):.0f} us, the quickest round {min(took_us):.0f} us"
    )


if __name__ == "__main__":
    main()
