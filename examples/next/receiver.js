// Webhooks in a Next application, stored in an inbox and processed after the answer.
//
// cd examples/next && npm ci && npx next build && \
//   ESIMHOOKS_WEBHOOK_SECRET=whsec_... ESIMHOOKS_INBOX=postgresql://... npx next start

import { env } from "node:process";

import { Receiver } from "esimhooks/receiver";

function made() {
  const receiver = new Receiver({
    secret: env.ESIMHOOKS_WEBHOOK_SECRET,
    inbox: env.ESIMHOOKS_INBOX, // postgresql://..., by the package pg
    maxBodyBytes: 262_144,
  });
  return receiver.on("esim.activated", (event) => console.log(`${event.event} ${event.data.id}`));
}

// Next loads a module once per bundle: they share one receiver. It is created at the first use, because a build
// has no secret.
export const receiver = {
  fetch: (request) => (globalThis.esimhooksReceiver ??= made()).fetch(request),
  start: () => (globalThis.esimhooksReceiver ??= made()).start(),
};
