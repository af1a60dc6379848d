"""The scenarios: each stages its load on a fresh ground and returns its figures."""

import asyncio
from collections.abc import Mapping, Sequence

from msgspec import Struct

from benchmarks.ground import Ground, Posted, piped
from benchmarks.outside.adapter import Target
from benchmarks.server import importing

Figures = dict[str, float]

COUNTED_BATCH = 10
CROWDED_BATCH = 100

QUOTA = 50
"""How many endpoints an account has by default."""
MAX_AFTER_S = 15.0
"""How long the burst is watched after the last post: the flood need not drain for the others to be measured."""


class Size(Struct, frozen=True):
    """How much: events to put through, deliveries to drain, endpoints, seconds of a steady load, the flood of the burst, and what has grown.

    `crowd` is how many endpoints one account has where others have one.
    """

    through: int
    deliveries: int
    endpoints: int
    seconds: int
    flood: int
    crowd: int
    esims: tuple[int, ...]
    old: int


FULL = Size(
    through=20_000,
    deliveries=50_000,
    endpoints=100,
    seconds=60,
    flood=100_000,
    crowd=1_500,
    esims=(1_000, 10_000, 100_000),
    old=5_000_000,
)
QUICK = Size(
    through=4_000,
    deliveries=5_000,
    endpoints=100,
    seconds=4,
    flood=4_000,
    crowd=150,
    esims=(100, 1_000),
    old=20_000,
)
TINY = Size(through=40, deliveries=40, endpoints=4, seconds=1, flood=40, crowd=30, esims=(10, 20), old=100)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` (0-1) of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def spread(name: str, values: Sequence[float]) -> Figures:
    return {f"{name} p{round(share * 100)} ms": percentile(values, share) for share in (0.5, 0.95, 0.99)}


def waits(posted: Posted, arrived: dict[str, int]) -> list[float]:
    """Return the milliseconds from when each post was due to when its event arrived: no less than from its answer."""
    return [(arrived[one] - due) / 1e6 for ids, due, *_ in posted for one in ids if one in arrived]


async def drain(ground: Ground, size: Size) -> Figures:
    """Everything is due and all dispatchers run before the lanes are let go: two of them, then one.

    The bare client sends half of its part just before the one and half just after it, as the machine's speed changes
    within minutes.
    """
    owner = ground.server.start("api")
    targets = await ground.targets(owner.url, [f"/ok/{index}" for index in range(size.endpoints)])
    two = await _drained(ground, await _make_due(ground, owner.url, targets, size, first=0), dispatchers=2)
    due = await _make_due(ground, owner.url, targets, size, first=size.deliveries)
    before_s = await _bare(ground, size)
    one = await _drained(ground, due, dispatchers=1)
    bare = size.deliveries / (before_s + await _bare(ground, size))
    return {
        "deliveries/s, 2 dispatcher(s)": two.rate,
        "commits per delivery, 2 dispatcher(s)": two.commits,
        "dispatcher CPU us per delivery": one.cpu_us,
        "deliveries/s, 1 dispatcher(s)": one.rate,
        "commits per delivery, 1 dispatcher(s)": one.commits,
        "statements per delivery": await _statements(ground, owner.url, targets, first=2 * size.deliveries),
        "bare client/s": bare,
        "ratio to the bare client": one.rate / bare,
        "two against one": two.rate / one.rate,
    }


class _Drained(Struct, frozen=True):
    """How fast it went: deliveries a second; of a delivery the commits, and the first dispatcher's microseconds."""

    rate: float
    commits: float
    cpu_us: float


async def _drained(ground: Ground, due: int, *, dispatchers: int) -> _Drained:
    """Let the lanes go once so many dispatchers run, and wait until all that is due has arrived."""
    nodes = [ground.server.add_dispatcher() for _ in range(dispatchers)]
    before, cpu_s = await ground.server.commits(), nodes[0].cpu_s()
    await ground.server.let_go()
    arrived = sorted((await ground.arrived(due)).values())
    cpu_s = nodes[0].cpu_s() - cpu_s
    for node in nodes:
        ground.server.stop(node)
    commits = await ground.server.commits() - before
    return _Drained(due / ((arrived[-1] - arrived[0]) / 1e9), commits / due, cpu_s / due * 1e6)


async def _make_due(ground: Ground, node_url: str, targets: Sequence[Target], size: Size, *, first: int) -> int:
    """Post events, numbered from `first`, whose deliveries stay due in lanes that are held; return how many."""
    batch = min(500, size.deliveries // size.endpoints)
    posts = size.deliveries // batch
    await ground.post(node_url, targets, connections=4, batch=batch, posts=posts, first=first)
    await ground.server.hold_lanes()
    return posts * batch


async def _bare(ground: Ground, size: Size) -> float:
    """Return the seconds that the bare client takes for half of the deliveries, with bodies that have arrived."""
    load = {
        "url": ground.receiver,
        "bodies": await ground.fetch("bodies"),
        "count": size.deliveries // 2,
        "endpoints": size.endpoints,
    }
    took_s = float(await piped("benchmarks.bare", load, environment=importing(ground.server.source)))
    await ground.arrived(size.deliveries // 2)
    return took_s


async def _statements(ground: Ground, node_url: str, targets: Sequence[Target], *, first: int) -> float:
    """Return how many statements a dispatcher runs for each of a few deliveries, counted in PostgreSQL's own log.

    Those of an idle dispatcher are among them. Not while anything is timed: such a log costs time.
    """
    await ground.server.hold_lanes()
    posted = await ground.post(node_url, targets, connections=4, batch=COUNTED_BATCH, posts=len(targets), first=first)
    node = ground.server.add_dispatcher()
    before = await ground.server.log_statements(on=True)
    await ground.server.let_go()
    arrived = await ground.arrived(len(posted) * COUNTED_BATCH)
    ground.server.stop(node)
    return (await ground.server.log_statements(on=False) - before) / len(arrived)


async def accept(ground: Ground, size: Size) -> Figures:
    """50 connections, one event each request, as fast as answers come.

    One process does everything; then again with the dispatcher in a process of its own.
    """
    node = ground.server.start()
    figures = await _accept(ground, node.url, size)
    ground.server.stop_all()
    node = ground.server.start("api,scheduler")
    ground.server.add_dispatcher()
    apart = await _accept(ground, node.url, size)
    return figures | {f"{name}, dispatcher apart": value for name, value in apart.items()}


async def _accept(ground: Ground, node_url: str, size: Size) -> Figures:
    targets = await ground.targets(node_url, [f"/ok/{index}" for index in range(size.endpoints)])
    before = await ground.server.commits()
    posted = await ground.post(node_url, targets, connections=50, seconds=max(1, size.seconds // 3))
    commits = await ground.server.commits() - before
    took_s = (max(one[2] for one in posted) - min(one[1] for one in posted)) / 1e9
    answers = _answers(posted)
    await ground.arrived(len(posted))
    return {
        "accepted/s": len(posted) / took_s,
        **spread("answer", answers),
        "commits per event, all roles": commits / len(posted),
    }


async def steady(ground: Ground, size: Size) -> Figures:
    """A fixed pace; from when a post was due to when its event arrived.

    A server that cannot keep the pace shows by the share that it accepted and the share of it that arrived; the times
    are then those of what arrived.
    """
    node = ground.server.start()
    targets = await ground.targets(node.url, [f"/ok/{index}" for index in range(size.endpoints)])
    figures: Figures = {}
    for index, rate in enumerate((200, 1000)):
        posted = await ground.post(
            node.url, targets, connections=100, rate=rate, seconds=size.seconds, first=index * 10**6
        )
        arrived = await ground.arrived_in_time(len(posted), within_s=size.seconds)
        figures |= {
            f"{rate}/s share let in": len(posted) / (rate * size.seconds),
            f"{rate}/s share arrived": len(arrived) / len(posted),
            **spread(f"{rate}/s arrival", waits(posted, arrived)),
        }
    return figures


async def neighbour(ground: Ground, size: Size) -> Figures:
    """Five endpoints of a hundred hang and five answer 500; how the other ninety fare against a run without those."""
    node = ground.server.start()
    spoilt = max(1, size.endpoints // 20)
    good = await ground.targets(node.url, [f"/ok/{index}" for index in range(size.endpoints - 2 * spoilt)])
    paths = [f"/{kind}/{index}" for kind in ("hang", "fail") for index in range(spoilt)]
    bad = await ground.targets(node.url, paths)
    quiet = await ground.post(node.url, good, connections=50, rate=180, seconds=size.seconds)
    before = waits(quiet, await ground.arrived(len(quiet)))
    posted, _ = await asyncio.gather(
        ground.post(node.url, good, connections=50, rate=180, seconds=size.seconds, first=10**6),
        ground.post(node.url, bad, connections=10, rate=20, seconds=size.seconds),
    )
    after = waits(posted, await ground.arrived(len(posted)))
    alone_ms, beside_ms = percentile(before, 0.99), percentile(after, 0.99)
    return {"p99 alone ms": alone_ms, "p99 beside bad ones ms": beside_ms, "times": beside_ms / alone_ms}


async def burst(ground: Ground, size: Size) -> Figures:
    """One tenant's events are all due at once; how another's ten a second fare while they drain."""
    owner = ground.server.start("api")
    flooded, other = await ground.targets(owner.url, ["/ok/flooded", "/ok/other"])
    dispatcher = ground.server.add_dispatcher()
    quiet = await ground.post(owner.url, [other], connections=10, rate=10, seconds=size.seconds)
    before = waits(quiet, await ground.arrived(len(quiet)))
    ground.server.stop(dispatcher)
    batch = min(500, size.flood)
    await ground.post(owner.url, [flooded], connections=4, batch=batch, posts=size.flood // batch)
    await ground.fetch("reset")
    ground.server.add_dispatcher()
    posted = await ground.post(owner.url, [other], connections=10, rate=10, seconds=size.seconds, first=10**6)
    others = {event for ids, *_ in posted for event in ids}
    arrived = await ground.arrived_in_time(size.flood + len(posted), within_s=MAX_AFTER_S)
    flood = [at for event, at in arrived.items() if event not in others]
    beside = waits([one for one in posted if one[1] < max(flood)], arrived)
    quiet_ms, burst_ms = percentile(before, 0.99), percentile(beside, 0.99)
    return {
        "p99 quiet ms": quiet_ms,
        "p99 beside the flood ms": burst_ms,
        "times": burst_ms / quiet_ms,
        "posts beside the flood": len(beside),
        "flood deliveries/s meanwhile": len(flood) / ((max(flood) - min(flood)) / 1e9),
    }


async def crowd(ground: Ground, size: Size) -> Figures:
    """An account with very many endpoints gets 100 updates at once; how another's single updates fare beside them."""
    node = ground.server.start()
    other, crowded = await ground.targets(node.url, ["/ok/other", "/ok/crowd"])
    await ground.crowd(node.url, crowded, [f"/ok/crowd/{index}" for index in range(size.crowd - 1)])
    seconds = max(1, size.seconds // 3)
    quiet = await ground.post(node.url, [other], connections=10, rate=20, seconds=seconds)
    before = waits(quiet, await ground.arrived(len(quiet)))
    posted, _ = await asyncio.gather(
        ground.post(node.url, [other], connections=10, rate=20, seconds=seconds, first=10**6),
        ground.post(node.url, [crowded], connections=1, batch=CROWDED_BATCH, posts=1),
    )
    deliveries = len(posted) + CROWDED_BATCH * size.crowd
    beside = waits(posted, await ground.arrived_in_time(deliveries, within_s=MAX_AFTER_S))
    figures: Figures = {}
    for what, alone, together in (
        ("answer", _answers(quiet), _answers(posted)),
        ("arrival", before, beside),
    ):
        alone_ms, beside_ms = percentile(alone, 0.99), percentile(together, 0.99)
        figures |= {f"{what} p99 quiet ms": alone_ms, f"{what} p99 beside ms": beside_ms}
        figures |= {f"{what} times": beside_ms / alone_ms, f"{what} slowest beside ms": max(together)}
    return figures


async def tenants(ground: Ground, size: Size) -> Figures:
    """An account's single updates, quiet, beside four slow endpoints of another, and beside 1 000 updates of one at its quota.

    The slow ones have the highest limits and never answer; the one at its quota gets a delivery at every endpoint.
    """
    node = ground.server.start()
    other, slow, full = await ground.targets(node.url, ["/ok/other", "/ok/slow", "/ok/full"])
    await ground.crowd(node.url, slow, [f"/hang/{index}" for index in range(4)], maxInFlight=200)
    await ground.crowd(node.url, full, [f"/ok/full/{index}" for index in range(QUOTA - 1)])
    seconds, many = max(1, size.seconds // 3), min(1000, size.flood)

    async def beside(first: int) -> Posted:
        return await ground.post(node.url, [other], connections=10, rate=20, seconds=seconds, first=first)

    quiet = await beside(0)
    alone = {"answer": _answers(quiet), "arrival": waits(quiet, await ground.arrived(len(quiet)))}
    await ground.post(node.url, [slow], connections=1, batch=min(500, size.flood), posts=1)
    with_slow = await beside(10**6)
    arrived = await ground.arrived_in_time(len(with_slow), within_s=MAX_AFTER_S)
    figures = _times("slow endpoints", alone, {"answer": _answers(with_slow), "arrival": waits(with_slow, arrived)})
    await ground.delete_account(node.url, slow)
    with_full, _ = await asyncio.gather(
        beside(2 * 10**6), ground.post(node.url, [full], connections=1, batch=many, posts=1)
    )
    arrived = await ground.arrived_in_time(len(with_full) + many * QUOTA, within_s=MAX_AFTER_S)
    together = {"answer": _answers(with_full), "arrival": waits(with_full, arrived)}
    return figures | _times(f"{many} updates at the quota", alone, together)


def _times(beside: str, alone: Mapping[str, Sequence[float]], together: Mapping[str, Sequence[float]]) -> Figures:
    figures: Figures = {}
    for what, quiet in alone.items():
        alone_ms, beside_ms = percentile(quiet, 0.99), percentile(together[what], 0.99)
        figures |= {f"{what} p99 quiet ms": alone_ms, f"{what} p99 beside {beside} ms": beside_ms}
        figures |= {f"{what} times beside {beside}": beside_ms / alone_ms}
    return figures


def _answers(posted: Posted) -> list[float]:
    """Return the milliseconds from when each post was due to its answer."""
    return [(answered - due) / 1e6 for _, due, answered, _ in posted]
