"""`python -m benchmarks.budget`: fills a database, times what the dashboard asks of it, and writes what came out.

It fails where the first page is over 200 kB or 1 s, or a list takes over 100 ms.
"""

import argparse
import asyncio
import base64
import os
import platform
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import asyncpg

from benchmarks.budget.fill import DAYS, History, Size, Writer, history_of
from benchmarks.budget.pages import Loaded, loaded
from benchmarks.budget.queries import Stopwatch, Timed, queries_of
from esimhooks.server.app.node import running
from esimhooks.server.app.settings import Settings
from esimhooks.server.domain.ids import Prefix, text_of
from esimhooks.server.store import migrate as migrations
from esimhooks.server.store.database import connect
from esimhooks.server.store.embedded import EmbeddedPostgres
from esimhooks.server.store.encryption import Cipher
from tools.chromium import a_chromium

PAGE_KB, PAGE_MS, LIST_MS = 200, 1000, 100
KEY = "budget-" + "0" * 40
ENCRYPTION_KEY = base64.b64encode(bytes(32)).decode()
"""Nothing here is a secret, and a database that is kept must open again."""
FULL = Size(esims=100_000, deliveries=1_000_000, notifications=300_000, accounts=1000)
BUDGET = (
    f"Budget: a page at most {PAGE_KB} kB and {PAGE_MS} ms with an empty cache, a list at most {LIST_MS} ms of work. Work is "
    "processor time of the database's process and of the one that asks, the best of up to five; the clock tells of "
    "what else the machine does."
)
SMALL = Size(esims=1_000, deliveries=10_000, notifications=3_000, accounts=20)
SLOWEST = 10


async def measured(folder: Path, size: Size) -> tuple[list[Loaded], list[Timed]]:
    """Fill the database in the folder unless it is filled, and return what the pages and the queries cost."""
    embedded = EmbeddedPostgres(folder)
    dsn = embedded.start()
    await migrations.migrate(dsn)
    conn = await asyncpg.connect(dsn)
    history = await filled(conn, size)
    # The work of several processes for one query could not be distinguished from that of others.
    await conn.execute("ALTER DATABASE postgres SET max_parallel_workers_per_gather = 0")
    await conn.close()
    database = await connect(dsn, Cipher([ENCRYPTION_KEY]), connections=1)
    async with database.session() as db:
        watch = Stopwatch(await db.conn.fetchval("SELECT pg_backend_pid()"))
    times = [await watch.timed(query, limit_ms=LIST_MS) for query in queries_of(database, history)]
    await database.close()
    settings = Settings.read(
        database_url=dsn,
        data_dir=folder / "node",
        port=0,
        roles="api",
        admin_key=KEY,
        encryption_key=ENCRYPTION_KEY,
        log_level="warning",
    )
    async with running(settings) as node, a_chromium() as chromium:
        whose = f"?account={text_of(Prefix.ACCOUNT, history.tenant.account_id)}&mode=live"
        pages = [*await loaded(chromium, node.url, KEY, ""), *await loaded(chromium, node.url, KEY, whose)]
    embedded.stop()
    return pages, times


async def filled(conn: asyncpg.Connection, size: Size) -> History:
    """Fill the database unless it is filled, and look into it."""
    if not await conn.fetchval("SELECT EXISTS (SELECT FROM accounts)"):
        await Writer(conn, Cipher([ENCRYPTION_KEY]), now=datetime.now(UTC), size=size).write()
    return await history_of(conn)


def over(pages: Sequence[Loaded], times: Sequence[Timed]) -> list[str]:
    """Return what is over its budget."""
    heavy = [f"{one.path} loads {one.transferred} bytes" for one in pages if one.transferred > PAGE_KB * 1000]
    late = [f"{one.path} takes {one.ms:.0f} ms" for one in pages if one.ms > PAGE_MS]
    slow = [f"{one.family}: {one.name} takes {one.worked_ms:.0f} ms" for one in times if one.worked_ms > LIST_MS]
    return heavy + late + slow


def report(pages: Sequence[Loaded], times: Sequence[Timed], size: Size) -> str:
    """Return the report as Markdown."""
    found = over(pages, times)
    what = (
        f"Measured on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC by `make budget`: {size.esims:,} eSIMs, {size.deliveries:,} "
        f"deliveries and {size.notifications:,} notifications over {DAYS} days, in {size.accounts:,} accounts; "
        f"{os.cpu_count()} cores with a load of {os.getloadavg()[0]:.0f}, Python {platform.python_version()}, embedded PostgreSQL."
    )
    return "\n".join(
        [
            "# What the dashboard costs on a large database",
            "",
            what,
            "",
            BUDGET,
            "",
            f"Over the budget: {'; '.join(found) if found else 'nothing'}.",
            "",
            *_of_pages(pages),
            "",
            *_of_families(times),
            "",
            f"The {SLOWEST} dearest of all {len(times):,} combinations:",
            "",
            *_dearest(times),
            "",
        ]
    )


def _of_pages(pages: Sequence[Loaded]) -> list[str]:
    rows = [f"| `{one.path}` | {one.transferred / 1000:.1f} | {one.ms:.0f} |" for one in pages]
    return [
        "| page, first of all accounts, then of the busiest | kB over the wire | ms until loaded |",
        "|---|--:|--:|",
        *rows,
    ]


def _of_families(times: Sequence[Timed]) -> list[str]:
    rows = []
    for family in dict.fromkeys(one.family for one in times):
        own = sorted((one for one in times if one.family == family), key=lambda one: one.worked_ms)
        middle, worst = own[len(own) // 2], own[-1]
        rows.append(
            f"| {family} | {len(own)} | {middle.worked_ms:.1f} | {worst.worked_ms:.1f} | {worst.ms:.0f} | {worst.name} |"
        )
    head = "| queries of | combinations | median ms | most ms | by the clock | the dearest |"
    return [head, "|---|--:|--:|--:|--:|---|", *rows]


def _dearest(times: Sequence[Timed]) -> list[str]:
    dearest = sorted(times, key=lambda one: -one.worked_ms)[:SLOWEST]
    rows = [f"| {one.family} | {one.name} | {one.worked_ms:.1f} | {one.ms:.0f} |" for one in dearest]
    return ["| page | filters | ms | by the clock |", "|---|---|--:|--:|", *rows]


def main() -> None:
    """Read the command line, measure, write the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.budget", description="Measures the dashboard.")
    parser.add_argument("--small", action="store_true", help="a hundredth of the size, for a look")
    parser.add_argument("--data", type=Path, help="a folder that keeps the filled database for the next time")
    parser.add_argument("--out", type=Path, default=Path("artifacts/dashboard-budget.md"), help="where the report goes")
    args = parser.parse_args()
    size = SMALL if args.small else FULL
    with tempfile.TemporaryDirectory(prefix="esimhooks-budget-") as folder:
        pages, times = asyncio.run(measured(args.data or Path(folder), size))
    text = report(pages, times, size)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(text)
    print(text)
    sys.exit(1 if over(pages, times) else 0)


if __name__ == "__main__":
    main()
