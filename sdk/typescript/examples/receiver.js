// A receiver on node:http: verifies, answers, prints what happened.
//
// npm run build && ESIMHOOKS_WEBHOOK_SECRET=whsec_... node examples/receiver.js

import { createServer } from "node:http";
import { buffer } from "node:stream/consumers";

import { Webhook, WebhookVerificationError } from "esimhooks";

const MAX_BODY_BYTES = 262_144;
const webhook = new Webhook(process.env.ESIMHOOKS_WEBHOOK_SECRET);

async function answer(request) {
  if (request.method !== "POST") return 405;
  if (Number(request.headers["content-length"]) > MAX_BODY_BYTES) return 413;
  try {
    const event = await webhook.verify(await buffer(request), request.headers);
    console.log(`${event.event} ${event.data.id}`); // in earnest: store it here, and work on it after the answer
    return 200;
  } catch (error) {
    if (error instanceof WebhookVerificationError) return 401;
    throw error;
  }
}

const server = createServer(async (request, response) => {
  response.statusCode = await answer(request).catch(() => 500);
  response.end();
});
server.listen(Number(process.env.PORT ?? 3000), "127.0.0.1", () => {
  console.log(`listens on http://127.0.0.1:${server.address().port}`);
});
