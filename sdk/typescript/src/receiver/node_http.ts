// The receiver for node:http, and for everything that hands its requests on: Express, Nest, Fastify's raw requests.

import type { IncomingMessage, ServerResponse } from "node:http";

import type { Answer, Intake } from "./intake.js";

/** A request of node:http; frameworks may have read its body already. */
export type NodeRequest = IncomingMessage & { body?: unknown; rawBody?: unknown };

/** Answer one request; nothing is answered to a client that goes away while sending. */
export async function serve(
  request: NodeRequest,
  response: ServerResponse,
  intake: Intake,
  take: Intake["take"],
): Promise<void> {
  const early = intake.refuseUnread(request.method, request.headers["content-length"]);
  const body = early ?? (await bodyOf(request, intake));
  if (body === undefined) return;
  send(request, response, body instanceof Uint8Array ? await take(body, request.headers) : body);
}

/** Return the raw body, the answer to a request that has none, or undefined where the client went away. */
async function bodyOf(request: NodeRequest, intake: Intake): Promise<Uint8Array | Answer | undefined> {
  for (const kept of [request.rawBody, request.body]) {
    if (kept instanceof Uint8Array) return kept;
  }
  if (request.readableDidRead || request.readableEnded) return intake.bodyIsGone();
  const pieces: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const piece of request.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>) {
      size += piece.length;
      if (size > intake.maxBodyBytes) return intake.tooLarge();
      pieces.push(piece);
    }
  } catch {
    return undefined;
  }
  return Buffer.concat(pieces);
}

function send(request: NodeRequest, response: ServerResponse, answer: Answer): void {
  const unread = !request.readableEnded;
  const headers = { ...answer.headers, "content-length": String(Buffer.byteLength(answer.body)) };
  response.writeHead(answer.status, unread ? { ...headers, connection: "close" } : headers);
  response.end(answer.body);
}
