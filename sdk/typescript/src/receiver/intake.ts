// One request: verified, stored, answered. What all frameworks have in common.
//
// Method, headers and raw body come in, status and body of the answer go out; 200 means committed to disk.

import { WebhookVerificationError } from "../errors.js";
import type { HeadersLike } from "../headers.js";
import type { Webhook } from "../webhook.js";
import { InboxUnavailable } from "./errors.js";
import type { Handlers } from "./handlers.js";
import type { Runs } from "./runs.js";
import { withinMs } from "./session.js";
import type { Log } from "./worker.js";

const RETRY_AFTER_SECONDS = 30;
const NO_FAULT_OF_THE_KEY = new Set(["body_not_bytes", "body_not_json", "not_an_event"]);

/** What the sender is answered; `body` is JSON. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** What is the same for all requests of one receiver. */
export interface IntakeOptions {
  readonly maxBodyBytes: number;
  readonly log: Log;
  /** Returns Unix seconds. */
  readonly now: () => number;
  /** From a request to its answer: senders give a receiver five seconds in all. */
  readonly answerWithinMs: number;
}

/** Takes the requests of one receiver. */
export class Intake {
  readonly maxBodyBytes: number;
  readonly #webhook: Webhook;
  readonly #runs: Runs;
  readonly #handlers: Handlers;
  readonly #log: Log;
  readonly #now: () => number;
  readonly #answerWithinMs: number;

  constructor(webhook: Webhook, runs: Runs, handlers: Handlers, options: IntakeOptions) {
    this.maxBodyBytes = options.maxBodyBytes;
    this.#webhook = webhook;
    this.#runs = runs;
    this.#handlers = handlers;
    this.#log = options.log;
    this.#now = options.now;
    this.#answerWithinMs = options.answerWithinMs;
  }

  /** Return the answer to a request whose body need not be read, undefined where it must be. */
  refuseUnread(method: string | undefined, contentLength: string | null | undefined): Answer | undefined {
    if (method !== "POST") return refused(405, "method_not_allowed", "webhooks are sent with POST", { allow: "POST" });
    if (contentLength && !/^[0-9]+$/.test(contentLength)) {
      return refused(400, "malformed_header", "content-length is not a number");
    }
    return Number(contentLength ?? 0) > this.maxBodyBytes ? this.tooLarge() : undefined;
  }

  tooLarge(): Answer {
    return refused(413, "body_too_large", `a body may have ${this.maxBodyBytes} bytes`);
  }

  /** The application has taken the body away: its fault, not the sender's. */
  bodyIsGone(): Answer {
    const detail = "the body was parsed before it was verified: mount the receiver in front of body parsers";
    this.#log.error(`esimhooks: ${detail}`);
    return refused(500, "body_not_bytes", detail);
  }

  /** Verify, store and commit one event, then answer. */
  async take(body: Uint8Array, headers: HeadersLike): Promise<Answer> {
    if (body.length > this.maxBodyBytes) return this.tooLarge();
    try {
      const event = await this.#webhook.verify(body, headers);
      const keepOrder = this.#handlers.anyOrdered;
      const storing = this.#runs.store({ event, body }, this.#handlers.wanting(event), this.#now(), keepOrder);
      if (!(await withinMs(storing, this.#answerWithinMs))) throw new InboxUnavailable("it does not answer");
      const isNew = await storing;
      return answer(200, { id: event.id, duplicate: !isNew });
    } catch (error) {
      return this.#refusal(error);
    }
  }

  #refusal(error: unknown): Answer {
    if (error instanceof WebhookVerificationError) {
      this.#log.warn(`refused a request: ${error.message} (${error.reason})`);
      return refused(NO_FAULT_OF_THE_KEY.has(error.reason) ? 400 : 401, error.reason, error.message);
    }
    if (!(error instanceof InboxUnavailable)) throw error;
    this.#log.warn(`could not store an event: ${error.message}`);
    const retryAfter = { "retry-after": String(RETRY_AFTER_SECONDS) };
    return refused(503, "inbox_unavailable", "the event could not be stored; send it again", retryAfter);
  }
}

function refused(status: number, error: string, detail: string, more: Record<string, string> = {}): Answer {
  return answer(status, { error, detail }, more);
}

function answer(status: number, content: object, more: Record<string, string> = {}): Answer {
  return { status, headers: { "content-type": "application/json", ...more }, body: JSON.stringify(content) };
}
