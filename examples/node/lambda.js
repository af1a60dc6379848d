// Webhooks on AWS Lambda, behind API Gateway, a load balancer or a function URL.
//
// Nothing runs between invocations. So a request is verified, stored and answered, and a schedule (EventBridge,
// `rate(1 minute)`) invokes the same function to run the handlers. What must happen before the answer belongs in a
// transactional handler. The inbox is PostgreSQL: a function has no persistent disk.

import { env } from "node:process";

import { Receiver } from "esimhooks/receiver";

const receiver = new Receiver({
  secret: env.ESIMHOOKS_WEBHOOK_SECRET,
  inbox: env.ESIMHOOKS_INBOX,
  maxBodyBytes: 262_144,
});
receiver.on("esim.activated", (event) => console.log(`${event.event} ${event.data.id}`));

export async function handler(event) {
  if (event.source === "aws.events") return receiver.drain({ withinSeconds: 50 });
  return receiver.lambda(event);
}
