"""The day of a shop that tools/pictures.py shows: its receivers, and what happens to the eSIMs it has sold.

The present time comes in, updates for `POST /v1/updates` go out, the same each time but for their times. Nothing is
sent here.
"""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

Json = dict[str, Any]

MOVED = {"error": 'relation "customers" does not exist', "hint": "this shop has moved to shop.acme-travel.example"}
ANSWERS: dict[str, tuple[float, int, Json]] = {
    "/shop": (0, 200, {"received": True}),
    "/bookkeeping": (0.35, 200, {"booked": True}),
    "/old-shop": (0.8, 500, MOVED),
}
"""After how many seconds, and what, the receiver at each path answers."""
ENDPOINTS: tuple[Json, ...] = (
    {"url": "/shop", "name": "Shop"},
    {"url": "/bookkeeping", "name": "Bookkeeping", "eventTypes": ["esim.created", "esim.expired"]},
    {"url": "/old-shop", "name": "Shop, old address", "eventTypes": ["esim.suspended"], "retrySchedule": [0, 2]},
)
"""The endpoints as `POST /v1/endpoints` takes them, with paths instead of addresses."""
PACKAGES = (("Italy", 5, 30), ("Japan", 10, 15), ("Europe", 20, 30), ("Thailand", 3, 7))
"""Where to, GB, days."""
ESIMS = 30
SUSPENDED = 6
"""One in this many is suspended on its way, which goes to the shop's old address, too."""
FIRST_SOLD_H = 5.0
"""Hours since the first eSIM was bought, whose story is shown."""


def updates(now: datetime) -> list[Json]:
    """Return the updates of all eSIMs until `now` (aware UTC), in the order of their times."""
    rng = random.Random(5)  # noqa: S311 - the same customers each time
    updates = [update for number in range(ESIMS) for update in _life(number, rng, now)]
    return sorted(updates, key=lambda update: str(update["occurredAt"]))


def _life(number: int, rng: random.Random, now: datetime) -> Iterator[Json]:
    country, gigabytes, days = PACKAGES[number % len(PACKAGES)]
    suspended = number % SUSPENDED == 1
    known = {
        "transactionId": f"order-{10_417 + number}",
        "orderNo": f"B26{4517 + number}",
        "esimTranNo": f"26112809{4517 + number}",
        "iccid": f"89480100005{1_245_417 + number * 37}4",
        "imsi": f"26006000{4_138_429 + number * 37}",
        "apn": "internet",
        "ac": f"LPA:1$smdp.example$K2-{4517 + number}-5678EFGH",
        "packageName": f"{country} {gigabytes} GB {days} days",
        "totalVolume": gigabytes * 1024,
        "totalDuration": days,
    }
    sold_h = FIRST_SOLD_H if number == 0 else rng.uniform(*((8, 22) if suspended else (0.2, 40)))
    at = now - timedelta(hours=sold_h)
    for hours, reported in _trip(rng, gigabytes * 1024, suspended=suspended):
        at += timedelta(hours=hours)
        if at < now:
            yield known | reported | {"occurredAt": at.isoformat()}


def _trip(rng: random.Random, megabytes: int, *, suspended: bool) -> Iterator[tuple[float, Json]]:
    """Yield how an eSIM is bought, installed and used up, or suspended: hours since the update before, and what it tells."""
    yield 0, {"esimStatus": "CREATED", "smdpStatus": "RELEASED", "dataUsage": 0}
    yield rng.uniform(0.3, 1.5), {"smdpStatus": "INSTALLED"}
    yield rng.uniform(0.1, 0.8), {"esimStatus": "IN_USE", "smdpStatus": "ENABLED"}
    used = 0.0
    while (used := used + megabytes * rng.uniform(0.02, 0.09)) < megabytes * (0.3 if suspended else 1):
        yield rng.uniform(0.4, 1.6), {"dataUsage": round(used, 2), "cause": rng.choice(("push", "push", "poll"))}
    yield 1, {"esimStatus": "SUSPENDED"} if suspended else {"esimStatus": "USED_UP", "dataUsage": megabytes}
