export { InvalidSecretError, type VerificationFailure, WebhookVerificationError } from "./errors.js";
export * from "./events.js";
export type { HeadersLike } from "./headers.js";
export { type Body, isEsimEvent, type Message, type UnknownEvent, Webhook, type WebhookOptions } from "./webhook.js";
