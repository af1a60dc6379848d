export { InvalidSecretError, type VerificationFailure, WebhookVerificationError } from "./errors.js";
export { isEsimEvent, type Message, type UnknownEvent } from "./event.js";
export * from "./events.js";
export type { HeadersLike } from "./headers.js";
export { type Body, Webhook, type WebhookOptions } from "./webhook.js";
