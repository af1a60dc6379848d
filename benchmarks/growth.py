"""Growth: more eSIMs, then millions of old deliveries, and whether accepting and delivering stay as fast.

eSIMs are made through the API. Old deliveries are inserted by SQL into daily partitions of their own, as retention would
find them: what is measured is how they weigh on what is new, not how they came to be.
"""

from datetime import UTC, datetime, timedelta

from benchmarks.ground import Ground
from benchmarks.scenarios import Figures, Size, percentile
from esimhooks.server.domain.ids import first_id_of
from esimhooks.server.store.partitions import partition_name

DAYS = 10
CONNECTIONS = 50

OLD = """
    INSERT INTO deliveries (id, account_id, mode, event_id, event_type, esim_id, endpoint_id, status, attempts, finished_at)
    SELECT (lpad(to_hex($1::bigint + number), 12, '0') || '7000' || '8' || substr(md5(number::text), 1, 15))::uuid,
           e.account_id, e.mode, gen_random_uuid(), 'esim.data_updated', gen_random_uuid(), e.id, 'delivered', 1,
           to_timestamp($1::bigint / 1000.0)
    FROM generate_series(1, $2::int) AS number, (SELECT * FROM endpoints ORDER BY id LIMIT 1) AS e
"""


async def growth(ground: Ground, size: Size) -> Figures:
    """The same load with ever more eSIMs, then with old deliveries; each against the first."""
    node = ground.server.start()
    figures: Figures = {}
    rates: list[float] = []
    slowest: list[float] = []
    for index, (esims, old) in enumerate([*((count, 0) for count in size.esims), (size.esims[-1], size.old)]):
        if old:
            await _insert_old(ground, old)
        known = size.esims[index - 1] if 0 < index < len(size.esims) else 0
        paths = [f"/ok/{number}" for number in range(10)]
        if not old:
            targets = await ground.targets(node.url, paths, esims=max(1, (esims - known) // len(paths)))
        posted = await ground.post(
            node.url, targets, connections=CONNECTIONS, seconds=max(1, size.seconds // 4), first=index * 10**6
        )
        arrived = await ground.arrived(len(posted))
        rates.append(len(arrived) / ((max(arrived.values()) - min(one[1] for one in posted)) / 1e9))
        slowest.append(percentile([(answered - due) / 1e6 for _, due, answered, _ in posted], 0.99))
        name = f"{esims} eSIMs, {old} old"
        figures |= {f"{name}: deliveries/s": rates[-1], f"{name}: answer p99 ms": slowest[-1]}
    figures["slowest deliveries/s against the first"] = min(rates) / rates[0]
    figures["longest answer p99 against the first"] = max(slowest) / slowest[0]
    return figures


async def _insert_old(ground: Ground, count: int) -> None:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    for days in range(2, 2 + DAYS):
        day = today - timedelta(days=days)
        bounds = f"FROM ('{first_id_of(day)}') TO ('{first_id_of(day + timedelta(days=1))}')"
        await ground.server.execute(
            f"CREATE TABLE {partition_name('deliveries', day)} PARTITION OF deliveries FOR VALUES {bounds}"
        )
        await ground.server.execute(OLD, int(day.timestamp() * 1000), count // DAYS)
    await ground.server.execute("ANALYZE deliveries")
