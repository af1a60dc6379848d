"""Dispatchers as processes of their own that share the tests' database: started, killed, paused, and distinguished.

Leases are let end in the database, by its clock, so that nothing waits for them.
"""

from datetime import datetime
from pathlib import Path
from uuid import UUID

from msgspec import Struct

from api import eventually
from esimhooks.server.app.settings import Settings
from esimhooks.server.store.database import Database
from system.node_process import NodeProcess, settings_of


class DispatcherProcess(Struct, frozen=True):
    """A node that does nothing but dispatch, and the name under which it holds lanes."""

    node: NodeProcess
    holder: UUID


class Dispatchers:
    """Starts dispatchers on the database of `settings` and clears up behind them."""

    def __init__(self, settings: Settings, database: Database, folder: Path) -> None:
        self._settings = settings
        self._database = database
        self._folder = folder
        self._started: list[DispatcherProcess] = []

    async def start(self, **changes: str) -> DispatcherProcess:
        """Start one, with these settings changed; return once it has reported that it lives."""
        known = await self._living()
        output = self._folder / f"dispatcher-{len(self._started)}.log"
        node = NodeProcess(settings_of(self._settings, roles="dispatcher", **changes), output)
        await node.start()

        async def appeared() -> set[UUID]:
            return await self._living() - known

        try:
            [holder] = await eventually(appeared)
        except BaseException:
            node.clear_up()
            raise
        self._started.append(DispatcherProcess(node, holder))
        return self._started[-1]

    async def have_met(self) -> None:
        """Wait until each has reported once more, and so knows of all that were started before."""
        before = await self._seen_until()

        async def all_reported() -> bool:
            now = await self._seen_until()
            return all(now.get(holder, seen) > seen for holder, seen in before.items())

        await eventually(all_reported)

    async def leased_by(self, dispatcher: DispatcherProcess) -> set[UUID]:
        """Return the endpoints whose lanes it has leased."""
        async with self._database.session() as db:
            rows = await db.conn.fetch(
                "SELECT endpoint_id FROM lanes WHERE leased_by = $1 AND leased_until > now()", dispatcher.holder
            )
        return {row["endpoint_id"] for row in rows}

    async def claimed_by(self, dispatcher: DispatcherProcess) -> set[UUID]:
        """Return the deliveries that it has claimed and of which no outcome is written."""
        async with self._database.session() as db:
            rows = await db.conn.fetch(
                """
                SELECT q.delivery_id FROM queue q
                JOIN lanes l ON l.endpoint_id = q.endpoint_id AND l.lease_token = q.claim_token
                WHERE l.leased_by = $1
                """,
                dispatcher.holder,
            )
        return {row["delivery_id"] for row in rows}

    async def forget(self, dispatcher: DispatcherProcess) -> None:
        """Let the time pass until its leases have ended and the others no longer reckon with it."""
        async with self._database.transaction() as db:
            await db.conn.execute("UPDATE lanes SET leased_until = now() WHERE leased_by = $1", dispatcher.holder)
            await db.conn.execute("UPDATE dispatchers SET seen_until = now() WHERE holder = $1", dispatcher.holder)

    async def clear_up(self) -> None:
        """End all that still run."""
        for dispatcher in self._started:
            dispatcher.node.clear_up()
        async with self._database.session() as db:
            await db.conn.execute(
                "DELETE FROM dispatchers WHERE holder = ANY($1)", [one.holder for one in self._started]
            )

    async def _seen_until(self) -> dict[UUID, datetime]:
        async with self._database.session() as db:
            rows = await db.conn.fetch(
                "SELECT holder, seen_until FROM dispatchers WHERE holder = ANY($1)",
                [one.holder for one in self._started],
            )
        return {row["holder"]: row["seen_until"] for row in rows}

    async def _living(self) -> set[UUID]:
        async with self._database.session() as db:
            rows = await db.conn.fetch("SELECT holder FROM dispatchers")
        return {row["holder"] for row in rows}
