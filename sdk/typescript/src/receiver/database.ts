// The database that the URL of an inbox names.

import { PostgresDatabase } from "./postgres.js";
import type { Database } from "./session.js";
import { SqliteDatabase } from "./sqlite.js";

/** Return the database of a URL; nothing is opened yet. Throws `TypeError` for other URLs. */
export function databaseOf(url: string): Database {
  const [scheme, rest] = url.split("://", 2);
  if (scheme === "sqlite" && rest !== undefined) {
    const path = rest.slice(1);
    if (!rest.startsWith("/") || path === "" || path === ":memory:" || path.includes("?")) {
      throw new TypeError("expected sqlite:///relative.db or sqlite:////absolute.db: an inbox is a file");
    }
    return new SqliteDatabase(path);
  }
  if (scheme === "postgresql" || scheme === "postgres") return new PostgresDatabase(url);
  throw new TypeError("expected an inbox like sqlite:///inbox.db or postgresql://user@host/database");
}
