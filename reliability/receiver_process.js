// The receiver for Node that receiver_kills.py kills: one handler with an effect in the inbox's database, one in a file.
//
// node reliability/receiver_process.js INBOX PORT JOURNAL, after `npm run build` in sdk/typescript

import { openSync, writeSync } from "node:fs";
import { createServer } from "node:http";

import { Receiver } from "../sdk/typescript/dist/esm/receiver/index.js";

const SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const LEASE_SECONDS = 2;

const [inbox, port, journal] = process.argv.slice(2);
const written = openSync(journal, "a");
const receiver = new Receiver({ secret: SECRET, inbox, retrying: { leaseSeconds: LEASE_SECONDS } });

receiver.transactional("*", async (event, connection) => {
  const insert = `INSERT INTO effects VALUES ('${event.id}')`;
  await (inbox.startsWith("sqlite:") ? connection.exec(insert) : connection.query(insert));
}, { name: "database" });
receiver.on("*", (event) => writeSync(written, `${event.id} ${Date.now() / 1000}\n`), { name: "file" });
receiver.start();

createServer(receiver.listener).listen(Number(port), "127.0.0.1");
