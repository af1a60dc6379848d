// Webhooks in an Express application, stored in an inbox and processed after the answer.
//
// cd examples/node && npm ci && ESIMHOOKS_WEBHOOK_SECRET=whsec_... node express.js

import { env } from "node:process";

import { Receiver } from "esimhooks/receiver";
import express from "express";

const receiver = new Receiver({
  secret: env.ESIMHOOKS_WEBHOOK_SECRET,
  inbox: env.ESIMHOOKS_INBOX ?? "sqlite:///inbox.db",
  maxBodyBytes: 262_144,
});
receiver.on("esim.activated", (event) => console.log(`${event.event} ${event.data.id}`));
receiver.start(); // what a crash has left is taken up at once, not with the first request

const app = express();
app.use("/webhooks/esim", receiver.listener); // in front of express.json(): what is verified are the bytes as they came
app.use(express.json());

const server = app.listen(Number(env.PORT ?? 3000), "127.0.0.1", () => {
  console.log(`listens on http://127.0.0.1:${server.address().port}`);
});
process.once("SIGTERM", () => server.close(() => receiver.close()));
