// When a handler that failed is called again, and how long everything else waits. Pure numbers, in seconds.

export interface Retrying {
  /** The pause after each failed attempt; after the one behind the last pause the run is a dead letter. */
  readonly scheduleSeconds: readonly number[];
  /** How long the runs of a process that died wait for another. */
  readonly leaseSeconds: number;
  /** How long an ordered handler waits for a missing number. */
  readonly gapWaitSeconds: number;
  /** When a handler is given up and counted as failed. What it has begun goes on: a promise cannot be stopped. */
  readonly handlerLimitSeconds: number;
  /** The same for transactional handlers, which keep the sender waiting and, in SQLite, every other writer. */
  readonly transactionalLimitSeconds: number;
}

/** Eleven attempts in about a day. */
export const RETRYING: Retrying = {
  scheduleSeconds: [1, 5, 30, 60, 300, 900, 3600, 10_800, 21_600, 43_200],
  leaseSeconds: 30,
  gapWaitSeconds: 5,
  handlerLimitSeconds: 300,
  transactionalLimitSeconds: 1.5,
};

export const MAX_JITTER = 0.1;

/** Return the pause before the next attempt when `attempts` had failed before this one; undefined for no more. */
export function pauseSeconds(retrying: Retrying, attempts: number): number | undefined {
  const pause = retrying.scheduleSeconds[attempts];
  return pause === undefined ? undefined : pause * (1 + Math.random() * MAX_JITTER); // what failed together comes back apart
}
