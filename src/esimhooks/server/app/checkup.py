"""`esimhooks doctor` on the installation that the settings describe: settings come in, findings go out.

It only looks: it makes no folder, key, table or row. An embedded database that does not run is started for the look
and stopped again; one that a server uses is queried beside it.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from math import ceil
from pathlib import Path

from esimhooks.server.app import keys, surroundings
from esimhooks.server.app.settings import Settings
from esimhooks.server.domain.account import OPERATOR
from esimhooks.server.domain.advice import Finding, fail, ok, warn
from esimhooks.server.domain.errors import Broken, NotNow
from esimhooks.server.domain.ids import Prefix, text_of
from esimhooks.server.domain.lists import partition
from esimhooks.server.store import endpoints, installation, providers
from esimhooks.server.store import migrate as migrations
from esimhooks.server.store.database import OLDEST_VERSION, Database, Session, connect
from esimhooks.server.store.embedded import EmbeddedPostgres
from esimhooks.server.store.encryption import Cipher, new_key
from esimhooks.server.store.partitions import DAYS_AHEAD, DAYS_BEHIND

WARN_SKEW_S, FAIL_SKEW_S = 1.0, 60.0
READERS = 4
"""How many reads of the whole history at once must get their locks."""
OLD_BACKUP = timedelta(days=7)
"""Receivers refuse what is 300 s old or new; what is due is counted by two clocks long before."""


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """Yield one finding after the other, the cheap ones first."""
    for finding in surroundings.local(settings):
        yield finding
    yield await surroundings.port(settings)
    for finding in _keys(settings):
        yield finding
    if settings.egress_proxy is not None:
        yield await surroundings.proxy(settings.egress_proxy.get_secret_value())
    async for finding in _database(settings):
        yield finding


def _keys(settings: Settings) -> list[Finding]:
    own, folder = settings.database_url is not None, settings.data_dir
    found = []
    if settings.encryption_key:
        found.append(ok("encryption key", f"{len(settings.encryption_key)} set, the first encrypts"))
    elif own:
        fix = "set it to what `openssl rand -base64 32` prints, the same on all nodes"
        found.append(fail("encryption key", "ESIMHOOKS_ENCRYPTION_KEY is not set", fix))
    else:
        found.append(_key_file("encryption key", folder / "encryption.key", needed=(folder / "postgres").exists()))
    if settings.admin_key is not None:
        found.append(ok("operator's key", "set in ESIMHOOKS_ADMIN_KEY"))
    else:
        found.append(_key_file("operator's key", folder / "admin.key", needed=False))
    return found


def _key_file(check: str, path: Path, *, needed: bool) -> Finding:
    try:
        mode = path.stat().st_mode & 0o777
    except FileNotFoundError:
        if needed:
            fix = "put the file back from a backup: without it nothing that was encrypted can be read again"
            return fail(check, f"{path} is missing", fix)
        return ok(check, f"{path} will be created at the first start")
    except OSError as error:
        return fail(check, f"{path} cannot be read: {error.strerror}", "run as the user who runs the server")
    if mode & 0o077:
        return warn(check, f"{path} has mode {mode:o}: other users may read it", f"chmod 600 {path}")
    return ok(check, f"{path}, mode {mode:o}")


async def _database(settings: Settings) -> AsyncIterator[Finding]:
    if settings.database_url is not None:
        async for finding in _check_contents(settings.database_url.get_secret_value(), settings):
            yield finding
        return
    if not (settings.data_dir / "postgres").exists():
        yield ok("database", f"none yet: `esimhooks serve` makes one in {settings.data_dir}")
        return
    embedded = EmbeddedPostgres(settings.data_dir)
    started = embedded.pid is None
    try:
        address = await asyncio.to_thread(embedded.start) if started else embedded.address
    except Broken as error:
        yield fail("database", str(error), "read the log in postgres/log of the data folder")
        return
    try:
        async for finding in _check_contents(address, settings):
            yield finding
    finally:
        if started:
            await asyncio.to_thread(embedded.stop)


async def _check_contents(dsn: str, settings: Settings) -> AsyncIterator[Finding]:
    try:
        found, needed = await migrations.state(dsn)
    except (NotNow, Broken) as error:
        fix = "is it running, and are address, user and password in ESIMHOOKS_DATABASE_URL right?"
        yield fail("database", str(error), fix)
        return
    if found != needed:
        seen = f"the database is at {found or 'none'}, this program needs {needed}"
        yield (
            warn("migrations", seen, "`esimhooks serve` migrates an embedded database automatically")
            if settings.database_url is None
            else fail("migrations", seen, "run `esimhooks migrate`")
        )
    else:
        yield ok("migrations", f"up to date ({found})")
    encryption_keys, usable = _encryption_keys(settings)
    database = await connect(dsn, Cipher(encryption_keys), connections=1, pooled=settings.database_pooled)
    try:
        async for finding in _database_findings(database, settings, complete=found == needed and usable):
            yield finding
    except NotNow as error:
        yield fail("database", str(error), "it answered a moment ago: read its log")
    finally:
        await database.close()


def _encryption_keys(settings: Settings) -> tuple[list[str], bool]:
    """Return the keys and whether they are the real ones: a key must not be made by looking."""
    if settings.encryption_key or (settings.database_url is None and (settings.data_dir / "encryption.key").exists()):
        return keys.encryption_keys(settings), True
    return [new_key()], False


async def _database_findings(database: Database, settings: Settings, *, complete: bool) -> AsyncIterator[Finding]:
    async with database.session() as db:
        yield await _version(db)
        yield await _durability(db, allowed=settings.allow_unsafe_database)
        yield await _clock(db)
        yield await _connections(db)
        yield await _encoding(db)
        if not complete:
            return
        yield await _backup(db, embedded=settings.database_url is None)
        yield await _rights(db)
        yield await _locks(db, retention_days=settings.retention_days)
        try:
            opened = await installation.check_canary_only(db)
        except Broken:
            fix = "set ESIMHOOKS_ENCRYPTION_KEY to the key it was encrypted with; list old keys after the new one"
            yield fail("canary", "the encryption key is not the one that this database was encrypted with", fix)
            return
        yield ok("canary", "the encryption key decrypts it" if opened else "none yet: created at the first start")
        yield await _operational(db, settings)
        stored = await providers.list_all(db)
    readable, unreadable = partition(stored)
    for one in unreadable:
        fix = "list the key it was encrypted with in ESIMHOOKS_ENCRYPTION_KEY, or store the provider again"
        yield fail(f"provider {one.name}", "its credentials cannot be decrypted", fix)
    async for finding in surroundings.check_providers(readable, public_url=settings.public_url):
        yield finding


async def _backup(db: Session, *, embedded: bool) -> Finding:
    """Of a database of one's own other programs may make backups too, so that an old one is no fault."""
    age, ever = await installation.without_backup_since(db)
    seen = (
        f"the last one with `esimhooks backup` is {age.days} days old" if ever else "none with `esimhooks backup` yet"
    )
    if embedded and age > OLD_BACKUP:
        return warn("backup", seen, "run `esimhooks backup FILE`, every day, and keep the encryption key apart from it")
    return ok("backup", seen)


async def _operational(db: Session, settings: Settings) -> Finding:
    check = "operational events"
    if settings.operational_url is None:
        return ok(check, "reported in log and metrics; ESIMHOOKS_OPERATIONAL_URL is not set")
    endpoint = await endpoints.find(db, OPERATOR, OPERATOR.account_id)
    if endpoint is None:
        return ok(check, "their endpoint will be created at the next start")
    which, account = text_of(Prefix.ENDPOINT, endpoint.id), text_of(Prefix.ACCOUNT, OPERATOR.account_id)
    if not endpoint.enabled:
        seen = f"{which} is disabled ({endpoint.disabled_reason})"
        return warn(
            check, seen, f"fix its receiver, then `esimhooks endpoints enable {which} --account {account} --mode live`"
        )
    shown = f"`esimhooks endpoints secret {which} --account {account} --mode live` shows its secret"
    return ok(check, f"go to {which}; {shown}")


async def _version(db: Session) -> Finding:
    major, name = await installation.version(db)
    if major < OLDEST_VERSION:
        return fail("database", f"PostgreSQL {name} answers", f"upgrade to PostgreSQL {OLDEST_VERSION} or newer")
    return ok("database", f"PostgreSQL {name} answers")


async def _durability(db: Session, *, allowed: bool) -> Finding:
    values = await installation.durability(db)
    seen = ", ".join(f"{name} = {value}" for name, value in values.items())
    off = [name for name, value in values.items() if value == "off"]
    if not off:
        return ok("durability", seen)
    fix = f"turn on {', '.join(off)}: what was acknowledged could be lost in a power failure"
    return warn("durability", seen, fix) if allowed or off == ["full_page_writes"] else fail("durability", seen, fix)


async def _clock(db: Session) -> Finding:
    sent_at, began = datetime.now(UTC), time.monotonic()
    database_time = await installation.clock(db)
    half_way_s = (time.monotonic() - began) / 2
    skew_s = (database_time - sent_at).total_seconds() - half_way_s
    seen = f"{abs(skew_s):.3f} s {'behind' if skew_s > 0 else 'ahead of'} the database's"
    fix = "synchronise both clocks (chrony or systemd-timesyncd)"
    if abs(skew_s) >= FAIL_SKEW_S:
        return fail("clock", seen, fix)
    return warn("clock", seen, fix) if abs(skew_s) >= WARN_SKEW_S else ok("clock", seen)


async def _encoding(db: Session) -> Finding:
    encoding = await installation.encoding(db)
    if encoding != "UTF8":
        return fail(
            "encoding",
            f"{encoding}, which cannot store all characters",
            "create a database with ENCODING 'UTF8' and restore into it",
        )
    return ok("encoding", encoding)


async def _rights(db: Session) -> Finding:
    if lacks := await installation.missing_rights(db):
        return fail("rights", "the login cannot create and drop history partitions", "; ".join(lacks))
    return ok("rights", "the login may create and drop history partitions")


async def _locks(db: Session, *, retention_days: int) -> Finding:
    has, of_one = await installation.locks(db, days=retention_days + DAYS_AHEAD + DAYS_BEHIND + 1)
    seen = f"{has} locks; one read of {retention_days} days takes up to {of_one}"
    if of_one * READERS > has:
        maximum = ceil(of_one * READERS / has)
        fix = f"multiply max_locks_per_transaction by {maximum} and restart PostgreSQL, or keep fewer days"
        return warn("locks", seen, fix)
    return ok("locks", seen)


async def _connections(db: Session) -> Finding:
    used, maximum = await installation.connections(db)
    seen = f"{used} of {maximum} in use"
    if maximum - used < 20:
        return warn(
            "connections",
            seen,
            "a process takes about 15: raise max_connections, lower database_connections or use fewer nodes",
        )
    return ok("connections", seen)
