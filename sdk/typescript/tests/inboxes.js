// Inboxes for tests: a file that is gone after the test, and a database of PostgreSQL where TEST_POSTGRES names a server.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import pg from "pg";

const TABLES = "effects, esimhooks_runs, esimhooks_inbox, esimhooks_schema";

/** The kinds of inbox that can be tested here. */
export const KINDS = process.env.TEST_POSTGRES ? ["sqlite", "postgresql"] : ["sqlite"];

/** Return the URL of an empty inbox, removed after the test. */
export async function emptyInbox(context, kind) {
  if (kind === "sqlite") {
    const folder = mkdtempSync(join(tmpdir(), "esimhooks-inbox-"));
    context.after(() => rmSync(folder, { recursive: true }));
    return `sqlite:///${join(folder, "inbox.db")}`;
  }
  const url = process.env.TEST_POSTGRES;
  await sql(url, `DROP TABLE IF EXISTS ${TABLES}`);
  return url;
}

/** Return the rows of a statement on an inbox's database. */
export async function sql(url, statement) {
  if (!url.startsWith("sqlite:")) {
    const client = new pg.Client(url);
    await client.connect();
    try {
      return (await client.query(statement)).rows;
    } finally {
      await client.end();
    }
  }
  const database = await openSqlite(url.slice("sqlite:///".length));
  try {
    const prepared = database.prepare(statement);
    return /^\s*select/i.test(statement) ? prepared.all() : prepared.run();
  } finally {
    database.close();
  }
}

async function openSqlite(path) {
  try {
    return new (await import("node:sqlite")).DatabaseSync(path, { timeout: 3000 });
  } catch (error) {
    if (error.code !== "ERR_UNKNOWN_BUILTIN_MODULE") throw error;
    return new (await import("better-sqlite3")).default(path, { timeout: 3000 });
  }
}

/** Return once the condition holds. */
export async function until(condition, what = "the condition", limitMs = 15_000) {
  const deadline = Date.now() + limitMs;
  for (;;) {
    const told = await condition();
    if (told === true) return;
    if (Date.now() > deadline) throw new Error(`${what} did not come true: ${JSON.stringify(told)}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
