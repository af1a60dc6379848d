"""An account moves to another installation: it is frozen here, its rows go out as parts, and come in there all at once.

Parts come out of one and go into the other. Freezing is what makes it safe: what was acknowledged before is in the parts,
and nothing is acknowledged, changed or sent afterwards. A part that is missing undoes the whole import.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from datetime import datetime
from uuid import UUID

from msgspec import Struct

from esimhooks.server.domain.audit import Action, Actor, ActorKind
from esimhooks.server.domain.errors import Broken, Conflicting, NotNow, Refused
from esimhooks.server.domain.ids import Prefix, new_id, text_of
from esimhooks.server.domain.lists import found
from esimhooks.server.manage.accounts import require_merchant
from esimhooks.server.store import account_rows, accounts, freezing, lanes, migrate
from esimhooks.server.store.account_rows import Document
from esimhooks.server.store.audit import record_action
from esimhooks.server.store.database import Database, Session
from esimhooks.server.store.installation import clock
from esimhooks.server.store.partitions import ensure_partitions

CHECK_EVERY_S, MAX_TRIES = 0.5, 30
WHO_HAS_THE_DATABASE = Actor(kind=ActorKind.OPERATOR)


class Manifest(Struct, frozen=True, kw_only=True, tag="manifest"):
    """What is moved, and what the other installation must have: times aware UTC, providers by name with their kind."""

    account_id: UUID
    name: str
    frozen_at: datetime
    oldest: datetime | None
    providers: Mapping[str, str]
    migration: int


class Rows(Struct, frozen=True, tag="rows"):
    """Some rows of a table."""

    table: str
    rows: list[Document]


class End(Struct, frozen=True, tag="end"):
    """How many rows of each table there are in all."""

    counts: Mapping[str, int]


Part = Manifest | Rows | End


async def freeze_account(database: Database, account_id: UUID, *, waiting: Callable[[int], None]) -> bool:
    """Freeze the account and wait until nothing of it is in flight; return whether it was not frozen before.

    `waiting` is called with how many deliveries are in flight; their attempts end within their endpoints' time limit, and at the
    latest the leases of their lanes do. Where that is stopped, the account goes on. Raises `Refused` (404) and `NotNow`.
    """
    require_merchant(account_id)
    is_new = await _freeze(database, account_id)
    try:
        await _end_sending(database, account_id, waiting)
    except BaseException:
        if is_new:
            await unfreeze_account(database, account_id)
        raise
    return is_new


async def _end_sending(database: Database, account_id: UUID, waiting: Callable[[int], None]) -> None:
    async with database.transaction() as db:
        await freezing.close_lanes(db, account_id)
        await _record(db, Action.ACCOUNT_EXPORT, account_id)
    while True:
        async with database.session() as db:
            count = await freezing.in_flight(db, account_id)
        if not count:
            break
        waiting(count)
        await asyncio.sleep(CHECK_EVERY_S)
    async with database.transaction() as db:
        await freezing.end_leases(db, account_id)


async def _freeze(database: Database, account_id: UUID) -> bool:
    for tries in range(1, MAX_TRIES + 1):
        try:
            async with database.transaction() as db:
                found(await accounts.find(db, account_id), "account")
                return await freezing.freeze(db, account_id)
        except NotNow:
            if tries == MAX_TRIES:
                raise
        await asyncio.sleep(CHECK_EVERY_S)
    raise AssertionError("the loop returns or raises")


async def unfreeze_account(database: Database, account_id: UUID) -> None:
    """Let a frozen account go on here. Raises `Refused` (404, 409)."""
    async with database.transaction() as db:
        found(await accounts.find(db, account_id), "account")
        if not await freezing.unfreeze(db, account_id):
            raise Refused.conflict("the account is not frozen")
        await _record(db, Action.ACCOUNT_UNFREEZE, account_id)
        await lanes.notify(db, sender=new_id())


async def parts_of(database: Database, account_id: UUID) -> AsyncGenerator[Part, None]:
    """Yield all of a frozen account, from one snapshot. Raises `Undecryptable` where a row does not decrypt."""
    async with database.snapshot() as db:
        account = found(await accounts.find(db, account_id), "account")
        frozen_at = await freezing.frozen_at(db, account_id)
        if frozen_at is None:
            raise Refused.conflict("the account is no longer frozen")
        yield Manifest(
            account_id=account_id,
            name=account.name,
            frozen_at=frozen_at,
            oldest=await account_rows.oldest_day(db, account_id),
            providers=await account_rows.providers_of(db, account_id),
            migration=migrate.NEWEST,
        )
        counts: Counter[str] = Counter()
        for table in account_rows.TABLES:
            async for rows in account_rows.read(db, account_id, table):
                counts[table.name] += len(rows)
                yield Rows(table.name, rows)
        yield End(counts)


async def import_account(database: Database, parts: AsyncIterator[Part]) -> End:
    """Store all of an account, or nothing; return how many rows of each table there are.

    Raises `Broken` where this installation lacks what the account needs, has the account already, or a part is missing.
    """
    manifest = await anext(parts, None)
    if not isinstance(manifest, Manifest):
        raise Broken("the file is not an exported account")
    await _check(database, manifest)
    async with database.session() as db:
        now = await clock(db)
    missing = await ensure_partitions(database, now=now, since=manifest.oldest)
    if missing:
        raise NotNow(f"a long transaction uses the tables of the history: {missing[0]} could not be made")
    try:
        async with database.transaction() as db:
            end = await _store(db, parts)
            await account_rows.wake_unmatched(db, manifest.account_id, frozen_at=manifest.frozen_at)
            await _record(db, Action.ACCOUNT_IMPORT, manifest.account_id)
            await lanes.notify(db, sender=new_id())
    except Conflicting as error:
        raise Broken(f"another account has an eSIM or a key of this one already: {error.__cause__}") from error
    return end


async def _store(db: Session, parts: AsyncIterator[Part]) -> End:
    tables = {table.name: table for table in account_rows.TABLES}
    counts: Counter[str] = Counter()
    async for part in parts:
        if isinstance(part, Rows) and part.rows:
            await account_rows.write(db, tables[part.table], part.rows)
            counts[part.table] += len(part.rows)
        if isinstance(part, End):
            if dict(part.counts) != dict(counts):
                raise Broken("the file is incomplete: rows are missing")
            return part
    raise Broken("the file is incomplete")


async def _check(database: Database, manifest: Manifest) -> None:
    if manifest.migration != migrate.NEWEST:
        raise Broken(
            f"the file is of a database at migration {manifest.migration:04}, this one is at {migrate.NEWEST:04}: "
            "bring both installations to the same release first"
        )
    async with database.session() as db:
        if await accounts.find(db, manifest.account_id) is not None:
            raise Broken(f"{text_of(Prefix.ACCOUNT, manifest.account_id)} already exists here: nothing was imported")
        kinds = await account_rows.kinds_of_providers(db, list(manifest.providers))
    for name, kind in manifest.providers.items():
        if kinds.get(name) != kind:
            raise Broken(f"the account has eSIMs of the provider {name} ({kind}): configure it here first")


async def _record(db: Session, action: Action, account_id: UUID) -> None:
    await record_action(db, WHO_HAS_THE_DATABASE, action, account_id, owner=account_id)
