// What the inbox needs of a database: sessions inside transactions. What goes wrong in the database comes out as
// `InboxUnavailable`.

import { setTimeout as sleep } from "node:timers/promises";

import { InboxUnavailable, textOfThrown } from "./errors.js";

/** How long to wait for a connection or a lock: senders give a receiver five seconds in all. */
export const WAIT_MS = 3000;

/** The longest that a timer can be set to, 24 days: a longer one, or no end at all, would be over at once. */
export const MAX_TIMER_MS = 2 ** 31 - 1;

export type Row = Record<string, unknown>;
export type Values = Readonly<Record<string, string | number | Uint8Array | null>>;

/** Whether a commit is on the disk when it is answered; what is written `lazily` may be lost in a power cut. */
export type Flush = "at once" | "lazily";

/** One connection inside a transaction. Statements name their values: `:id`. */
export interface Session {
  rows(statement: string, values?: Values): Promise<Row[]>;
  /** Returns how many rows were touched. */
  run(statement: string, values?: Values): Promise<number>;
  /** Wait until no other transaction that named this key is at work. */
  takeTurn(key: string): Promise<void>;
  /** The driver's connection, which refuses to begin or end transactions. */
  readonly connection: object;
}

export interface Database {
  /** Ends a query whose rows this transaction takes, leaving out those that others are taking. */
  readonly skipLocked: string;
  /** Call with a session that sees one state of the data. */
  reading<T>(work: (session: Session) => Promise<T>): Promise<T>;
  /** Call with a session; committed at the end, to disk but for `lazily`, and rolled back where `work` throws. */
  writing<T>(work: (session: Session) => Promise<T>, flush?: Flush): Promise<T>;
  /** Close all connections; they are opened again when needed. */
  close(): Promise<void>;
}

/** Return what a driver threw as `InboxUnavailable`. */
export function unavailable(database: string, thrown: unknown): InboxUnavailable {
  return new InboxUnavailable(`${database}: ${textOfThrown(thrown)}`, { cause: thrown });
}

const NAMES = /(?<!:):(\w+)/g;

/** Return a statement with `placeholder(n)` for each `:name`, n from 1, and the values in that order. */
export function positional(
  statement: string,
  values: Values,
  placeholder: (number: number) => string,
): [string, (string | number | Uint8Array | null)[]] {
  const given: (string | number | Uint8Array | null)[] = [];
  const text = statement.replace(NAMES, (_, name: string) => placeholder(given.push(values[name] ?? null)));
  return [text, given];
}

const ENDS_TRANSACTION = /^[\s;]*(begin|commit|end|abort|start\s+transaction|prepare\s+transaction|rollback(?!\s+(work\s+|transaction\s+)?to\b))/i;
const TAKING_SQL = new Set(["query", "exec", "prepare"]);

/** Return a driver's connection that does everything but begin or end transactions, and cannot be closed. */
export function guarded<C extends object>(connection: C): C {
  return new Proxy(connection, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== "function") return value;
      if (name === "close" || name === "end" || name === "release") return refuse(`${name}()`);
      return (...given: unknown[]) => {
        const [first] = given;
        const text = typeof first === "string" ? first : (first as { text?: unknown } | undefined)?.text;
        if (TAKING_SQL.has(String(name)) && typeof text === "string" && ENDS_TRANSACTION.test(text)) refuse(text)();
        return value.apply(target, given);
      };
    },
  });
}

function refuse(what: string): () => never {
  return () => {
    throw new TypeError(`a transactional handler is committed with its event: it must not use ${what.trim()}`);
  };
}

/** Whether something ends within so many milliseconds. Rejects where it does. */
export async function withinMs(waiting: Promise<unknown>, limitMs: number): Promise<boolean> {
  const given = new AbortController();
  const late = sleep(Math.min(limitMs, MAX_TIMER_MS), false, { signal: given.signal }).catch(() => false);
  const first = await Promise.race([waiting.then(() => true), late]);
  given.abort();
  return first;
}
