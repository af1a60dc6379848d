// The inbox in a SQLite file, by node:sqlite where Node has it and better-sqlite3 elsewhere; processes may share it.
//
// It must not be used on a network file system: WAL needs shared memory.

import { closeSync, openSync, statSync } from "node:fs";
import { resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

import { type Database, type Flush, guarded, WAIT_MS, positional, type Row, type Session, unavailable, type Values, withinMs } from "./session.js";
import { InboxUnavailable, isMissingModule, textOfThrown } from "./errors.js";
import { upgradeSchema } from "./schema.js";

const BUSY_PAUSE_MS = 10;

/** What node:sqlite and better-sqlite3 have in common. */
interface Connection {
  exec(sql: string): unknown;
  prepare(sql: string): Statement;
  close(): void;
}

interface Statement {
  all(...values: unknown[]): unknown[];
  run(...values: unknown[]): { changes: number | bigint };
}

class SqliteSession implements Session {
  readonly connection: object;
  readonly #connection: Connection;
  readonly #statements: Map<string, Statement>;

  constructor(connection: Connection, statements: Map<string, Statement>) {
    this.#connection = connection;
    this.#statements = statements;
    this.connection = guarded(connection);
  }

  async rows(statement: string, values: Values = {}): Promise<Row[]> {
    return this.#call(statement, values, (prepared, given) => prepared.all(...given) as Row[]);
  }

  async run(statement: string, values: Values = {}): Promise<number> {
    return this.#call(statement, values, (prepared, given) => Number(prepared.run(...given).changes));
  }

  /** There is one writer at a time as it is. */
  async takeTurn(): Promise<void> {}

  #call<T>(statement: string, values: Values, call: (prepared: Statement, given: unknown[]) => T): T {
    const [text, given] = positional(statement, values, () => "?");
    try {
      const prepared = this.#statements.get(text) ?? this.#connection.prepare(text);
      this.#statements.set(text, prepared);
      return call(prepared, given);
    } catch (error) {
      throw unavailable("SQLite", error);
    }
  }
}

/** One connection and the transactions that wait for it. */
class ConnectionQueue {
  readonly #path: string;
  #connection: Connection | undefined;
  /** Which file the connection has open. */
  #opened = "";
  #statements = new Map<string, Statement>();
  #last: Promise<unknown> = Promise.resolve();

  constructor(path: string) {
    this.#path = path;
  }

  /** Call `work` in a transaction, after those that came before. */
  async transaction<T>(begin: string, work: (session: Session) => Promise<T>): Promise<T> {
    const deadline = Date.now() + WAIT_MS;
    const before = this.#last;
    let ended = (): void => {};
    this.#last = new Promise<void>((resolve) => (ended = resolve));
    if (!(await withinMs(before, WAIT_MS))) {
      void before.then(ended);
      throw new InboxUnavailable("SQLite: another transaction of this process takes too long");
    }
    try {
      return await this.#transaction(begin, work, deadline);
    } finally {
      ended();
    }
  }

  /** Close the connection after the transactions that were begun. */
  async close(): Promise<void> {
    await this.#last;
    this.#drop();
  }

  async #transaction<T>(begin: string, work: (session: Session) => Promise<T>, deadline: number): Promise<T> {
    try {
      // What is written to a file that was deleted or replaced would be gone with the connection.
      if (this.#connection && this.#opened !== identityOf(this.#path)) this.#drop();
      if (!this.#connection) {
        [this.#connection, this.#opened] = await opened(this.#path, deadline);
      }
      const connection = this.#connection;
      await retryWhileBusy(() => connection.exec(begin), deadline);
    } catch (error) {
      this.#drop();
      throw unavailable("SQLite", error);
    }
    try {
      const session = new SqliteSession(this.#connection, this.#statements);
      const result = await work(session);
      await session.run("COMMIT");
      return result;
    } catch (error) {
      this.#drop(); // rolls back, whatever state the connection is in, and nobody can go on with it
      throw error;
    }
  }

  #drop(): void {
    try {
      this.#connection?.close();
    } catch {
      // a connection that could not be opened whole
    }
    this.#connection = undefined;
    this.#statements = new Map();
  }
}

/** One connection that writes and one that reads: in WAL mode they do not wait for each other. */
export class SqliteDatabase implements Database {
  readonly skipLocked = "";
  readonly #writer: ConnectionQueue;
  readonly #reader: ConnectionQueue;

  constructor(path: string) {
    const absolute = resolve(path); // a process may go to another folder, as daemons do
    this.#writer = new ConnectionQueue(absolute);
    this.#reader = new ConnectionQueue(absolute);
  }

  async reading<T>(work: (session: Session) => Promise<T>): Promise<T> {
    return this.#reader.transaction("BEGIN", work);
  }

  async writing<T>(work: (session: Session) => Promise<T>, flush: Flush = "at once"): Promise<T> {
    // In WAL mode FULL flushes each commit to disk before it is answered; WAL's usual NORMAL would lose the last
    // commits, answered with 200, in a power cut. IMMEDIATE takes the lock at once: a reader that becomes a writer later
    // can be refused without waiting.
    const synchronous = `PRAGMA synchronous = ${flush === "lazily" ? "NORMAL" : "FULL"}`;
    return this.#writer.transaction(`${synchronous}; BEGIN IMMEDIATE`, work);
  }

  async close(): Promise<void> {
    await Promise.all([this.#writer.close(), this.#reader.close()]);
  }
}

/** Open the file; return the connection, and what distinguishes the file. */
async function opened(path: string, deadline: number): Promise<[Connection, string]> {
  create(path);
  const file = identityOf(path);
  const connection = await connected(path);
  try {
    await retryWhileBusy(() => connection.exec("PRAGMA journal_mode = WAL"), deadline);
    connection.exec("PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 0");
    await retryWhileBusy(() => connection.exec("BEGIN IMMEDIATE"), deadline);
    // The log is open now. SQLite finds it by its name: it may be that of another file.
    if (identityOf(path) !== file) throw new Error("the file was replaced while it was opened");
    await upgradeSchema(new SqliteSession(connection, new Map()), { seconds: "real", bytes: "blob" });
    connection.exec("COMMIT");
    return [connection, file];
  } catch (error) {
    connection.close();
    throw error;
  }
}

/**
 * Make the file, where it is missing, readable by its owner only; SQLite gives its other files the same mode, and reports
 * what stands in the way. A file that is there must not be opened here: to close it again would free the locks of all
 * connections of this process (POSIX), and the next process to leave the inbox would take what is not yet checkpointed along.
 */
function create(path: string): void {
  try {
    closeSync(openSync(path, "wx", 0o600));
  } catch {
    // it exists, or SQLite will say why it cannot
  }
}

/** Return what distinguishes a file from another one that is put in its place. */
function identityOf(path: string): string {
  const status = statSync(path, { bigint: true, throwIfNoEntry: false });
  return status ? `${status.dev} ${status.ino}` : "";
}

async function connected(path: string): Promise<Connection> {
  // By getBuiltinModule and not by an import, which bundlers would try to follow: every Node that has the one has the other.
  const builtIn = process.getBuiltinModule?.("node:sqlite");
  if (builtIn) return new builtIn.DatabaseSync(path) as unknown as Connection;
  try {
    const imported = (await import(/* webpackIgnore: true */ /* turbopackIgnore: true */ "better-sqlite3" as string)) as {
      default: new (path: string) => Connection;
    };
    return new imported.default(path);
  } catch (error) {
    if (!isMissingModule(error)) throw error;
    throw new Error("an inbox in SQLite needs Node 22.13 or newer, or the package better-sqlite3: npm install better-sqlite3");
  }
}

/** Call what SQLite refuses at once while another process writes; its own waiting would stop the event loop. */
async function retryWhileBusy(call: () => unknown, deadline: number): Promise<void> {
  for (;;) {
    try {
      call();
      return;
    } catch (error) {
      if (!/locked|busy/i.test(textOfThrown(error)) || Date.now() > deadline) throw error;
    }
    await sleep(BUSY_PAUSE_MS * (0.5 + Math.random()));
  }
}
