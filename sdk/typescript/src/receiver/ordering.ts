// The order of one eSIM's events: how long an event waits for those before it, and whose turn it is.
//
// Of the runs of one ordered handler and one eSIM, its lane, only the first by `sequence` is due; the others are blocked
// until it has ended. Numbers may be missing for good, since an endpoint need not subscribe to every event: waiting for
// them has an end. A session comes in, inside the transaction that stores or ends a run, whose lane has been locked.

import type { Session } from "./session.js";
import { BLOCKED_UNTIL } from "./schema.js";

/** Wait until nobody else changes the runs of an eSIM. Several lanes are locked in their alphabetical order. */
export async function lockLane(session: Session, lane: string): Promise<void> {
  await session.takeTurn(`esim ${lane}`);
}

/** Let the first of the runs that have not ended be due, unless one is at work. */
export async function advance(session: Session, handler: string, lane: string, now: number): Promise<void> {
  const [first] = await session.rows(
    `SELECT r.event_id, r.due_at, e.hold_until FROM esimhooks_runs r JOIN esimhooks_inbox e ON e.id = r.event_id
      WHERE r.handler = :handler AND r.lane = :lane AND r.due_at IS NOT NULL ORDER BY r.sequence, r.event_id LIMIT 1`,
    { handler, lane },
  );
  const active = await session.rows(
    `SELECT event_id, state FROM esimhooks_runs
      WHERE handler = :handler AND lane = :lane AND due_at IS NOT NULL AND due_at < :blocked`,
    { handler, lane, blocked: BLOCKED_UNTIL },
  );
  if (first === undefined || active.some((one) => one["state"] === "running")) return;
  for (const { event_id: eventId } of active) {
    if (eventId === first["event_id"]) continue;
    const blocked = await session.run(
      `UPDATE esimhooks_runs SET due_at = :blocked
        WHERE event_id = :eventId AND handler = :handler AND state = 'waiting'`,
      { eventId: String(eventId), handler, blocked: BLOCKED_UNTIL },
    );
    if (blocked === 0) return; // it has been claimed just now
  }
  if (Number(first["due_at"]) < BLOCKED_UNTIL) return;
  await session.run("UPDATE esimhooks_runs SET due_at = :dueAt WHERE event_id = :eventId AND handler = :handler", {
    dueAt: Math.max(now, Number(first["hold_until"])),
    eventId: String(first["event_id"]),
    handler,
  });
}

/**
 * Return when an event may be seen, and let those go that waited for it: at once where its predecessor is here or it is
 * the first; with its predecessor where that waits itself; otherwise after `gapWaitSeconds`.
 */
export async function holdUntil(
  session: Session,
  event: { esim: string; sequence: number },
  now: number,
  gapWaitSeconds: number,
): Promise<number> {
  const { esim, sequence } = event;
  const [before] = await session.rows(
    "SELECT hold_until FROM esimhooks_inbox WHERE esim = :esim AND sequence = :sequence",
    { esim, sequence: sequence - 1 },
  );
  const until = before ? Math.max(now, Number(before["hold_until"])) : sequence > 1 ? now + gapWaitSeconds : now;
  await releaseFollowers(session, esim, sequence, until);
  return until;
}

/** Let the events that follow without a gap wait no longer than this one. */
async function releaseFollowers(session: Session, esim: string, sequence: number, until: number): Promise<void> {
  const following = await session.rows(
    `SELECT sequence FROM esimhooks_inbox
      WHERE esim = :esim AND sequence > :sequence AND hold_until > :until ORDER BY sequence`,
    { esim, sequence, until },
  );
  let last = sequence;
  for (const row of following) {
    if (Number(row["sequence"]) !== last + 1) break;
    last += 1;
  }
  if (last === sequence) return;
  await session.run(
    "UPDATE esimhooks_inbox SET hold_until = :until WHERE esim = :esim AND sequence > :sequence AND sequence <= :last",
    { esim, sequence, last, until },
  );
  await session.run(
    `UPDATE esimhooks_runs SET due_at = :until WHERE lane = :esim AND sequence > :sequence AND sequence <= :last
      AND state = 'waiting' AND attempts = 0 AND due_at > :until AND due_at < :blocked`,
    { esim, sequence, last, until, blocked: BLOCKED_UNTIL },
  );
}
