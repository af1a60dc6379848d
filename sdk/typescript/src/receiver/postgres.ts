// The inbox in PostgreSQL, 14 or newer, through the package pg; any number of processes and machines may share it.

import { type Database, type Flush, guarded, WAIT_MS, positional, type Row, type Session, unavailable, type Values } from "./session.js";
import { InboxUnavailable, isMissingModule } from "./errors.js";
import { checkVersion, upgradeSchema } from "./schema.js";

const CONNECTIONS = 10;

/**
 * Whatever the database's defaults, those that wait for each other's rows go on with them, instead of having failed. The
 * limits are the server's too: a process that is stopped or gone does not keep others from its rows.
 */
const BEGIN = `BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = ${WAIT_MS}; SET LOCAL statement_timeout = ${WAIT_MS};
  SET LOCAL idle_in_transaction_session_timeout = ${4 * WAIT_MS}`;
const TYPES = { seconds: "double precision", bytes: "bytea" };

/** What is used of pg's classes. */
interface Client {
  query(query: { text: string; values?: unknown[]; query_timeout?: number }): Promise<{ rows: Row[]; rowCount: number | null }>;
  on(event: "error", listener: () => void): unknown;
  off(event: "error", listener: () => void): unknown;
  release(destroy: boolean): void;
}

interface Pool {
  connect(): Promise<Client>;
  on(event: "error", listener: () => void): unknown;
  end(): Promise<void>;
}

class PostgresSession implements Session {
  readonly connection: object;
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
    this.connection = guarded(client);
  }

  async rows(statement: string, values: Values = {}): Promise<Row[]> {
    return (await this.#query(statement, values)).rows;
  }

  async run(statement: string, values: Values = {}): Promise<number> {
    return (await this.#query(statement, values)).rowCount ?? 0;
  }

  /** Take an advisory lock until the end of the transaction; the Python package takes the same. */
  async takeTurn(key: string): Promise<void> {
    await this.run("SELECT pg_advisory_xact_lock(hashtextextended(:key, 8400))", { key: `esimhooks ${key}` });
  }

  async #query(statement: string, values: Values): Promise<{ rows: Row[]; rowCount: number | null }> {
    const [text, given] = positional(statement, values, (number) => `$${number}`);
    try {
      // Bytes as Buffer: pg sends other typed arrays as text. The limit notices a server that is gone without a word.
      const bound = given.map((one) => (one instanceof Uint8Array ? Buffer.from(one) : one));
      return await this.#client.query({ text, values: bound, query_timeout: WAIT_MS });
    } catch (error) {
      throw unavailable("PostgreSQL", error);
    }
  }
}

export class PostgresDatabase implements Database {
  readonly skipLocked = "FOR UPDATE OF r SKIP LOCKED";
  readonly #url: string;
  #pool: Promise<Pool> | undefined;
  #ready = false;

  constructor(url: string) {
    this.#url = url;
  }

  async reading<T>(work: (session: Session) => Promise<T>): Promise<T> {
    return this.#transaction("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", work);
  }

  async writing<T>(work: (session: Session) => Promise<T>, flush: Flush = "at once"): Promise<T> {
    return this.#transaction(flush === "lazily" ? `${BEGIN}; SET LOCAL synchronous_commit = off` : BEGIN, work);
  }

  async close(): Promise<void> {
    const pool = this.#pool;
    this.#pool = undefined;
    await (await pool?.catch(() => undefined))?.end();
  }

  async #transaction<T>(begin: string, work: (session: Session) => Promise<T>): Promise<T> {
    const client = await this.#begun(begin);
    const session = new PostgresSession(client);
    let whole = false;
    try {
      const result = await work(session);
      await session.run("COMMIT");
      whole = true;
      return result;
    } catch (error) {
      if (isMissingTable(error)) this.#ready = false; // somebody has dropped them: they are made again
      throw error;
    } finally {
      handBack(client, whole); // closing rolls back, whatever state the connection is in, and nobody can go on with it
    }
  }

  /** Return a connection inside a transaction; idle ones may have died. */
  async #begun(begin: string): Promise<Client> {
    for (let tried = 0; ; tried += 1) {
      const client = await this.#client();
      try {
        await new PostgresSession(client).run(begin);
        return client;
      } catch (error) {
        handBack(client, false);
        if (tried >= CONNECTIONS) throw error;
      }
    }
  }

  async #client(): Promise<Client> {
    try {
      this.#pool ??= this.#opened();
      const pool = await this.#pool;
      const client = await pool.connect();
      client.on("error", ignored);
      if (!this.#ready) await this.#prepare(client);
      return client;
    } catch (error) {
      throw error instanceof InboxUnavailable ? error : unavailable("PostgreSQL", error);
    }
  }

  async #opened(): Promise<Pool> {
    try {
      const imported = (await import(/* webpackIgnore: true */ /* turbopackIgnore: true */ "pg" as string)) as { default: { Pool: new (options: object) => Pool } };
      const pool = new imported.default.Pool({
        connectionString: this.#url,
        max: CONNECTIONS,
        connectionTimeoutMillis: WAIT_MS,
        keepAlive: true,
        application_name: "esimhooks-receiver",
      });
      pool.on("error", ignored);
      return pool;
    } catch (error) {
      this.#pool = undefined;
      if (!isMissingModule(error)) throw error;
      throw new Error("an inbox in PostgreSQL needs the package pg: npm install pg");
    }
  }

  async #prepare(client: Client): Promise<void> {
    const session = new PostgresSession(client);
    try {
      await checkEncoding(session);
      if (!(await isUpToDate(session))) {
        await session.run(BEGIN);
        await session.takeTurn("schema");
        await upgradeSchema(session, TYPES);
        await session.run("COMMIT");
      }
      this.#ready = true;
    } catch (error) {
      handBack(client, false);
      throw error;
    }
  }
}

function isMissingTable(error: unknown): boolean {
  return error instanceof InboxUnavailable && (error.cause as { code?: unknown } | undefined)?.code === "42P01";
}

async function checkEncoding(session: Session): Promise<void> {
  const [row] = await session.rows("SELECT current_setting('server_encoding') AS encoding");
  if (row?.["encoding"] === "UTF8") return;
  throw new InboxUnavailable(
    `the encoding of the inbox's database is ${String(row?.["encoding"])}, which cannot store all characters: create one with ENCODING 'UTF8'`,
  );
}

/** Where the tables are, the role needs no right to make any. */
async function isUpToDate(session: Session): Promise<boolean> {
  const [found] = await session.rows("SELECT to_regclass('esimhooks_schema') IS NOT NULL AS found");
  if (!found?.["found"]) return false;
  const [row] = await session.rows("SELECT version FROM esimhooks_schema");
  return checkVersion(Number(row?.["version"] ?? 0));
}

function handBack(client: Client, whole: boolean): void {
  client.off("error", ignored);
  if (!whole) client.on("error", ignored); // it may still report that it was cut off
  client.release(!whole);
}

/** A connection that the server has ended reports so; its next statement fails. */
function ignored(): void {}
