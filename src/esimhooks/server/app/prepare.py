"""Before a node works: its database runs and is up to date, keys are there, and what can be refused at the start is checked.

Settings come in, out goes what every process of the node works with. Nothing is served or delivered here.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import datetime

from msgspec import Struct

from esimhooks.server.app import keys
from esimhooks.server.app.settings import Role, Settings
from esimhooks.server.delivery.http.errors import GateRefused
from esimhooks.server.delivery.http.gate import Gate
from esimhooks.server.delivery.lease_manager import LeaseConfig
from esimhooks.server.domain.endpoint import EndpointConfig
from esimhooks.server.domain.errors import Broken
from esimhooks.server.manage import operator_endpoint
from esimhooks.server.observe import log
from esimhooks.server.runtime.loop import Loop
from esimhooks.server.store import lanes
from esimhooks.server.store import migrate as migrations
from esimhooks.server.store.database import Database, connect
from esimhooks.server.store.embedded import EmbeddedPostgres
from esimhooks.server.store.encryption import Cipher
from esimhooks.server.store.installation import check_canary, check_durability, clock, missing_rights
from esimhooks.server.store.partitions import ensure_partitions

REVIVE_EVERY_S = 2.0


async def migrate(settings: Settings) -> None:
    """Bring the database up to date."""
    async with AsyncExitStack() as stack:
        dsn, _ = await database_address(settings, stack)
        await migrations.migrate(dsn)


class Prepared(Struct, frozen=True, kw_only=True):
    """An installation whose database runs and is up to date; every process of a node works with the same one."""

    dsn: str
    admin_key: str
    admin_key_is_new: bool
    encryption_keys: Sequence[str]


async def prepare(settings: Settings, stack: AsyncExitStack) -> tuple[Prepared, list[Loop]]:
    """Start the database where it is embedded, check it and apply its settings; return also the loops that look after it.

    What must be closed is pushed on the stack. Raises `Broken` where the installation cannot start.
    """
    log.configure(log_format=settings.log_format, level=settings.log_level)
    log.get_logger("app").debug("settings", **settings.shown())
    dsn, embedded = await database_address(settings, stack)
    if embedded is not None:
        await migrations.migrate(dsn)
    else:
        await migrations.check_current(dsn)
    admin_key, is_new = keys.admin_key(settings)
    prepared = Prepared(
        dsn=dsn, admin_key=admin_key, admin_key_is_new=is_new, encryption_keys=keys.encryption_keys(settings)
    )
    async with AsyncExitStack() as own:
        cipher = Cipher(prepared.encryption_keys)
        database = await connect(dsn, cipher, connections=2, pooled=settings.database_pooled)
        own.push_async_callback(database.close)
        await _check(database, settings)
        async with database.session() as db:
            now = await clock(db)
        await _make_partitions(database, settings, now=now)
        await _apply_operator_settings(database, settings, Gate(settings.allow_networks), now=now)
        if embedded is not None:
            async with database.session() as db:
                # All who have used this database ended with it.
                await lanes.release_dead(db, seconds=LeaseConfig().lease_s)
    return prepared, [] if embedded is None else [_watch(embedded)]


def _watch(embedded: EmbeddedPostgres) -> Loop:
    """Start the embedded PostgreSQL again should it die while the node runs."""

    async def revive() -> float:
        if await asyncio.to_thread(embedded.revive):
            log.get_logger("app").warning("database.revived", pid=embedded.pid)
        return REVIVE_EVERY_S

    return Loop("embedded database", revive)


async def database_address(settings: Settings, stack: AsyncExitStack) -> tuple[str, EmbeddedPostgres | None]:
    """Return the address of the database, and the embedded one that was started where no other is set."""
    if settings.database_url is not None:
        return settings.database_url.get_secret_value(), None
    embedded = EmbeddedPostgres(settings.data_dir)
    dsn = await asyncio.to_thread(embedded.start)
    stack.push_async_callback(asyncio.to_thread, embedded.stop)
    return dsn, embedded


def endpoint_defaults(settings: Settings) -> EndpointConfig:
    """Return what an endpoint has where it does not say otherwise."""
    return EndpointConfig(
        url="",
        retry_schedule=settings.retry_schedule,
        timeout_s=settings.timeout_s,
        max_in_flight=settings.max_in_flight_lane,
    )


async def _apply_operator_settings(database: Database, settings: Settings, gate: Gate, *, now: datetime) -> None:
    url = settings.operational_url.get_secret_value() if settings.operational_url else None
    if url is not None:
        try:
            gate.check_url(url)
        except GateRefused as error:
            raise Broken(f"ESIMHOOKS_OPERATIONAL_URL: {error.detail}") from None
    secret = settings.operational_secret.get_secret_value() if settings.operational_secret else None
    await operator_endpoint.apply(database, url=url, secret=secret, defaults=endpoint_defaults(settings), now=now)


async def _check(database: Database, settings: Settings) -> None:
    async with database.transaction() as db:
        await check_durability(db, refuse=not settings.allow_unsafe_database)
        await check_canary(db)
        lacks = await missing_rights(db) if Role.SCHEDULER in settings.roles else []
    if lacks:
        raise Broken(f"the database login lacks permissions that the role scheduler needs: {'; '.join(lacks)}")


async def _make_partitions(database: Database, settings: Settings, *, now: datetime) -> None:
    if Role.SCHEDULER not in settings.roles:
        return
    missing = await ensure_partitions(database, now=now)
    if missing:  # the loop that makes them keeps trying; until then their rows are in the default partitions
        log.get_logger("app").warning("partitions.in_use", missing=missing)
