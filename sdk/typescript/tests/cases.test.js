// The cases that the Python package passes too: tests/receiver_cases, whose README says what their words mean.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { Webhook } from "esimhooks";
import { Receiver } from "esimhooks/receiver";

import { emptyInbox, KINDS, sql, until } from "./inboxes.js";

const CASES = JSON.parse(readFileSync(new URL("../../../tests/receiver_cases/cases.json", import.meta.url), "utf8"));
const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYob7oTUN";
const SILENT = { warn() {}, error() {} };

const THROWN = {
  error: () => new Error("the mail server is down"),
  empty: () => new Error(),
  cancelled: () => AbortSignal.abort().reason,
  exit: () => "exit",
  nothing: () => undefined,
  unreadable: () => Object.defineProperty(new Error(), "message", { get: () => assert.fail("unreadable") }),
  unstorable: () => new Error("a \0 and a \ud800"),
};

class Running {
  calls = {};
  skippedMs = 0;

  constructor(inbox, { handlers, retrying = {} }) {
    this.inbox = inbox;
    this.handlers = handlers;
    const { schedule = [], gap_wait, handler_limit, transactional_limit } = retrying;
    this.retrying = { scheduleSeconds: schedule };
    if (gap_wait !== undefined) this.retrying.gapWaitSeconds = gap_wait;
    if (handler_limit !== undefined) this.retrying.handlerLimitSeconds = handler_limit;
    if (transactional_limit !== undefined) this.retrying.transactionalLimitSeconds = transactional_limit;
    this.startedAt = Date.now();
    for (const handler of handlers) this.calls[handler.name] = [];
  }

  now = () => this.startedAt + this.skippedMs;

  start() {
    const { inbox, retrying, now } = this;
    this.receiver = new Receiver({ secret: SECRET, inbox, retrying, now, log: SILENT });
    for (const handler of this.handlers) this.register(handler);
    this.receiver.start();
  }

  register({ name, events = ["*"], kind = "plain", ordered = false, does = ["returns"] }) {
    const calls = this.calls[name];
    const act = (event) => {
      calls.push(event.id);
      const deed = does[Math.min(calls.length, does.length) - 1];
      if (deed === "hangs") return new Promise(() => {});
      if (deed !== "returns") throw THROWN[deed]();
      return undefined;
    };
    if (kind === "transactional") {
      const effect = async (event, connection) => {
        const insert = `INSERT INTO effects VALUES ('${event.id}')`;
        await (connection.exec ? connection.exec(insert) : connection.query(insert));
        return act(event);
      };
      this.receiver.transactional(events, effect, { name, ordered });
    } else {
      this.receiver.on(events, kind === "async" ? async (event) => act(event) : act, { name, ordered });
    }
  }

  async send({ body, forged, id, event = "esim.activated", sequence, esim = "esim_1" }) {
    const raw = body ?? JSON.stringify({ id, event, sequence, mode: "test", data: { id: esim } });
    const webhook = new Webhook(forged ? OTHER : SECRET, { now: this.now });
    const headers = await webhook.sign(raw, { id: "msg_1" });
    return (await this.receiver.fetch(new Request("http://x/", { method: "POST", body: raw, headers }))).status;
  }
}

const STEPS = {
  async send(running, wanted, step) {
    assert.equal(await running.send({ ...wanted, forged: step.forged }), step.answers);
  },
  async until(running, wanted, { and }) {
    const counts = async () => {
      const stats = await running.receiver.stats();
      const fits = Object.entries(wanted).every(([name, count]) => stats[name] === count);
      const called = Object.entries(and?.calls ?? {}).every(([name, ids]) => running.calls[name].length === ids.length);
      return (fits && called) || stats;
    };
    await until(counts, JSON.stringify(wanted));
  },
  calls(running, wanted) {
    for (const [name, ids] of Object.entries(wanted)) assert.deepEqual(running.calls[name], ids, name);
  },
  async effects(running, wanted) {
    const rows = await sql(running.inbox, "SELECT id FROM effects ORDER BY id");
    assert.deepEqual(rows.map((row) => row.id), wanted);
  },
  async dead(running, wanted) {
    const letters = await running.receiver.inbox.deadLetters();
    const told = letters.map(({ event, handler, attempts }) => ({ id: event.id, handler, attempts }));
    assert.deepEqual(told, wanted.map(({ error, ...rest }) => rest));
    for (const [number, { error }] of wanted.entries()) assert.ok(letters[number].error.includes(error), letters[number].error);
  },
  later(running, seconds) {
    running.skippedMs += seconds * 1000;
  },
  async restart(running) {
    await running.receiver.close();
    running.start();
  },
  async retry(running, count) {
    assert.equal(await running.receiver.inbox.retry(), count);
  },
  async discard(running, count) {
    assert.equal(await running.receiver.inbox.discard(), count);
  },
  async prune(running, count) {
    assert.equal(await running.receiver.inbox.prune(), count);
  },
};

for (const kind of KINDS) {
  for (const one of CASES) {
    test(`${kind}: ${one.name}`, { timeout: 30_000 }, async (context) => {
      const running = new Running(await emptyInbox(context, kind), one);
      await sql(running.inbox, "CREATE TABLE effects (id text)");
      running.start();
      try {
        for (const step of one.steps) {
          const [name] = Object.keys(step);
          await STEPS[name](running, step[name], step);
        }
      } finally {
        await running.receiver.close({ withinSeconds: 1 });
      }
    });
  }
}
