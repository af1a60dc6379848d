// One event: the body of a verified request comes in, what it tells goes out. Nothing is verified here.

import { WebhookVerificationError } from "./errors.js";
import { EVENT_TYPES, type EsimData, type EsimEvent } from "./events.js";

const MAX_ID_CHARACTERS = 255;

/** What no database can keep as text: NUL, and halves of a surrogate pair. */
export const NOT_STORABLE = /[\0\p{Surrogate}]/u;

/** An event of a type that this release does not know: a newer sender, or another Standard Webhooks sender. */
export interface UnknownEvent {
  id: string;
  event: string;
  timestamp: string;
  data: EsimData | Record<string, unknown>;
  [field: string]: unknown;
}

/** A verified request, its body untouched. `id` is empty where it is not signed. */
export interface Message {
  readonly id: string;
  readonly sentAt: Date;
  readonly body: Uint8Array;
}

/** Whether the event is one of the eight that this release knows; narrows its type. */
export function isEsimEvent(event: EsimEvent | UnknownEvent): event is EsimEvent {
  return (EVENT_TYPES as readonly string[]).includes(event.event);
}

/** Return the event that a verified body tells. Throws `WebhookVerificationError`. */
export function eventOf(message: Message): EsimEvent | UnknownEvent {
  const payload = jsonOf(message.body);
  if (!isObject(payload)) throw new WebhookVerificationError("not_an_event", "the body is JSON, but no object");
  const ours = textOf(payload["event"]);
  const event = ours ?? textOf(payload["type"]);
  const id = (ours === undefined ? undefined : textOf(payload["id"])) ?? message.id;
  if (event === undefined || id === "" || id.length > MAX_ID_CHARACTERS || NOT_STORABLE.test(event + id)) {
    throw new WebhookVerificationError("not_an_event", "the body does not say which event it is");
  }
  const timestamp = textOf(payload["timestamp"]) ?? message.sentAt.toISOString();
  return { ...payload, id, event, timestamp, data: isObject(payload["data"]) ? payload["data"] : {} };
}

function jsonOf(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(body));
  } catch {
    throw new WebhookVerificationError("body_not_json", "the body is not JSON");
  }
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
