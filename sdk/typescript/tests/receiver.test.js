// `Receiver` on the ways into it, and through what an inbox goes through; what it does with events is in cases.test.js.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, statSync, unlinkSync } from "node:fs";
import { createServer, request as httpRequest } from "node:http";
import { createRequire } from "node:module";
import { connect, createServer as createRelay } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

import pg from "pg";

import { Webhook } from "esimhooks";
import { InboxUnavailable, openInbox, Receiver } from "esimhooks/receiver";

import { emptyInbox, KINDS, sql, until } from "./inboxes.js";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SILENT = { warn() {}, error() {} };
const BODY = JSON.stringify({ id: "evt_1", event: "esim.activated", sequence: 1, data: { id: "esim_1" } });
const signed = (body = BODY) => new Webhook(SECRET).sign(body, { id: "msg_1" });
const pathOf = (inbox) => inbox.slice("sqlite:///".length);

async function aReceiver(context, options = {}) {
  const inbox = options.inbox ?? (await emptyInbox(context, "sqlite"));
  const receiver = new Receiver({ secret: SECRET, log: SILENT, ...options, inbox });
  context.after(() => receiver.close({ withinSeconds: 1 }));
  return receiver;
}

/** Send until the receiver does not ask for it again, as a sender does, and return the status. */
async function accepted(receiver, body) {
  for (;;) {
    const { status } = await receiver.take(Buffer.from(body), await signed(body));
    if (status !== 503) return status;
  }
}

async function listening(context, listener) {
  const server = createServer(listener);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  context.after(() => (server.closeAllConnections(), server.close()));
  return `http://127.0.0.1:${server.address().port}/`;
}

/** Return the answer to a request over a socket; `pieces` are sent without a length. */
async function asked(url, { method = "POST", headers = {}, pieces = [] }) {
  const sent = httpRequest(url, { method, headers });
  sent.on("error", () => {}); // a receiver that has heard enough may hang up
  for (const piece of pieces) sent.write(piece);
  sent.end();
  const [answer] = await once(sent, "response");
  answer.resume();
  return { status: answer.statusCode, headers: answer.headers };
}

test("over a socket each request has its status", async (context) => {
  const receiver = await aReceiver(context, { maxBodyBytes: 5000 });
  const url = await listening(context, receiver.listener);
  const headers = await signed();

  assert.equal((await asked(url, { headers, pieces: [BODY.slice(0, 9), BODY.slice(9)] })).status, 200);
  assert.equal((await asked(url, { headers, pieces: [BODY, " "] })).status, 401);
  assert.equal((await asked(url, { headers: await signed("no json"), pieces: ["no json"] })).status, 400);
  assert.equal((await asked(url, { headers: { ...headers, "content-length": "5001" }, pieces: ["x".repeat(5001)] })).status, 413);
  assert.equal((await asked(url, { headers, pieces: ["x".repeat(5000), "x"] })).status, 413);
  const get = await asked(url, { method: "GET" });
  assert.deepEqual([get.status, get.headers.allow], [405, "POST"]);
});

test("an inbox that cannot be written asks the sender to come again", async (context) => {
  const folder = join(mkdtempSync(join(tmpdir(), "esimhooks-")), "missing", "inbox.db");
  const receiver = await aReceiver(context, { inbox: `sqlite:///${folder}` });
  const url = await listening(context, receiver.listener);

  const answer = await asked(url, { headers: await signed(), pieces: [BODY] });

  assert.deepEqual([answer.status, answer.headers["retry-after"]], [503, "30"]);
});

test("a log that cannot be written costs no outcome and no answer", async (context) => {
  const full = () => {
    throw new Error("no space left on device");
  };
  const retrying = { scheduleSeconds: [0] };
  const receiver = await aReceiver(context, { log: { warn: full, error: full }, retrying });
  receiver.on("*", () => {
    throw new Error("the mail server is down");
  });

  assert.equal((await receiver.take(Buffer.from("no json"), await signed("no json"))).status, 400);
  assert.equal((await receiver.take(Buffer.from(BODY), await signed())).status, 200);
  receiver.start();
  await until(async () => (await receiver.stats()).dead === 1);
});

test("a body that a framework has kept as bytes is taken, one that it has parsed away is its fault", async (context) => {
  const receiver = await aReceiver(context);
  const raw = await listening(context, async (request, response) => {
    for await (const piece of request) request.body = piece;
    receiver.listener(request, response);
  });
  const parsed = await listening(context, async (request, response) => {
    for await (const piece of request) request.body = JSON.parse(piece);
    receiver.listener(request, response);
  });
  const kept = await listening(context, async (request, response) => {
    for await (const piece of request) Object.assign(request, { rawBody: piece, body: JSON.parse(piece) });
    receiver.listener(request, response);
  });

  assert.equal((await asked(raw, { headers: await signed(), pieces: [BODY] })).status, 200);
  assert.equal((await asked(parsed, { headers: await signed(), pieces: [BODY] })).status, 500);
  assert.equal((await asked(kept, { headers: await signed(), pieces: [BODY] })).status, 200);
});

test("a request of the fetch API with too large a body is not read to its end", async (context) => {
  const receiver = await aReceiver(context, { maxBodyBytes: 5000 });
  let read = 0;
  const endless = new ReadableStream({ pull: (controller) => (read += 1, controller.enqueue(new Uint8Array(1000))) });

  const answer = await receiver.fetch(new Request("http://x/", { method: "POST", body: endless, duplex: "half" }));

  assert.equal(answer.status, 413);
  assert.ok(read < 20, String(read));
});

const encoded = Buffer.from(BODY).toString("base64");
const listed = (headers) => Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, [value]]));
for (const [platform, requestOf] of Object.entries({
  "an HTTP API": (headers) => ({ version: "2.0", headers, body: encoded, isBase64Encoded: true, requestContext: { http: { method: "POST" } } }),
  "a REST API": (headers) => ({ httpMethod: "POST", headers, multiValueHeaders: listed(headers), body: BODY, isBase64Encoded: false }),
  "a load balancer": (headers) => ({ httpMethod: "POST", headers, body: BODY, isBase64Encoded: false, requestContext: { elb: {} } }),
  "a REST API of a local emulator": (headers) => ({ httpMethod: "POST", headers, multiValueHeaders: {}, body: BODY, isBase64Encoded: false }),
  "a load balancer with lists": (headers) => ({ httpMethod: "POST", multiValueHeaders: listed(headers), body: BODY, isBase64Encoded: false }),
})) {
  test(`what ${platform} hands to Lambda is taken, and worked on by drain`, async (context) => {
    const receiver = await aReceiver(context);
    const ids = [];
    receiver.on("*", (event) => ids.push(event.id));

    assert.equal((await receiver.lambda(requestOf(await signed()))).statusCode, 200);
    assert.equal((await receiver.lambda({ ...requestOf(await signed()), body: "b3RoZXI=" })).statusCode, 401);
    assert.deepEqual(ids, []);
    const stats = await receiver.drain();

    assert.deepEqual([stats.done, ids], [1, ["evt_1"]]);
  });
}

for (const kind of KINDS) {
  test(`${kind}: a transactional handler cannot end its transaction, nor undo its event`, async (context) => {
    const inbox = await emptyInbox(context, kind);
    const receiver = await aReceiver(context, { inbox, retrying: { scheduleSeconds: [] } });
    await sql(inbox, "CREATE TABLE effects (id text)");
    for (const statement of ["COMMIT", " rollback", "BEGIN", "End;", "start  transaction"]) {
      receiver.transactional("*", (event, connection) => (connection.query ?? connection.exec)(statement), { name: statement });
    }
    receiver.transactional("*", (event, connection) => connection.close?.() ?? connection.end(), { name: "closes" });
    receiver.transactional("*", (event, connection) => (connection.query ?? connection.exec)("INSERT INTO effects VALUES ('x'); ROLLBACK"), { name: "hidden" });

    assert.equal((await receiver.take(Buffer.from(BODY), await signed())).status, 200);
    receiver.start(); // on a slow machine some are left for the background

    await until(async () => (await receiver.stats()).dead === 7, "the dead letters");
    assert.equal((await receiver.stats()).events, 1);
    assert.deepEqual(await sql(inbox, "SELECT * FROM effects"), []);
  });

  test(`${kind}: the mark that a handler has worked is written after an outage, and it is not called again`, async (context) => {
    const inbox = await emptyInbox(context, kind);
    const receiver = await aReceiver(context, { inbox, retrying: { leaseSeconds: 60 } });
    const ids = [];
    receiver.on("*", async (event) => {
      ids.push(event.id);
      await sql(inbox, "ALTER TABLE esimhooks_runs RENAME TO away");
    });

    await receiver.take(Buffer.from(BODY), await signed());
    receiver.start();
    await until(async () => (await sql(inbox, "SELECT state FROM away").catch(() => [])).length === 1, "the outage");
    await new Promise((resolve) => setTimeout(resolve, 500)); // some failed writes
    await sql(inbox, "ALTER TABLE away RENAME TO esimhooks_runs");

    await until(async () => (await receiver.stats()).done === 1, "the mark");
    assert.deepEqual(ids, ["evt_1"]);
  });

  test(`${kind}: an event that cannot be read is a dead letter and keeps no other waiting`, async (context) => {
    const inbox = await emptyInbox(context, kind);
    const receiver = await aReceiver(context, { inbox });
    const ids = [];
    receiver.on("*", (event) => void ids.push(event.id));
    await receiver.take(Buffer.from(BODY), await signed());
    await sql(inbox, "UPDATE esimhooks_inbox SET body = '?'");
    const other = BODY.replace("evt_1", "evt_2");
    await receiver.take(Buffer.from(other), await signed(other));

    await receiver.drain();

    assert.deepEqual(ids, ["evt_2"]);
    const [letter] = await receiver.inbox.deadLetters();
    assert.deepEqual([letter.event.id, /JSON/.test(letter.error)], ["evt_1", true]);
  });

  for (const ordered of [false, true]) {
    test(`${kind}: what only the commit refuses is a failed attempt of its handler, ordered: ${ordered}`, async (context) => {
      const inbox = await emptyInbox(context, kind);
      const receiver = await aReceiver(context, { inbox, retrying: { scheduleSeconds: [] } });
      await sql(inbox, "CREATE TABLE effects (id text PRIMARY KEY, parent text REFERENCES effects (id) DEFERRABLE INITIALLY DEFERRED)");
      const insert = (values) => (event, connection) => (connection.query ?? connection.exec)(`INSERT INTO effects VALUES (${values})`);
      receiver.transactional("*", insert("'orphan', 'nobody'"), { name: "orphan", ordered });
      receiver.transactional("*", insert("'other', NULL"), { name: "other", ordered });

      assert.equal((await receiver.take(Buffer.from(BODY), await signed())).status, 200);
      receiver.start();

      await until(async () => (await receiver.stats()).dead > 0, "the dead letter");
      const letters = await receiver.inbox.deadLetters();
      assert.equal(letters.find((one) => one.handler === "orphan").attempts, 1);
      assert.match(letters.find((one) => one.handler === "orphan").error, /foreign key/i);
      assert.deepEqual((await sql(inbox, "SELECT id FROM effects WHERE id = 'orphan'")), []);
    });
  }

  test(`${kind}: what came while a clock was ahead is worked on when it is right again`, async (context) => {
    let aheadMs = 86_400_000;
    const inbox = await emptyInbox(context, kind);
    const receiver = await aReceiver(context, { inbox, secret: new Webhook(SECRET), now: () => Date.now() + aheadMs });
    const ids = [];
    receiver.on("*", (event) => void ids.push(event.id), { name: "plain" });
    receiver.on("*", (event) => void ids.push(event.id), { name: "ordered", ordered: true });
    assert.equal((await receiver.take(Buffer.from(BODY), await signed())).status, 200);

    aheadMs = 0;
    receiver.start();

    await until(() => ids.length === 2, "the calls");
  });

  test(`${kind}: tables that somebody has dropped are made again`, async (context) => {
    const inbox = await emptyInbox(context, kind);
    const receiver = await aReceiver(context, { inbox });
    const ids = [];
    receiver.on("*", (event) => void ids.push(event.id));
    assert.equal((await receiver.take(Buffer.from(BODY), await signed())).status, 200);
    for (const table of ["runs", "inbox", "schema"]) await sql(inbox, `DROP TABLE esimhooks_${table}`);

    const other = BODY.replace("evt_1", "evt_2");
    await until(async () => (await receiver.take(Buffer.from(other), await signed(other))).status === 200, "the answer");
    await receiver.drain();

    assert.deepEqual(ids, ["evt_2"]);
  });

  test(`${kind}: tables of a later release are left alone`, async (context) => {
    const inbox = await emptyInbox(context, kind);
    await sql(inbox, "CREATE TABLE esimhooks_schema (version integer NOT NULL)");
    await sql(inbox, "INSERT INTO esimhooks_schema VALUES (99)");

    const opened = openInbox(inbox);
    context.after(() => opened.close());

    await assert.rejects(opened.stats(), (error) => error instanceof InboxUnavailable && /later release/.test(error.message));
  });

  test(`${kind}: a database that cannot store every letter is refused`, { skip: kind === "sqlite" }, async (context) => {
    const inbox = await emptyInbox(context, kind);
    await sql(inbox, "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0");
    context.after(() => sql(inbox, "DROP DATABASE latin WITH (FORCE)"));

    const opened = openInbox(inbox.replace(/\/[^/?]*(\?|$)/, "/latin$1"));

    await assert.rejects(opened.stats(), (error) => error instanceof InboxUnavailable && /LATIN1.*UTF8/.test(error.message));
    await opened.close();
  });

  test(`${kind}: what a receiver has claimed when it is closed is done or handed back`, async (context) => {
    const inbox = await emptyInbox(context, kind);
    const opened = openInbox(inbox);
    context.after(() => opened.close());
    const turn = () => (kind === "sqlite" ? null : new Promise(setImmediate));
    for (let turns = 0, calls = 0; turns < 40; turns += 1) {
      const receiver = await aReceiver(context, { inbox });
      receiver.on("*", () => (calls += 1), { name: "all" });
      const body = JSON.stringify({ id: `evt_${turns}`, event: "esim.created" });
      assert.equal(await accepted(receiver, body), 200);

      receiver.start();
      for (let passed = 0; passed < turns; passed += 1) await turn();
      await receiver.close();

      const { running, done } = await opened.stats();
      assert.deepEqual({ running, done }, { running: 0, done: calls }, `after ${turns} turns`);
    }
  });

  test(`${kind}: drain waits for what the worker has just claimed`, async (context) => {
    const receiver = await aReceiver(context, { inbox: await emptyInbox(context, kind) });
    receiver.on("*", () => undefined).start();
    for (let number = 1; number <= 30; number += 1) {
      const body = JSON.stringify({ id: `evt_${number}`, event: "esim.created" });
      assert.equal(await accepted(receiver, body), 200);

      assert.equal((await receiver.drain()).done, number);
    }
  });

  test(`${kind}: drain beside the worker has no more at work than there may be`, async (context) => {
    const receiver = await aReceiver(context, { inbox: await emptyInbox(context, kind), concurrency: 1 });
    let [atWork, most] = [0, 0];
    receiver.on("*", async () => {
      most = Math.max(most, (atWork += 1));
      await new Promise((resolve) => setTimeout(resolve, 30));
      atWork -= 1;
    });
    for (const id of ["evt_1", "evt_2", "evt_3"]) {
      assert.equal(await accepted(receiver, JSON.stringify({ id, event: "esim.created" })), 200);
    }

    receiver.start();
    const stats = await receiver.drain();

    assert.deepEqual([most, stats.done], [1, 3]);
  });

  test(`${kind}: one inbox in two receivers is worked off once`, async (context) => {
    const inbox = await emptyInbox(context, kind);
    const [one, other] = [await aReceiver(context, { inbox }), await aReceiver(context, { inbox })];
    const ids = [];
    for (const receiver of [one, other]) receiver.on("*", async (event) => void ids.push(event.id)).start();
    const bodies = Array.from({ length: 60 }, (_, number) => JSON.stringify({ id: `evt_${number}`, event: "esim.created" }));

    const taken = bodies.flatMap((body) => [one, other].map((receiver) => accepted(receiver, body)));
    const statuses = await Promise.all(taken);
    await until(async () => (await one.stats()).done === bodies.length, "all done");

    assert.deepEqual(new Set(statuses), new Set([200]));
    assert.equal(new Set(ids).size, ids.length);
  });
}

test("what PostgreSQL has cut off is opened again", { skip: !KINDS.includes("postgresql") }, async (context) => {
  const inbox = await emptyInbox(context, "postgresql");
  const receiver = await aReceiver(context, { inbox });
  await receiver.stats();
  await sql(inbox, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'esimhooks-receiver'");

  assert.equal((await receiver.take(Buffer.from(BODY), await signed())).status, 200);
});

test("PostgreSQL's own defaults for transactions refuse no event", { skip: !KINDS.includes("postgresql") }, async (context) => {
  const url = await emptyInbox(context, "postgresql");
  const options = encodeURIComponent("-c default_transaction_isolation=serializable -c default_transaction_read_only=on");
  const receiver = await aReceiver(context, { inbox: `${url}${url.includes("?") ? "&" : "?"}options=${options}` });
  const found = [];
  receiver.transactional("*", async (event, connection) => found.push(...(await connection.query("SHOW transaction_isolation")).rows));

  assert.equal((await receiver.take(Buffer.from(BODY), await signed())).status, 200);

  assert.deepEqual(found, [{ transaction_isolation: "read committed" }]);
});

test("the file of an inbox is nobody else's to read", async (context) => {
  const inbox = await emptyInbox(context, "sqlite");
  const receiver = await aReceiver(context, { inbox });
  await receiver.stats();

  assert.equal(statSync(pathOf(inbox)).mode & 0o777, 0o600);
});

test("what comes while other processes look at the inbox is not lost", async (context) => {
  const inbox = await emptyInbox(context, "sqlite");
  const receiver = await aReceiver(context, { inbox });
  await receiver.take(new TextEncoder().encode(BODY), await signed());
  await receiver.stats(); // now one connection writes and another one reads

  for (const number of [2, 3]) {
    assert.equal(await countElsewhere(inbox), number - 1);
    const body = BODY.replace("evt_1", `evt_${number}`);
    const headers = await new Webhook(SECRET).sign(body, { id: `evt_${number}` });
    assert.equal((await receiver.take(new TextEncoder().encode(body), headers)).status, 200);
  }

  assert.equal(await countElsewhere(inbox), 3);
});

/** Return how many events another process, as that of the Python package, finds that opens the inbox and leaves it again. */
async function countElsewhere(inbox) {
  const script = `
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
print(connection.execute("SELECT count(*) FROM esimhooks_inbox").fetchone()[0])
connection.close()`;
  const { stdout } = await promisify(execFile)("python3", ["-c", script, pathOf(inbox)]);
  return Number(stdout);
}

test("a transactional handler that could not be called has lost no process", async (context) => {
  const inbox = await emptyInbox(context, "sqlite");
  const log = { warnings: 0, warn: () => (log.warnings += 1), error() {} };
  const receiver = await aReceiver(context, { inbox, log, retrying: { leaseSeconds: 600 } });
  let calls = 0;
  receiver.transactional("*", () => void (calls += 1), { name: "ordered", ordered: true });
  assert.equal((await receiver.take(Buffer.from(BODY), await signed())).status, 200);
  const busy = "BEFORE UPDATE OF lease ON esimhooks_runs WHEN NEW.lease = OLD.lease BEGIN SELECT RAISE(ABORT, 'busy'); END";
  await sql(inbox, `CREATE TRIGGER busy ${busy}`);

  receiver.start();
  await until(() => log.warnings > 0, "the failure");
  await sql(inbox, "DROP TRIGGER busy");

  await until(() => calls === 1, "the call");
  await until(async () => (await receiver.stats()).done === 1, "the mark");
  assert.deepEqual((await sql(inbox, "SELECT lost_leases FROM esimhooks_runs")).map((one) => one.lost_leases), [0]);
});

test("what comes after an inbox was deleted is kept in a new one", async (context) => {
  const inbox = await emptyInbox(context, "sqlite");
  const receiver = await aReceiver(context, { inbox });
  await receiver.take(Buffer.from(BODY), await signed());
  await receiver.stats();
  const folder = dirname(pathOf(inbox));
  for (const name of readdirSync(folder)) unlinkSync(join(folder, name));

  const other = BODY.replace("evt_1", "evt_2");
  assert.equal((await receiver.take(Buffer.from(other), await signed(other))).status, 200);

  assert.equal(await countElsewhere(inbox), 1);
  assert.equal((await receiver.stats()).events, 1);
});

test("an inbox stays where it was when the process goes to another folder", async (context) => {
  const [here, folder, before] = [dirname(pathOf(await emptyInbox(context, "sqlite"))), mkdtempSync(join(tmpdir(), "esimhooks-cwd-")), process.cwd()];
  process.chdir(here);
  const receiver = await aReceiver(context, { inbox: "sqlite:///inbox.db" });
  process.chdir(folder);
  context.after(() => (process.chdir(before), rmSync(folder, { recursive: true })));

  assert.equal((await receiver.take(Buffer.from(BODY), await signed())).status, 200);

  assert.deepEqual([readdirSync(folder), readdirSync(here).includes("inbox.db")], [[], true]);
});

test("a handler may have all the time there is", async (context) => {
  const retrying = { handlerLimitSeconds: Infinity, transactionalLimitSeconds: Infinity, scheduleSeconds: [] };
  const receiver = await aReceiver(context, { retrying });
  const working = () => new Promise((resolve) => setTimeout(resolve, 20));
  receiver.on("*", working, { name: "plain" }).transactional("*", working, { name: "transactional" });

  assert.equal((await receiver.take(Buffer.from(BODY), await signed())).status, 200);
  const { done, dead } = await receiver.drain({ withinSeconds: Infinity });

  assert.deepEqual([done, dead], [2, 0]);
});

test("a handler that yields is refused, and one that returns a generator has failed", async (context) => {
  const receiver = await aReceiver(context, { retrying: { scheduleSeconds: [] } });
  function* yields() {}
  async function* yieldsLater() {}
  for (const handler of [yields, yieldsLater]) assert.throws(() => receiver.on("*", handler), /yield/);
  receiver.on("*", () => yields(), { name: "plain" }).on("*", async () => yieldsLater(), { name: "async" });
  receiver.transactional("*", () => yields(), { name: "transactional" });

  assert.equal((await receiver.take(Buffer.from(BODY), await signed())).status, 200);
  await receiver.drain();

  const letters = await receiver.inbox.deadLetters();
  assert.deepEqual(letters.map((one) => one.handler).sort(), ["async", "plain", "transactional"]);
});

test("an inbox that is no URL of one is refused at once", () => {
  for (const inbox of ["inbox.db", "sqlite:///:memory:", "sqlite://inbox.db", "mysql://x/y"]) {
    assert.throws(() => new Receiver({ secret: SECRET, inbox }), TypeError, inbox);
  }
});

test("two handlers of the same events need names", () => {
  const receiver = new Receiver({ secret: SECRET, inbox: "sqlite:///x.db" });
  receiver.on("esim.activated", () => {});

  assert.throws(() => receiver.on("esim.activated", () => {}), /give this one a name/);
  receiver.on("esim.activated", () => {}, { name: "second" });
});

test("both entries can be required", () => {
  const required = createRequire(import.meta.url);

  assert.equal(new (required("esimhooks").Webhook)(SECRET) instanceof required("esimhooks").Webhook, true);
  assert.ok(new (required("esimhooks/receiver").Receiver)({ secret: SECRET, inbox: "sqlite:///x.db" }));
});

/** Return the URL of a server behind a relay that can stop to pass anything on, as a frozen server does. */
async function freezable(context, url) {
  const { host, port, user, database } = new pg.Client(url).connectionParameters;
  const folder = mkdtempSync(join(tmpdir(), "esimhooks-relay-"));
  const sockets = new Set();
  const relay = createRelay((near) => {
    const far = connect(host.startsWith("/") ? { path: `${host}/.s.PGSQL.${port}` } : { host, port });
    near.pipe(far).pipe(near);
    for (const socket of [near, far]) sockets.add(socket.on("error", () => {}));
  });
  relay.listen(join(folder, ".s.PGSQL.5432"));
  await once(relay, "listening");
  context.after(() => (sockets.forEach((socket) => socket.destroy()), relay.close()));
  const freeze = () => sockets.forEach((socket) => socket.unpipe().pause());
  return { inbox: `postgresql://${user}@/${database}?host=${folder}`, freeze };
}

test("a PostgreSQL that does not answer at all asks the sender to come again in time", { skip: !KINDS.includes("postgresql") }, async (context) => {
  const { inbox, freeze } = await freezable(context, await emptyInbox(context, "postgresql"));
  const warned = [];
  const receiver = await aReceiver(context, { inbox, log: { ...SILENT, warn: (message) => warned.push(message) } });
  const bodies = [1, 2, 3].map((number) => JSON.stringify({ ...JSON.parse(BODY), id: `evt_${number}` }));
  const posted = async (body) => (await receiver.take(Buffer.from(body), await signed(body))).status;
  assert.deepEqual(await Promise.all(bodies.map(posted)), [200, 200, 200]);
  freeze();

  assert.equal(await posted(JSON.stringify({ ...JSON.parse(BODY), id: "evt_4" })), 503);
  assert.deepEqual(warned, ["could not store an event: it does not answer"]);
});
