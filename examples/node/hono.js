// Webhooks in a Hono application, stored in an inbox and processed after the answer.
//
// cd examples/node && npm ci && ESIMHOOKS_WEBHOOK_SECRET=whsec_... node hono.js

import { env } from "node:process";

import { serve } from "@hono/node-server";
import { Receiver } from "esimhooks/receiver";
import { Hono } from "hono";

const receiver = new Receiver({
  secret: env.ESIMHOOKS_WEBHOOK_SECRET,
  inbox: env.ESIMHOOKS_INBOX ?? "sqlite:///inbox.db",
  maxBodyBytes: 262_144,
});
receiver.on("esim.activated", (event) => console.log(`${event.event} ${event.data.id}`));
receiver.start();

const app = new Hono();
app.all("/webhooks/esim", (context) => receiver.fetch(context.req.raw));

const server = serve({ fetch: app.fetch, hostname: "127.0.0.1", port: Number(env.PORT ?? 3000) }, ({ port }) => {
  console.log(`listens on http://127.0.0.1:${port}`);
});
process.once("SIGTERM", () => server.close(() => receiver.close()));
