"""Events one by one, each in a request of its own: at a quiet pace, and as fast as they go. Both say what an event costs."""

from benchmarks.ground import Ground
from benchmarks.outside.adapter import Target
from benchmarks.scenarios import Figures, Size, spread, waits

ENDPOINTS = 20
RATE = 200
COUNTED_S = 3
CONNECTIONS = 50


async def trickle(ground: Ground, size: Size) -> Figures:
    """200 events a second over 20 endpoints: time to arrival, and what an event costs where it is mostly alone.

    Statements are counted afterwards, in a few seconds of their own, as the log that counts them costs time. BEGIN and
    COMMIT are among them: each is a round trip.
    """
    node = ground.server.start()
    targets = await _targets(ground, node.url)
    await _post(ground, node.url, targets, seconds=1, first=0)  # leases, plans, connections
    server_s, database_s = ground.server.cpu_s()
    commits = await ground.server.commits()
    figures, count = await _post(ground, node.url, targets, seconds=size.seconds, first=10**6)
    after = ground.server.cpu_s()
    commits = await ground.server.commits() - commits
    before = await ground.server.log_statements(on=True)
    _, counted = await _post(ground, node.url, targets, seconds=min(COUNTED_S, size.seconds), first=2 * 10**6)
    statements = await ground.server.log_statements(on=False) - before
    return figures | {
        "server CPU ms per event": (after[0] - server_s) / count * 1e3,
        "PostgreSQL CPU ms per event": (after[1] - database_s) / count * 1e3,
        "commits per event": commits / count,
        "round trips per event": statements / counted,
    }


async def through(ground: Ground, size: Size) -> Figures:
    """As fast as 50 connections go, until all has arrived."""
    node = ground.server.start()
    targets = await _targets(ground, node.url)
    await _post(ground, node.url, targets, seconds=1, first=0)
    server_s, database_s = ground.server.cpu_s()
    posted = await ground.post(node.url, targets, connections=CONNECTIONS, posts=size.through, first=10**6)
    arrived = await ground.arrived(len(posted))
    after = ground.server.cpu_s()
    began = min(due for _, due, *_ in posted)
    return {
        "events/s until all arrived": len(posted) / ((max(arrived.values()) - began) / 1e9),
        "taken in/s": len(posted) / ((max(answered for *_, answered, _ in posted) - began) / 1e9),
        **spread("answer", [(answered - due) / 1e6 for _, due, answered, _ in posted]),
        "server CPU ms per event": (after[0] - server_s) / len(posted) * 1e3,
        "PostgreSQL CPU ms per event": (after[1] - database_s) / len(posted) * 1e3,
    }


async def _targets(ground: Ground, node_url: str) -> list[Target]:
    return await ground.targets(node_url, [f"/ok/{index}" for index in range(ENDPOINTS)])


async def _post(
    ground: Ground, node_url: str, targets: list[Target], *, seconds: int, first: int
) -> tuple[Figures, int]:
    """Post at the quiet pace; return the times to arrival, and how many events there were."""
    posted = await ground.post(node_url, targets, connections=CONNECTIONS, rate=RATE, seconds=seconds, first=first)
    arrived = await ground.arrived(len(posted))
    return spread("arrival", waits(posted, arrived)), len(posted)
