"""Facts about the installation as a whole: the canaries that reveal a wrong encryption key at start.

Each key that encrypts rows has a canary of its own, `canary.<id of the key>`. A key may go once everything is encrypted again
with a newer one: then its canary goes too. What `esimhooks doctor` and the operators' system page ask of the database itself stands here as
well; it only reads.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from msgspec import Struct

from esimhooks.server.domain.errors import Broken, NotNow
from esimhooks.server.observe.log import get_logger
from esimhooks.server.store.database import OLDEST_VERSION, Session
from esimhooks.server.store.partitions import TABLES

log = get_logger("store")

BACKUP = "last_backup"
CANARY = b"esimhooks"
ROW = "installation.canary"
MAX_TABLES = 8
"""How many tables are named with their size."""
CANARIES = "name = 'canary' OR name LIKE 'canary.%'"


class NodeConnections(Struct, frozen=True, kw_only=True):
    """A node as the database sees it: its connections, the oldest of them since `since` (aware UTC), its live dispatchers."""

    version: str
    host: str
    connections: int
    since: datetime
    dispatchers: int


async def check_canary(db: Session) -> None:
    """Leave a canary of the newest key; raise `Broken` where the present keys do not decrypt all that are there.

    Needs a transaction. A key that decrypts nothing leaves no canary.
    """
    await db.conn.execute("LOCK TABLE installation IN SHARE ROW EXCLUSIVE MODE")
    await check_canary_only(db)
    await db.conn.execute(
        "INSERT INTO installation (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING",
        _name(db),
        db.cipher.encrypt(CANARY, row=ROW),
    )


async def check_canary_only(db: Session) -> bool:
    """Return whether there is a canary yet. Raises `Broken` where the present keys do not decrypt all that are there."""
    rows = await db.conn.fetch(f"SELECT name, value FROM installation WHERE {CANARIES} ORDER BY name")
    shut = [row["name"] for row in rows if not _decrypts(db, row["value"])]
    if shut and len(shut) == len(rows):
        raise Broken(
            "ESIMHOOKS_ENCRYPTION_KEY does not hold the key that this database was encrypted with: nothing could be read"
        )
    if shut:
        raise Broken(
            "ESIMHOOKS_ENCRYPTION_KEY does not hold the key that this database was encrypted with before: keep it as the "
            "last one until `esimhooks rotate-encryption` is done"
        )
    return bool(rows)


async def retire_older_canaries(db: Session) -> int:
    """Delete the canaries of all keys but the newest, once nothing is encrypted with them; return how many went."""
    gone = await db.conn.fetch(
        f"DELETE FROM installation WHERE ({CANARIES}) AND name <> $1 RETURNING name",
        _name(db),
    )
    return len(gone)


def _name(db: Session) -> str:
    return f"canary.{db.cipher.key_id.hex()}"


def _decrypts(db: Session, value: bytes) -> bool:
    try:
        db.cipher.decrypt(value, row=ROW)
    except Broken:
        return False
    return True


async def record_backup(db: Session) -> None:
    """Remember that a backup was made now, by the database's clock."""
    await db.conn.execute(
        """
        INSERT INTO installation (name, value) VALUES ($1, convert_to(extract(epoch FROM now())::text, 'UTF8'))
        ON CONFLICT (name) DO UPDATE SET value = excluded.value
        """,
        BACKUP,
    )


async def without_backup_since(db: Session) -> tuple[timedelta, bool]:
    """Return for how long there was no backup, and whether there ever was one; counted from the first account on."""
    row = await db.conn.fetchrow(
        """
        SELECT clock_timestamp() - coalesce(to_timestamp(b.at), a.first_at, clock_timestamp()) AS age, b.at IS NOT NULL AS ever
        FROM (SELECT min(created_at) AS first_at FROM accounts) a
        LEFT JOIN (SELECT convert_from(value, 'UTF8')::double precision AS at FROM installation WHERE name = $1) b ON true
        """,
        BACKUP,
    )
    return row["age"], row["ever"]


DURABILITY = ("fsync", "synchronous_commit", "full_page_writes")


async def version(db: Session) -> tuple[int, str]:
    """Return the server's major version and how it calls its version."""
    return db.conn.get_server_version().major, await db.conn.fetchval("SELECT current_setting('server_version')")


async def durability(db: Session) -> dict[str, str]:
    """Return the settings that decide whether what was committed survives a power cut."""
    rows = await db.conn.fetch(
        "SELECT name, current_setting(name) AS value FROM unnest($1::text[]) AS name", list(DURABILITY)
    )
    return {row["name"]: row["value"] for row in rows}


async def check_durability(db: Session, *, refuse: bool = True) -> None:
    """Refuse a database that may lose committed data, or log a warning. Raises `Broken`."""
    major, _ = await version(db)
    if major < OLDEST_VERSION:
        raise Broken(f"PostgreSQL {OLDEST_VERSION} or newer is needed")
    if (name := await encoding(db)) != "UTF8":
        raise Broken(
            f"the database's encoding is {name}, which cannot store all characters: create one with ENCODING 'UTF8'"
        )
    for setting, value in (await durability(db)).items():
        if value == "off" and setting != "full_page_writes":  # some file systems do what that is for
            if refuse:
                raise Broken(f"PostgreSQL runs with {setting} = off: what is acknowledged could be lost. Turn it on.")
            log.warning("database.not_durable", setting=setting, promise="what is acknowledged may be lost")


async def clock(db: Session) -> datetime:
    """Return the present time by the database's clock, aware UTC."""
    now: datetime = await db.conn.fetchval("SELECT clock_timestamp()")
    return now


async def connections(db: Session) -> tuple[int, int]:
    """Return how many connections the server has and how many it takes."""
    row = await db.conn.fetchrow(
        """
        SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS used,
               current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int AS most
        """
    )
    return row["used"], row["most"]


async def nodes(db: Session) -> Sequence[NodeConnections]:
    """Return which nodes are connected to the database, by version and host."""
    rows = await db.conn.fetch(
        """
        SELECT split_part(application_name, ' ', 2) AS version, split_part(application_name, ' ', 3) AS host,
               count(*) AS connections, min(backend_start) AS since,
               count(*) FILTER (WHERE EXISTS (
                   SELECT FROM dispatchers d WHERE d.backend_pid = a.pid AND d.seen_until > now())) AS dispatchers
        FROM pg_stat_activity a
        WHERE datname = current_database() AND application_name LIKE 'esimhooks %'
        GROUP BY 1, 2 ORDER BY 2, 1
        """
    )
    return [NodeConnections(**row) for row in rows]


async def dispatchers(db: Session) -> int:
    """Return how many dispatchers report that they live."""
    number: int = await db.conn.fetchval("SELECT count(*) FROM dispatchers WHERE seen_until > now()")
    return number


async def sizes(db: Session) -> tuple[int, Sequence[tuple[str, int]]]:
    """Return the bytes of the database, and of its largest tables with their indexes and partitions."""
    rows = await db.conn.fetch(
        """
        SELECT coalesce(parent.relname, c.relname) AS name, sum(pg_total_relation_size(c.oid))::bigint AS bytes
        FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid LEFT JOIN pg_class parent ON parent.oid = i.inhparent
        WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace
        GROUP BY 1 ORDER BY 2 DESC LIMIT $1
        """,
        MAX_TABLES,
    )
    total: int = await db.conn.fetchval("SELECT pg_database_size(current_database())")
    return total, [(row["name"], row["bytes"]) for row in rows]


async def check_takes_writes(db: Session) -> None:
    """Have the transaction write something at its commit, which a standby without a primary, or its lack, keeps waiting.

    Raises `NotNow` where the server is read-only.
    """
    row = await db.conn.fetchrow(
        "SELECT current_setting('transaction_read_only') AS read_only, pg_is_in_recovery() AS is_standby"
    )
    if row["is_standby"] or row["read_only"] == "on":
        raise NotNow("the database is read-only or not a primary")
    await db.conn.fetchval("SELECT pg_current_xact_id()::text")


async def encoding(db: Session) -> str:
    """Return the database's encoding."""
    name: str = await db.conn.fetchval("SELECT current_setting('server_encoding')")
    return name


async def missing_rights(db: Session) -> list[str]:
    """Return what the login lacks to make the days of the history and to drop them."""
    row = await db.conn.fetchrow(
        """
        SELECT has_schema_privilege(current_schema(), 'CREATE') AS may_create,
               (SELECT array_agg(relname::text ORDER BY relname) FROM pg_class
                WHERE oid = ANY ($1::text[]::regclass[]) AND NOT pg_has_role(relowner, 'USAGE')) AS foreign_tables,
               current_schema() AS schema, current_user AS login
        """,
        TABLES,
    )
    lacks = [] if row["may_create"] else [f"GRANT CREATE ON SCHEMA {row['schema']} TO {row['login']}"]
    return lacks + [f"ALTER TABLE {table} OWNER TO {row['login']}" for table in row["foreign_tables"] or []]


async def locks(db: Session, *, days: int) -> tuple[int, int]:
    """Return how many locks the server has, and how many one read of `days` of history takes at most."""
    row = await db.conn.fetchrow(
        """
        SELECT current_setting('max_locks_per_transaction')::int
               * (current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int) AS has,
               (SELECT max(relations) FROM (SELECT 1 + count(*) AS relations FROM pg_index
                                            WHERE indrelid = ANY ($1::text[]::regclass[]) GROUP BY indrelid) a) AS of_a_day
        """,
        TABLES,
    )
    return row["has"], row["of_a_day"] * days
