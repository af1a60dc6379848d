// The tables of the inbox and their versions, in SQLite and PostgreSQL the same but for the names of types, and the same
// as the Python package's: `esimhooks inbox` looks after both. An event is kept once, whatever its type; a run is one
// handler's work on one event. Times are Unix seconds.

import type { Session } from "./session.js";
import { InboxUnavailable } from "./errors.js";

const VERSION = 2;

/** The `due_at` of an ordered run that waits for an earlier one of its eSIM. */
export const BLOCKED_UNTIL = 9e15;

const VERSION_1 = [
  // hold_until: not before this time do handlers that want an eSIM's order see the event.
  `CREATE TABLE IF NOT EXISTS esimhooks_inbox (
    id text PRIMARY KEY,
    event text NOT NULL,
    esim text,
    sequence bigint,
    sent_at {seconds} NOT NULL,
    received_at {seconds} NOT NULL,
    hold_until {seconds} NOT NULL,
    body {bytes} NOT NULL
  )`,
  "CREATE INDEX IF NOT EXISTS esimhooks_inbox_esim ON esimhooks_inbox (esim, sequence) WHERE esim IS NOT NULL",
  "CREATE INDEX IF NOT EXISTS esimhooks_inbox_age ON esimhooks_inbox (received_at)",
  // due_at: when a waiting run may begin, or when the lease of a running one ends; null once it is done or dead.
  `CREATE TABLE IF NOT EXISTS esimhooks_runs (
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
  )`,
  "CREATE INDEX IF NOT EXISTS esimhooks_runs_due ON esimhooks_runs (due_at) WHERE due_at IS NOT NULL",
  "CREATE INDEX IF NOT EXISTS esimhooks_runs_lane ON esimhooks_runs (handler, lane, sequence) WHERE due_at IS NOT NULL",
  "CREATE INDEX IF NOT EXISTS esimhooks_runs_dead ON esimhooks_runs (ended_at) WHERE state = 'dead'",
];

// Runs are claimed handler by handler in the order of an index, so that a claim costs the same whatever waits.
const VERSION_2 = [
  "CREATE INDEX esimhooks_runs_claim ON esimhooks_runs (handler, due_at) WHERE due_at IS NOT NULL",
  `CREATE INDEX esimhooks_runs_lane_due ON esimhooks_runs (handler, lane, due_at)
    WHERE due_at IS NOT NULL AND lane IS NOT NULL`,
  "DROP INDEX esimhooks_runs_due",
  `UPDATE esimhooks_runs SET due_at = ${BLOCKED_UNTIL} WHERE lane IS NOT NULL AND state = 'waiting' AND EXISTS (
    SELECT 1 FROM esimhooks_runs other
    WHERE other.handler = esimhooks_runs.handler AND other.lane = esimhooks_runs.lane AND other.due_at IS NOT NULL
      AND (other.sequence < esimhooks_runs.sequence OR other.state = 'running'
        OR (other.sequence = esimhooks_runs.sequence AND other.event_id < esimhooks_runs.event_id)))`,
];

const UPGRADES = [VERSION_1, VERSION_2];

/** Make the tables, or bring those of an earlier release up to date. Throws `InboxUnavailable` for later ones. */
export async function upgradeSchema(session: Session, types: { seconds: string; bytes: string }): Promise<void> {
  await session.run("CREATE TABLE IF NOT EXISTS esimhooks_schema (version integer NOT NULL)");
  const [found] = await session.rows("SELECT version FROM esimhooks_schema");
  const version = Number(found?.["version"] ?? 0);
  checkVersion(version);
  for (const statement of UPGRADES.slice(version).flat()) {
    await session.run(statement.replaceAll("{seconds}", types.seconds).replaceAll("{bytes}", types.bytes));
  }
  if (version === VERSION) return;
  await session.run("DELETE FROM esimhooks_schema");
  await session.run("INSERT INTO esimhooks_schema (version) VALUES (:version)", { version: VERSION });
}

/** Whether the tables are those of this release. Throws `InboxUnavailable` where they are those of a later one. */
export function checkVersion(version: number): boolean {
  if (version > VERSION) {
    throw new InboxUnavailable(
      `the inbox was made by a later release of esimhooks (schema ${version}, this one knows ${VERSION}): update it`,
    );
  }
  return version === VERSION;
}
