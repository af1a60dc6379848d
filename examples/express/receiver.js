// Webhooks in an Express application, verified with the public package `standardwebhooks`.
//
// cd examples/express && npm ci && ESIMHOOKS_WEBHOOK_SECRET=whsec_... node receiver.js

import { link, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { env } from "node:process";

import express from "express";
import { Webhook, WebhookVerificationError } from "standardwebhooks";

const webhook = new Webhook(env.ESIMHOOKS_WEBHOOK_SECRET);
const inbox = env.INBOX_FOLDER ?? "inbox";
await mkdir(inbox, { recursive: true });

/**
 * Store an event before answering; false if it arrived before. Here as a file named by its id, flushed to disk before it
 * gets that name. With a database: INSERT ... ON CONFLICT DO NOTHING, the id as primary key.
 */
async function keep(id, body) {
  const file = join(inbox, encodeURIComponent(id));
  const draft = `${file}.${crypto.randomUUID()}`;
  await writeFile(draft, body, { flush: true });
  try {
    await link(draft, file);
    return true;
  } catch (error) {
    if (error.code === "EEXIST") return false;
    throw error;
  } finally {
    await rm(draft);
  }
}

/** Do something with an event, after the answer. */
function work(event) {
  if (event.event === "esim.activated") console.log(`${event.event} ${event.data.id}`);
}

const app = express();

// express.raw keeps the raw body: verify bytes, never JSON that was parsed and serialised again.
app.post("/webhooks/esim", express.raw({ type: () => true, limit: "256kb" }), async (request, response) => {
  let event;
  try {
    event = webhook.verify(request.body, request.headers);
  } catch (error) {
    // A signed body that is not JSON raises a different error.
    const status = error instanceof WebhookVerificationError ? 401 : 400;
    return response.status(status).json({ error: error.message });
  }
  const isNew = await keep(request.headers["webhook-id"], request.body); // throws: 500, and the event comes again
  response.json({ duplicate: !isNew });
  if (isNew) work(event);
});
app.all("/webhooks/esim", (_request, response) => response.set("allow", "POST").status(405).end());

const server = app.listen(Number(env.PORT ?? 3000), "127.0.0.1", () => {
  console.log(`listens on http://127.0.0.1:${server.address().port}`);
});
