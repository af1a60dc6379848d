"""Two nodes behind PgBouncer in transaction mode: `python -m reliability.pooler` (needs pgbouncer, as Debian has it).

Updates go in at both nodes, four sessions of PostgreSQL serve them all, and a recovery sends everything again. In comes how
many, out goes what arrived; the exit code is 1 where something is missing or was made twice.
"""

import argparse
import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from esimhooks.server.app.node import running
from esimhooks.server.app.prepare import migrate
from esimhooks.server.app.settings import Settings
from esimhooks.server.store.embedded import EmbeddedPostgres
from esimhooks.server.store.encryption import new_key

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from api import Api, a_merchant
from receiver import Receiver
from reliability.processes import free_port

SESSIONS = 4
AT_ONCE = 20
PATIENCE_S = 120.0
START_S = 10.0
CONFIG = """
[databases]
* = host={host} port=5432 user=esimhooks
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {sessions}
max_client_conn = 1000
logfile = {folder}/pgbouncer.log
pidfile = {folder}/pgbouncer.pid
"""


@contextmanager
def pooler(folder: Path, host: str, *, sessions: int = SESSIONS) -> Iterator[str]:
    """Run PgBouncer before the server whose socket is in the folder `host`; lend its address once it listens."""
    program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
    if program is None:
        raise SystemExit("pgbouncer is needed: apt-get install pgbouncer")
    config, port = folder / "pgbouncer.ini", free_port()
    config.write_text(CONFIG.format(host=host, port=port, sessions=sessions, folder=folder), encoding="utf-8")
    config.chmod(0o644)
    owner = Path(host).owner()  # who may use the socket
    process = subprocess.Popen([program, "-q", *(["-u", owner] if os.geteuid() == 0 else []), str(config)])
    try:
        _wait_for(port)
        yield f"postgresql://esimhooks@127.0.0.1:{port}/esimhooks?connect_timeout=10"
    finally:
        process.terminate()
        process.wait()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        with socket.socket() as knocking:
            if knocking.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit("pgbouncer does not listen")


def socket_folder(dsn: str) -> str:
    """Return the folder of the socket in the address of the embedded server."""
    return dsn.partition("host=")[2].partition("&")[0].replace("%2F", "/")


async def measured(settings: Settings, number: int) -> bool:
    """Hand in so many updates at two nodes and send all again; return whether all arrived, each twice."""
    async with (
        Receiver() as receiver,
        running(settings) as one,
        running(settings) as other,
        Api(one.url, one.admin_key) as first,
        Api(other.url, other.admin_key) as second,
    ):
        merchant = await a_merchant(first, webhook_url=receiver.url())
        slots = asyncio.Semaphore(AT_ONCE)

        async def hand_in(place: int) -> None:
            update = {"transactionId": f"t{place}", "iccid": f"8943{place:015d}", "esimStatus": "CREATED"}
            body = {"account": merchant.account, "mode": "test", "updates": [update]}
            async with slots:
                await (first if place % 2 else second).post("/v1/updates", body, status=200)

        await asyncio.gather(*map(hand_in, range(number)))
        await receiver.wait_for(number, PATIENCE_S)
        arrived = {one.headers["webhook-id"] for one in receiver.received}
        print(f"{number} handed in, {len(receiver.received)} arrived, {len(arrived)} of them different")
        path = f"/v1/endpoints/{merchant.endpoint}/recover?account={merchant.account}&mode=test"
        await first.post(path, {"from": "2020-01-01T00:00:00Z", "statuses": ["delivered"]}, status=202)
        await receiver.wait_for(2 * number, PATIENCE_S)
        print(f"{len(receiver.received)} after a recovery")
        return len(arrived) == number and len(receiver.received) == 2 * number


async def main(number: int) -> int:
    """Return the exit code."""
    with tempfile.TemporaryDirectory(prefix="esimhooks-pooler-") as name:
        folder = Path(name)
        folder.chmod(0o777)  # noqa: ASYNC240 - neither PostgreSQL nor PgBouncer runs as root
        embedded = EmbeddedPostgres(folder / "data")
        host = socket_folder(embedded.start())
        try:
            with pooler(folder, host) as address:
                settings = Settings.read(
                    database_url=address,
                    database_pooled=True,
                    data_dir=folder / "node",
                    port=0,
                    admin_key="k" * 40,
                    encryption_key=new_key(),
                    allow_networks="127.0.0.0/8",
                    log_level="warning",
                )
                await migrate(settings)
                return 0 if await measured(settings, number) else 1
        finally:
            embedded.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=500)
    sys.exit(asyncio.run(main(parser.parse_args().updates)))
