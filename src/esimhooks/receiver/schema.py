"""The tables of the inbox and their versions, the same in SQLite and PostgreSQL but for the names of types.

An event is kept once, whatever its type; a run is one handler's work on one event. Times are Unix seconds. A session
inside a writing transaction comes in; after it the tables are those of this release.
"""

from collections.abc import Mapping

from esimhooks.receiver.database import Session
from esimhooks.receiver.errors import InboxUnavailable

VERSION = 2
VERSION_TABLE = "esimhooks_schema"

BLOCKED_UNTIL = 9e15
"""The `due_at` of an ordered run that waits for an earlier one of its eSIM."""

_VERSION_1 = (
    # hold_until: not before this time do handlers that want an eSIM's order see the event.
    """
    CREATE TABLE IF NOT EXISTS esimhooks_inbox (
      id text PRIMARY KEY,
      event text NOT NULL,
      esim text,
      sequence bigint,
      sent_at {seconds} NOT NULL,
      received_at {seconds} NOT NULL,
      hold_until {seconds} NOT NULL,
      body {bytes} NOT NULL
    )
    """,
    "CREATE INDEX IF NOT EXISTS esimhooks_inbox_esim ON esimhooks_inbox (esim, sequence) WHERE esim IS NOT NULL",
    "CREATE INDEX IF NOT EXISTS esimhooks_inbox_age ON esimhooks_inbox (received_at)",
    # due_at: when a waiting run may begin, or when the lease of a running one ends; null once it is done or dead.
    """
    CREATE TABLE IF NOT EXISTS esimhooks_runs (
      event_id text NOT NULL REFERENCES esimhooks_inbox (id) ON DELETE CASCADE,
      handler text NOT NULL,
      state text NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'dead')),
      due_at {seconds} CHECK ((due_at IS NULL) = (state IN ('done', 'dead'))),
      lease text,
      lane text,
      sequence bigint,
      attempts integer NOT NULL DEFAULT 0,
      lost_leases integer NOT NULL DEFAULT 0,
      ended_at {seconds},
      error text,
      PRIMARY KEY (event_id, handler)
    )
    """,
    "CREATE INDEX IF NOT EXISTS esimhooks_runs_due ON esimhooks_runs (due_at) WHERE due_at IS NOT NULL",
    """
    CREATE INDEX IF NOT EXISTS esimhooks_runs_lane ON esimhooks_runs (handler, lane, sequence)
      WHERE due_at IS NOT NULL
    """,
    "CREATE INDEX IF NOT EXISTS esimhooks_runs_dead ON esimhooks_runs (ended_at) WHERE state = 'dead'",
)
# Runs are claimed handler by handler in the order of an index, so that a claim costs the same whatever waits.
_VERSION_2 = (
    "CREATE INDEX esimhooks_runs_claim ON esimhooks_runs (handler, due_at) WHERE due_at IS NOT NULL",
    """
    CREATE INDEX esimhooks_runs_lane_due ON esimhooks_runs (handler, lane, due_at)
      WHERE due_at IS NOT NULL AND lane IS NOT NULL
    """,
    "DROP INDEX esimhooks_runs_due",
    f"""
    UPDATE esimhooks_runs SET due_at = {BLOCKED_UNTIL} WHERE lane IS NOT NULL AND state = 'waiting' AND EXISTS (
      SELECT 1 FROM esimhooks_runs other
      WHERE other.handler = esimhooks_runs.handler AND other.lane = esimhooks_runs.lane AND other.due_at IS NOT NULL
        AND (other.sequence < esimhooks_runs.sequence OR other.state = 'running'
          OR (other.sequence = esimhooks_runs.sequence AND other.event_id < esimhooks_runs.event_id)))
    """,
)
_UPGRADES = {1: _VERSION_1, 2: _VERSION_2}


def upgrade(session: Session, types: Mapping[str, str]) -> None:
    """Make the tables, or bring those of an earlier release up to date. Raises `InboxUnavailable` for later ones.

    `types` are the names of `seconds` and `bytes`. An inbox of the first release has no version: it is 1.
    """
    session.run(f"CREATE TABLE IF NOT EXISTS {VERSION_TABLE} (version integer NOT NULL)")
    found = session.rows(f"SELECT version FROM {VERSION_TABLE}")
    version = found[0][0] if found else 0
    check(version)
    for number in range(version + 1, VERSION + 1):
        for statement in _UPGRADES[number]:
            session.run(statement.format(**types))
    if version != VERSION:
        session.run(f"DELETE FROM {VERSION_TABLE}")
        session.run(f"INSERT INTO {VERSION_TABLE} (version) VALUES (:version)", version=VERSION)


def check(version: int) -> None:
    """Raise `InboxUnavailable` where the tables are those of a later release."""
    if version > VERSION:
        raise InboxUnavailable(
            f"the inbox was made by a later release of esimhooks (schema {version}, this one knows {VERSION}): update it"
        )
