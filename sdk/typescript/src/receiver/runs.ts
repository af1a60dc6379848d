// The life of a run, one handler's work on one event: stored, claimed, done, failed, dead.
//
// Verified events come in, claimed runs go out. A claim is a lease: when its holder dies, the run is due again. Every
// method is one transaction; `InboxUnavailable` means that nothing has changed, or that the change could not be confirmed.

import { randomBytes } from "node:crypto";
import { pid } from "node:process";

import { eventOf } from "../event.js";
import type { Database, Row, Session } from "./session.js";
import { InboxUnavailable, textOfThrown } from "./errors.js";
import { type AnyEvent, ended, type Ending, type Handler } from "./handlers.js";
import { advance, holdUntil, lockLane } from "./ordering.js";
import { MAX_JITTER, pauseSeconds, type Retrying } from "./retrying.js";
import { BLOCKED_UNTIL } from "./schema.js";

const MAX_ID_CHARACTERS = 255;

/** A run whose process has died this often is taken for the cause and becomes a dead letter. */
const MAX_LOST_LEASES = 20;

/** By how much clocks of processes may differ; what lies further ahead than anything is put off was a clock's error. */
const MAX_CLOCK_ERROR_SECONDS = 60;

/** Senders give a receiver five seconds: a transactional handler that begins last has its own time after this. */
const EFFECTS_BEGIN_WITHIN_MS = 2000;

/** An eSIM, and the place of an event in the order of its events. */
interface Lane {
  readonly esim: string;
  readonly sequence: number;
}

/** An event and the body that it was read from. */
export interface Received {
  readonly event: AnyEvent;
  readonly body: Uint8Array;
}

/** A run that this process may work on until its lease ends. `attempts` counts those that ended before. */
export interface Claim {
  readonly event: AnyEvent;
  readonly handler: string;
  readonly attempts: number;
  /** The eSIM whose events the handler sees in order. */
  readonly lane: string | null;
}

/** What came of a claim, and when. */
export interface Outcome {
  readonly claim: Claim;
  readonly ending: Ending;
  readonly endedAt: number;
}

/** How the transactional handlers of one request are called. */
interface Effects {
  /** Milliseconds since 1970: those not called by then are left for the background. */
  readonly deadline: number;
  /** Endings that cost an earlier transaction of this request: these handlers are not called again. */
  readonly costly: Map<string, Ending>;
  /** Handlers whose effects the transaction has in it that is now at work. */
  readonly succeeded: Set<string>;
}

export class Runs {
  readonly #database: Database;
  readonly #retrying: Retrying;
  readonly #holder = `${pid}-${randomBytes(8).toString("hex")}`;

  constructor(database: Database, retrying: Retrying) {
    this.#database = database;
    this.#retrying = retrying;
  }

  /**
   * Store an event with a run for each handler and commit; false where the id came before. Transactional handlers are
   * called here, in the same transaction; those that fail are left for another attempt in the background.
   */
  async store(received: Received, handlers: readonly Handler[], now: number, keepOrder: boolean): Promise<boolean> {
    const lane = keepOrder ? laneOf(received.event) : undefined;
    const effects: Effects = { deadline: Date.now() + EFFECTS_BEGIN_WITHIN_MS, costly: new Map(), succeeded: new Set() };
    for (;;) {
      try {
        return await this.#store(received, handlers, now, lane, effects);
      } catch (error) {
        if (error instanceof HandlerCost) effects.costly.set(error.handler, error.ending);
        else if (!(error instanceof InboxUnavailable) || effects.succeeded.size === 0) throw error;
        else for (const name of effects.succeeded) effects.costly.set(name, refusedBy(error));
        effects.succeeded.clear();
      }
    }
  }

  /** Take up to `limit` runs of these handlers that are due, those of the longest waiting handler first. */
  async claim(handlers: readonly string[], limit: number, now: number): Promise<Claim[]> {
    const waiting = await this.#database.reading(async (session) => {
      const found: { handler: string; dueAt: number }[] = [];
      for (const handler of handlers) {
        const [row] = await session.rows(
          "SELECT min(due_at) AS due_at FROM esimhooks_runs WHERE handler = :handler AND due_at <= :now",
          { handler, now },
        );
        if (row?.["due_at"] != null) found.push({ handler, dueAt: Number(row["due_at"]) });
      }
      return found.sort((one, other) => one.dueAt - other.dueAt);
    });
    if (waiting.length === 0) return []; // an idle receiver writes nothing
    return this.#database.writing(async (session) => {
      const claims: Claim[] = [];
      for (const { handler } of waiting) {
        if (claims.length >= limit) break;
        const rows = await session.rows(
          `SELECT r.event_id, r.handler, r.attempts, r.lost_leases, r.lease, r.lane, e.sent_at, e.body
            FROM esimhooks_runs r JOIN esimhooks_inbox e ON e.id = r.event_id
            WHERE r.handler = :handler AND r.due_at <= :now ORDER BY r.due_at LIMIT :free ${this.#database.skipLocked}`,
          { handler, now, free: limit - claims.length },
        );
        for (const row of rows) {
          const claim = await this.#take(session, row, now);
          if (claim) claims.push(claim);
        }
      }
      return claims;
    }, "lazily"); // a claim that a power cut loses is made again
  }

  /** Put off the end of the leases of runs that are being worked on. */
  async renew(claims: readonly Claim[], now: number): Promise<void> {
    await this.#database.writing(async (session) => {
      for (const claim of sorted(claims)) {
        await session.run(
          `UPDATE esimhooks_runs SET due_at = :until
            WHERE event_id = :eventId AND handler = :handler AND lease = :holder AND state = 'running'`,
          { ...keyOf(claim), holder: this.#holder, until: now + this.#retrying.leaseSeconds },
        );
      }
    }, "lazily");
  }

  /**
   * Remember what came of claims, all in one commit. What has succeeded is not called again. What has failed gets its next
   * attempt, or is a dead letter after the last; nothing where the lease was lost.
   */
  async record(outcomes: readonly Outcome[]): Promise<void> {
    await this.#database.writing(async (session) => {
      const claims = outcomes.map((one) => one.claim);
      await lockLanes(session, claims);
      for (const claim of sorted(claims)) {
        await this.#end(session, outcomes.find((one) => one.claim === claim) as Outcome);
      }
    });
  }

  /** Give a run back whose handler could not be called, to be claimed at that time; no attempt is counted. */
  async release(claim: Claim, dueAt: number): Promise<void> {
    await this.#database.writing(async (session) => {
      await session.run(
        `UPDATE esimhooks_runs SET state = 'waiting', due_at = :dueAt, lease = NULL WHERE event_id = :eventId
          AND handler = :handler AND lease = :holder AND state = 'running' AND attempts = :attempts`,
        { ...keyOf(claim), holder: this.#holder, attempts: claim.attempts, dueAt },
      );
    });
  }

  /**
   * Let be due what a clock that was ahead, and no longer is, has put off. Leases are left alone: the clock of the process
   * that renews one may be a little ahead still.
   */
  async undoClockError(now: number): Promise<void> {
    const soon = now + this.#retrying.gapWaitSeconds + MAX_CLOCK_ERROR_SECONDS;
    const later = soon + Math.max(0, ...this.#retrying.scheduleSeconds) * (1 + MAX_JITTER);
    await this.#database.writing(async (session) => {
      await session.run(
        "UPDATE esimhooks_inbox SET received_at = :now, hold_until = :now WHERE received_at > :soon",
        { now, soon },
      );
      await session.run(
        `UPDATE esimhooks_runs SET due_at = :now WHERE state = 'waiting' AND due_at < :blocked AND due_at >
          CASE WHEN attempts = 0 THEN CAST(:soon AS double precision) ELSE CAST(:later AS double precision) END`,
        { now, soon, later, blocked: BLOCKED_UNTIL },
      );
    });
  }

  /** Call a transactional handler and remember its success in one transaction; undefined where the lease was lost. */
  async apply(claim: Claim, handler: Handler, now: () => number): Promise<Ending | undefined> {
    let succeeded = false;
    try {
      return await this.#database.writing(async (session) => {
        await lockLanes(session, [claim]);
        // The row stays locked until the commit, so the lease cannot be taken over meanwhile.
        if (!(await this.#holds(session, claim))) return undefined;
        const ending = await this.#effect(session, claim.event, handler);
        succeeded = !ending.failed;
        if (!ending.failed) await this.#end(session, { claim, ending, endedAt: now() });
        return ending;
      });
    } catch (error) {
      if (error instanceof HandlerCost) return error.ending;
      if (succeeded && error instanceof InboxUnavailable) return refusedBy(error);
      throw error;
    }
  }

  async #store(
    { event, body }: Received,
    handlers: readonly Handler[],
    now: number,
    lane: Lane | undefined,
    effects: Effects,
  ): Promise<boolean> {
    return this.#database.writing(async (session) => {
      if (lane) await lockLane(session, lane.esim);
      if (!(await insert(session, event, body, now, laneOf(event)))) return false;
      if (lane) {
        const until = await holdUntil(session, lane, now, this.#retrying.gapWaitSeconds);
        await session.run("UPDATE esimhooks_inbox SET hold_until = :until WHERE id = :id", { until, id: event.id });
      }
      for (const handler of handlers) {
        const ordered = handler.ordered ? lane : undefined;
        await addRun(session, event, handler, ordered, now);
        if (ordered) await advance(session, handler.name, ordered.esim, now);
        else if (handler.transactional) await this.#applyAtOnce(session, event, handler, now, effects);
      }
      return true;
    });
  }

  async #applyAtOnce(
    session: Session,
    event: AnyEvent,
    handler: Handler,
    now: number,
    effects: Effects,
  ): Promise<void> {
    const costly = effects.costly.get(handler.name);
    if (!costly && Date.now() > effects.deadline) return;
    const ending = costly ?? (await this.#effect(session, event, handler));
    const claim = { event, handler: handler.name, attempts: 0, lane: null };
    if (ending.failed) return this.#setFailed(session, claim, ending.thrown, now);
    effects.succeeded.add(handler.name);
    await setDone(session, claim, now);
  }

  /** Throws `HandlerCost` where the transaction cannot go on. */
  async #effect(session: Session, event: AnyEvent, handler: Handler): Promise<Ending> {
    await session.run("SAVEPOINT effect");
    let ending = await ended(() => handler.call(event, session.connection), this.#retrying.transactionalLimitSeconds);
    if (ending.failed && ending.late) throw new HandlerCost(handler.name, ending); // it may still use the connection
    if (!ending.failed) {
      try {
        await session.run("RELEASE SAVEPOINT effect");
        return ending;
      } catch (thrown) {
        ending = { failed: true, thrown };
      }
    }
    try {
      await session.run("ROLLBACK TO SAVEPOINT effect");
    } catch {
      throw new HandlerCost(handler.name, ending); // it has ended the transaction, or the database has
    }
    return ending;
  }

  async #end(session: Session, { claim, ending, endedAt }: Outcome): Promise<void> {
    // A success without regard to the lease: it is one, even if another process was given the run meanwhile.
    if (!ending.failed) await setDone(session, claim, endedAt);
    else if (await this.#holds(session, claim)) await this.#setFailed(session, claim, ending.thrown, endedAt);
    if (claim.lane !== null) await advance(session, claim.handler, claim.lane, endedAt);
  }

  async #take(session: Session, row: Row, now: number): Promise<Claim | undefined> {
    const lost = Number(row["lost_leases"]) + (row["lease"] === null ? 0 : 1);
    const { claim, unreadable } = claimOf(row);
    const reason = lost > MAX_LOST_LEASES ? `the process ended ${lost} times while this ran` : unreadable;
    if (reason !== undefined) {
      await bury(session, claim, reason, claim.attempts, now);
      if (claim.lane !== null) await advance(session, claim.handler, claim.lane, now);
      return undefined;
    }
    await session.run(
      `UPDATE esimhooks_runs SET state = 'running', due_at = :until, lease = :holder, lost_leases = :lost
        WHERE event_id = :eventId AND handler = :handler`,
      { ...keyOf(claim), until: now + this.#retrying.leaseSeconds, holder: this.#holder, lost },
    );
    return claim;
  }

  /** Whether this attempt is still ours; from now to the end of the transaction nobody can take it. */
  async #holds(session: Session, claim: Claim): Promise<boolean> {
    const touched = await session.run(
      `UPDATE esimhooks_runs SET lease = :holder WHERE event_id = :eventId AND handler = :handler
        AND lease = :holder AND state = 'running' AND attempts = :attempts`,
      { ...keyOf(claim), holder: this.#holder, attempts: claim.attempts },
    );
    return touched === 1;
  }

  async #setFailed(session: Session, claim: Claim, thrown: unknown, now: number): Promise<void> {
    const pause = pauseSeconds(this.#retrying, claim.attempts);
    const error = textOfThrown(thrown);
    if (pause === undefined) return bury(session, claim, error, claim.attempts + 1, now);
    await session.run(
      `UPDATE esimhooks_runs SET state = 'waiting', due_at = :dueAt, lease = NULL, attempts = :attempts, error = :error
        WHERE event_id = :eventId AND handler = :handler`,
      { ...keyOf(claim), dueAt: now + pause, attempts: claim.attempts + 1, error },
    );
  }
}

/** A handler's ending that cost the transaction; nothing of it is stored. */
class HandlerCost extends Error {
  constructor(
    readonly handler: string,
    readonly ending: Ending,
  ) {
    super("a transactional handler did not leave its transaction as it was");
  }
}

/** Return the event as it was when it was verified, or what is left of one that cannot be read, and why it cannot. */
export function storedEvent(row: Row): { event: AnyEvent; unreadable?: string } {
  const id = String(row["event_id"]);
  const sentAt = new Date(Number(row["sent_at"]) * 1000);
  try {
    return { event: eventOf({ id, body: new Uint8Array(row["body"] as Uint8Array), sentAt }) };
  } catch (error) {
    return { event: { id, event: "", timestamp: "", data: {} }, unreadable: textOfThrown(error) };
  }
}

function claimOf(row: Row): { claim: Claim; unreadable: string | undefined } {
  const lane = row["lane"] as string | null;
  const { event, unreadable } = storedEvent(row);
  return { claim: { event, handler: String(row["handler"]), attempts: Number(row["attempts"]), lane }, unreadable };
}

/**
 * The failure of a handler whose effect the database refused afterwards, as constraints may be checked at the commit only.
 * Where the database was away instead, the handler has a failed attempt too many.
 */
function refusedBy(error: InboxUnavailable): Ending {
  return { failed: true, thrown: error.cause ?? error };
}

/** Return the eSIM whose order the event is part of, and its place; undefined where it has none. */
function laneOf(event: AnyEvent): Lane | undefined {
  const { sequence } = event;
  const esim = event.data["id"];
  if (!Number.isSafeInteger(sequence) || Number(sequence) < 0) return undefined;
  if (typeof esim !== "string" || esim === "" || esim.length > MAX_ID_CHARACTERS || /\0|\p{Surrogate}/u.test(esim)) return undefined;
  return { esim, sequence: Number(sequence) };
}

async function lockLanes(session: Session, claims: readonly Claim[]): Promise<void> {
  const lanes = new Set(claims.map((one) => one.lane).filter((one): one is string => one !== null));
  for (const lane of [...lanes].sort()) await lockLane(session, lane);
}

async function insert(
  session: Session,
  event: AnyEvent,
  body: Uint8Array,
  now: number,
  lane: Lane | undefined,
): Promise<boolean> {
  const happenedAt = Date.parse(event.timestamp) / 1000;
  const inserted = await session.run(
    `INSERT INTO esimhooks_inbox (id, event, esim, sequence, sent_at, received_at, hold_until, body)
      VALUES (:id, :event, :esim, :sequence, :sentAt, :now, :now, :body) ON CONFLICT (id) DO NOTHING`,
    {
      id: event.id,
      event: event.event,
      esim: lane?.esim ?? null,
      sequence: lane?.sequence ?? null,
      sentAt: Number.isFinite(happenedAt) ? happenedAt : now,
      now,
      body,
    },
  );
  return inserted === 1;
}

async function addRun(
  session: Session,
  event: AnyEvent,
  handler: Handler,
  lane: Lane | undefined,
  now: number,
): Promise<void> {
  await session.run(
    `INSERT INTO esimhooks_runs (event_id, handler, state, due_at, lane, sequence)
      VALUES (:eventId, :handler, 'waiting', :dueAt, :lane, :sequence)`,
    {
      eventId: event.id,
      handler: handler.name,
      dueAt: lane ? BLOCKED_UNTIL : now,
      lane: lane?.esim ?? null,
      sequence: lane?.sequence ?? null,
    },
  );
}

async function setDone(session: Session, claim: Claim, now: number): Promise<void> {
  await session.run(
    `UPDATE esimhooks_runs SET state = 'done', due_at = NULL, lease = NULL, ended_at = :now, attempts = attempts + 1,
      error = NULL WHERE event_id = :eventId AND handler = :handler AND state <> 'done'`,
    { ...keyOf(claim), now },
  );
}

async function bury(session: Session, claim: Claim, error: string, attempts: number, now: number): Promise<void> {
  await session.run(
    `UPDATE esimhooks_runs SET state = 'dead', due_at = NULL, lease = NULL, ended_at = :now, attempts = :attempts,
      error = :error WHERE event_id = :eventId AND handler = :handler`,
    { ...keyOf(claim), now, attempts, error },
  );
}

function keyOf(claim: Claim): { eventId: string; handler: string } {
  return { eventId: claim.event.id, handler: claim.handler };
}

/** In one order everywhere, so that two transactions cannot wait for each other. */
function sorted(claims: readonly Claim[]): Claim[] {
  const key = (claim: Claim): string => `${claim.event.id}\n${claim.handler}`;
  return [...claims].sort((one, other) => (key(one) < key(other) ? -1 : 1));
}
