// Invokes lambda.js on this machine as API Gateway's HTTP API does, and once a second as a schedule does.
//
// cd examples/node && npm ci && ESIMHOOKS_WEBHOOK_SECRET=whsec_... ESIMHOOKS_INBOX=sqlite:///inbox.db node lambda_local.js

import { createServer } from "node:http";
import { env } from "node:process";
import { buffer } from "node:stream/consumers";

import { handler } from "./lambda.js";

const server = createServer(async (request, response) => {
  const body = (await buffer(request)).toString("base64");
  const requestContext = { http: { method: request.method } };
  const answer = await handler({ version: "2.0", headers: request.headers, body, isBase64Encoded: true, requestContext });
  response.writeHead(answer.statusCode, answer.headers).end(answer.body);
});
server.listen(Number(env.PORT ?? 3000), "127.0.0.1", () => {
  console.log(`listens on http://127.0.0.1:${server.address().port}`);
});
setInterval(() => handler({ source: "aws.events" }).catch(console.error), 1000);
