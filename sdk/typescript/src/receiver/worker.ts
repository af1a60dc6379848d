// The background of a receiver: claims runs that are due and calls their handlers, until it is stopped.
//
// Nothing that a handler or the inbox does ends it. What a handler has achieved is written until it is written.

import { setTimeout as sleep } from "node:timers/promises";

import { InboxUnavailable, traceOfThrown } from "./errors.js";
import { ended, type Handlers } from "./handlers.js";
import type { Inbox } from "./inbox.js";
import type { Retrying } from "./retrying.js";
import type { Claim, Outcome, Runs } from "./runs.js";
import { MAX_TIMER_MS, withinMs } from "./session.js";

/** How often runs are looked for that nobody has notified of: retries, and those of processes that died. */
const POLL_MS = 1000;
const PAUSE_WHEN_UNAVAILABLE_MS = 1000;
const RECORD_AGAIN_MS = 200;

/** What ends within this time is written in one commit. */
const GATHER_MS = 3;
const PRUNE_EVERY_MS = 3_600_000;

/** Runs whose handler has ended and whose outcome waits for the inbox; with more, no others are begun. */
const MAX_UNRECORDED = 500;

/** Where messages go; `console` will do. */
export interface Log {
  warn(message: string): void;
  error(message: string): void;
}

export interface WorkerOptions {
  readonly retrying: Retrying;
  readonly concurrency: number;
  readonly log: Log;
  /** Returns Unix seconds. */
  readonly now: () => number;
}

/** Works off one inbox with at most `concurrency` handlers at a time. */
export class Worker {
  readonly #runs: Runs;
  readonly #inbox: Inbox;
  readonly #handlers: Handlers;
  readonly #options: WorkerOptions;
  readonly #atWork = new Map<string, Claim>();
  #outcomes: Outcome[] = [];
  #recording: Promise<void> | undefined;
  #stopping = false;
  #stopped = false;
  #notified = false;
  readonly #waiting = new Set<() => void>();
  readonly #timers: NodeJS.Timeout[];
  readonly #inBackground = new Set<Promise<void>>();
  #loop: Promise<void> | undefined;
  #lastRound: Promise<number> = Promise.resolve(0);

  constructor(runs: Runs, inbox: Inbox, handlers: Handlers, options: WorkerOptions) {
    this.#runs = runs;
    this.#inbox = inbox;
    this.#handlers = handlers;
    this.#options = options;
    this.#timers = [setInterval(() => this.#begin(this.#renew()), (options.retrying.leaseSeconds * 1000) / 3).unref()];
  }

  /** Work on what is due, and on what becomes due, until `stop`. */
  start(): void {
    if (this.#loop) return;
    this.#timers.push(setInterval(() => this.#begin(this.#prune()), PRUNE_EVERY_MS).unref());
    this.#begin(this.#prune());
    this.#loop = this.#work();
  }

  /** Notify that something may be due. */
  notify(): void {
    this.#notified = true;
    for (const wake of this.#waiting) wake();
  }

  /** Work on what is due now until nothing is, or the time is over. Attempts that are put off are not waited for. */
  async drain(withinSeconds: number): Promise<void> {
    const deadline = Date.now() + withinSeconds * 1000;
    while (Date.now() < deadline) {
      const claimed = await this.#round();
      if (claimed === 0 && this.#unended === 0) return;
      if (claimed === 0) await this.#nextEnding(deadline - Date.now());
    }
  }

  /** Claim nothing more, let handlers end for so long, and write what came of them. */
  async stop(withinSeconds: number): Promise<void> {
    this.#stopping = true;
    this.notify();
    const deadline = Date.now() + withinSeconds * 1000;
    await withinMs(this.#lastRound, withinSeconds * 1000); // what it claims now is handed back
    while (this.#unended > 0 && Date.now() < deadline) await this.#nextEnding(deadline - Date.now());
    this.#stopped = true;
    for (const timer of this.#timers) clearInterval(timer);
    await Promise.all([this.#loop, this.#lastRound, ...this.#inBackground]);
  }

  /** Let `stop` wait for what nobody else waits for: afterwards nothing touches the inbox. */
  #begin(work: Promise<void>): void {
    this.#inBackground.add(work);
    void work.finally(() => this.#inBackground.delete(work));
  }

  get #unended(): number {
    return this.#atWork.size + this.#outcomes.length + (this.#recording ? 1 : 0);
  }

  async #work(): Promise<void> {
    while (!this.#stopping) {
      this.#notified = false;
      let pause = POLL_MS;
      try {
        await this.#round();
      } catch (error) {
        this.#report(error);
        pause = PAUSE_WHEN_UNAVAILABLE_MS;
      }
      if (!this.#notified && !this.#stopping) await this.#nextEnding(pause);
    }
  }

  /** Begin what is due and return how much that was. One round after the other: each knows what those before have begun. */
  async #round(): Promise<number> {
    const round = this.#lastRound.then(() => this.#beginDue());
    this.#lastRound = round.catch(() => 0);
    return round;
  }

  async #beginDue(): Promise<number> {
    const free = Math.min(this.#options.concurrency - this.#atWork.size, MAX_UNRECORDED - this.#outcomes.length);
    const names = this.#handlers.names();
    if (this.#stopping || free <= 0 || names.length === 0) return 0;
    const claimed = await this.#runs.claim(names, free, this.#options.now());
    const claims = claimed.filter((claim) => !this.#has(claim));
    if (this.#stopping) {
      await Promise.all(claims.map((claim) => this.#release(claim, 0)));
      return 0;
    }
    for (const claim of claims) {
      this.#atWork.set(keyOf(claim), claim);
      void this.#attempt(claim);
    }
    return claims.length;
  }

  /** Whether a run whose lease ran out during an outage is still at work here. */
  #has(claim: Claim): boolean {
    return this.#atWork.has(keyOf(claim)) || this.#outcomes.some((one) => keyOf(one.claim) === keyOf(claim));
  }

  async #attempt(claim: Claim): Promise<void> {
    const handler = this.#handlers.named(claim.handler);
    try {
      if (!handler) return;
      if (handler.transactional) {
        const ending = await this.#runs.apply(claim, handler, this.#options.now);
        if (ending?.failed) this.#ended({ claim, ending, endedAt: this.#options.now() });
        return;
      }
      const limit = this.#options.retrying.handlerLimitSeconds;
      const number = claim.attempts + 1;
      const ending = await ended((signal) => handler.call(claim.event, { number, signal }), limit);
      this.#ended({ claim, ending, endedAt: this.#options.now() });
    } catch (error) {
      this.#report(error);
      await this.#release(claim, PAUSE_WHEN_UNAVAILABLE_MS);
    } finally {
      this.#atWork.delete(keyOf(claim));
      this.notify();
    }
  }

  async #release(claim: Claim, afterMs: number): Promise<void> {
    try {
      await this.#runs.release(claim, this.#options.now() + afterMs / 1000);
    } catch (error) {
      this.#report(error); // the inbox is away: the lease ends by itself
    }
  }

  #ended(outcome: Outcome): void {
    const { claim, ending } = outcome;
    if (ending.failed) {
      const attempt = `${claim.handler} failed for ${claim.event.id}, attempt ${claim.attempts + 1}`;
      this.#options.log.error(`${attempt}: ${traceOfThrown(ending.thrown)}`);
    }
    this.#outcomes.push(outcome);
    this.#recording ??= this.#record();
  }

  /** Write what came of runs, all that has ended meanwhile in one commit, until it is written. */
  async #record(): Promise<void> {
    await sleep(GATHER_MS);
    while (this.#outcomes.length > 0 && !this.#stopped) {
      const outcomes = [...this.#outcomes];
      try {
        await this.#runs.record(outcomes);
        this.#outcomes = this.#outcomes.slice(outcomes.length);
        this.notify();
      } catch (error) {
        this.#report(error);
        await sleep(RECORD_AGAIN_MS);
      }
    }
    this.#recording = undefined;
    this.notify();
  }

  async #renew(): Promise<void> {
    const plain = [...this.#atWork.values()].filter((one) => !this.#handlers.named(one.handler)?.transactional);
    const claims = [...plain, ...this.#outcomes.map((one) => one.claim)];
    if (claims.length === 0) return;
    try {
      await this.#runs.renew(claims, this.#options.now());
    } catch (error) {
      this.#report(error);
    }
  }

  async #prune(): Promise<void> {
    try {
      const unclaimed = await this.#inbox.unclaimedHandlers(this.#handlers.names());
      if (unclaimed.length > 0) {
        this.#options.log.warn(`runs wait for handlers that are not registered here: ${unclaimed.join(", ")}`);
      }
      await this.#runs.undoClockError(this.#options.now());
      this.notify();
      await this.#inbox.prune();
    } catch (error) {
      this.#report(error);
    }
  }

  #report(error: unknown): void {
    if (error instanceof InboxUnavailable) this.#options.log.warn(`the inbox is not available: ${error.message}`);
    else this.#options.log.error(`the worker of the receiver goes on after an error: ${traceOfThrown(error)}`);
  }

  async #nextEnding(limitMs: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(wake, Math.min(Math.max(limitMs, 0), MAX_TIMER_MS));
      const waiting = this.#waiting;
      function wake(): void {
        clearTimeout(timer);
        waiting.delete(wake);
        resolve();
      }
      waiting.add(wake);
    });
  }
}

function keyOf(claim: Claim): string {
  return `${claim.event.id}\n${claim.handler}`;
}
