// The receiver for the fetch API's requests: Next, Hono, SvelteKit, Remix, Deno and Bun.

import type { Answer, Intake } from "./intake.js";

/** Answer one request. */
export async function serve(request: Request, intake: Intake, take: Intake["take"]): Promise<Response> {
  const early = intake.refuseUnread(request.method, request.headers.get("content-length"));
  if (early) return responseOf(early);
  if (request.bodyUsed) return responseOf(intake.bodyIsGone());
  const body = await bodyOf(request, intake.maxBodyBytes);
  return responseOf(body ? await take(body, request.headers) : intake.tooLarge());
}

/** Return the body, undefined where it is larger than allowed. */
async function bodyOf(request: Request, maxBytes: number): Promise<Uint8Array | undefined> {
  const reader = request.body?.getReader();
  const pieces: Uint8Array[] = [];
  for (let size = 0; reader; ) {
    const { done, value } = await reader.read();
    if (done) break;
    size += value.length;
    if (size > maxBytes) {
      await reader.cancel();
      return undefined;
    }
    pieces.push(value);
  }
  return Buffer.concat(pieces);
}

function responseOf(answer: Answer): Response {
  return new Response(answer.body, { status: answer.status, headers: answer.headers });
}
