"""The tables of the inbox, the same in SQLite and PostgreSQL but for the names of types.

An event is kept once, whatever its type; a run is one handler's work on one event. Times are Unix seconds.
"""

TABLES = ("esimhooks_inbox", "esimhooks_runs")

STATEMENTS = (
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
