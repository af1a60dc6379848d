// What a person or a program wants to know of an inbox: how much waits, what has died, again please.

import { databaseOf } from "./database.js";
import type { AnyEvent } from "./handlers.js";
import { advance, lockLane } from "./ordering.js";
import { storedEvent } from "./runs.js";
import { BLOCKED_UNTIL } from "./schema.js";
import type { Database, Row } from "./session.js";

const KEPT_DAYS = 30;
const PRUNED_AT_ONCE = 500;
const DAY_SECONDS = 86_400;
const CHOSEN = `state = 'dead' AND (CAST(:eventId AS text) IS NULL OR event_id = :eventId)
  AND (CAST(:handler AS text) IS NULL OR handler = :handler)`;

/** How many events there are, and how many runs (a handler's work on an event) are in which state. */
export interface InboxStats {
  readonly events: number;
  readonly waiting: number;
  readonly running: number;
  readonly done: number;
  readonly dead: number;
  /** The age of the oldest event with work left; null where nothing waits. */
  readonly oldestWaitingSeconds: number | null;
}

/** A run whose attempts are used up. */
export interface DeadLetter {
  readonly event: AnyEvent;
  readonly handler: string;
  readonly attempts: number;
  readonly error: string;
  readonly receivedAt: Date;
  readonly diedAt: Date;
}

/** Which dead letters: all, or those of an event or a handler. */
export interface Chosen {
  readonly eventId?: string;
  readonly handler?: string;
}

/** An inbox seen from outside; it needs no handlers. Everything rejects with `InboxUnavailable`. */
export class Inbox {
  readonly #database: Database;
  readonly #now: () => number;

  /** `now` returns Unix seconds. */
  constructor(database: Database, now: () => number) {
    this.#database = database;
    this.#now = now;
  }

  async stats(): Promise<InboxStats> {
    const [[all], states, [oldest]] = await this.#database.reading(async (session) => [
      await session.rows("SELECT count(*) AS count FROM esimhooks_inbox"),
      await session.rows("SELECT state, count(*) AS count FROM esimhooks_runs GROUP BY state"),
      await session.rows(
        `SELECT min(e.received_at) AS at FROM esimhooks_runs r JOIN esimhooks_inbox e ON e.id = r.event_id
          WHERE r.due_at IS NOT NULL`,
      ),
    ] as const);
    const count = (state: string): number => Number(states.find((one) => one["state"] === state)?.["count"] ?? 0);
    return {
      events: Number(all?.["count"]),
      waiting: count("waiting"),
      running: count("running"),
      done: count("done"),
      dead: count("dead"),
      oldestWaitingSeconds: oldest?.["at"] == null ? null : Math.max(0, this.#now() - Number(oldest["at"])),
    };
  }

  /** Return the dead letters, those that died last first. */
  async deadLetters(limit = 100): Promise<DeadLetter[]> {
    const rows = await this.#database.reading((session) =>
      session.rows(
        `SELECT e.id AS event_id, e.sent_at, e.body, r.handler, r.attempts, r.error, e.received_at, r.ended_at
          FROM esimhooks_runs r JOIN esimhooks_inbox e ON e.id = r.event_id WHERE r.state = 'dead'
          ORDER BY r.ended_at DESC, e.id LIMIT :limit`,
        { limit },
      ),
    );
    return rows.map((row) => ({
      event: storedEvent(row).event,
      handler: String(row["handler"]),
      attempts: Number(row["attempts"]),
      error: String(row["error"] ?? ""),
      receivedAt: new Date(Number(row["received_at"]) * 1000),
      diedAt: new Date(Number(row["ended_at"]) * 1000),
    }));
  }

  /** Return the handlers with work left that are not among those known: renamed or removed ones. */
  async unclaimedHandlers(known: readonly string[]): Promise<string[]> {
    const rows = await this.#database.reading((session) =>
      session.rows("SELECT DISTINCT handler FROM esimhooks_runs WHERE due_at IS NOT NULL ORDER BY handler"),
    );
    return rows.map((row) => String(row["handler"])).filter((name) => !known.includes(name));
  }

  /** Give dead letters all their attempts again; return how many. */
  async retry(chosen: Chosen = {}): Promise<number> {
    const values = { eventId: chosen.eventId ?? null, handler: chosen.handler ?? null };
    return this.#database.writing(async (session) => {
      const lanes: Row[] = await session.rows(
        `SELECT DISTINCT lane, handler FROM esimhooks_runs WHERE ${CHOSEN} AND lane IS NOT NULL ORDER BY lane, handler`,
        values,
      );
      for (const { lane } of lanes) await lockLane(session, String(lane));
      const count = await session.run(
        `UPDATE esimhooks_runs SET state = 'waiting', attempts = 0, lost_leases = 0, ended_at = NULL,
          due_at = CASE WHEN lane IS NULL THEN CAST(:now AS double precision) ELSE ${BLOCKED_UNTIL} END WHERE ${CHOSEN}`,
        { ...values, now: this.#now() },
      );
      for (const { lane, handler } of lanes) await advance(session, String(handler), String(lane), this.#now());
      return count;
    });
  }

  /** Take dead letters for done; return how many. */
  async discard(chosen: Chosen = {}): Promise<number> {
    const values = { eventId: chosen.eventId ?? null, handler: chosen.handler ?? null };
    return this.#database.writing((session) =>
      session.run(`UPDATE esimhooks_runs SET state = 'done' WHERE ${CHOSEN}`, values),
    );
  }

  /** Forget events with nothing left to do that came before that time; return how many. Dead letters stay. */
  async prune(olderThanDays = KEPT_DAYS): Promise<number> {
    for (let forgotten = 0; ; ) {
      // Little by little: receiving goes on meanwhile.
      const pruned = await this.#database.writing((session) =>
        session.run(
          `DELETE FROM esimhooks_inbox WHERE id IN (SELECT e.id FROM esimhooks_inbox e WHERE e.received_at < :before
            AND NOT EXISTS (SELECT 1 FROM esimhooks_runs r WHERE r.event_id = e.id AND r.state <> 'done')
            ORDER BY e.received_at LIMIT :limit)`,
          { before: this.#now() - olderThanDays * DAY_SECONDS, limit: PRUNED_AT_ONCE },
        ),
      );
      forgotten += pruned;
      if (pruned < PRUNED_AT_ONCE) return forgotten;
    }
  }

  /** Close its connections; they are opened again when needed. */
  async close(): Promise<void> {
    await this.#database.close();
  }
}

/** Return the inbox of a URL, as given to `Receiver`. It is opened at the first use, and made where it is missing. */
export function openInbox(url: string): Inbox {
  return new Inbox(databaseOf(url), () => Date.now() / 1000);
}
