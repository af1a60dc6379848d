export { InboxUnavailable } from "./errors.js";
export type { AnyEvent, Attempt, HandlerOptions } from "./handlers.js";
export { type Chosen, type DeadLetter, Inbox, type InboxStats, openInbox } from "./inbox.js";
export type { Answer } from "./intake.js";
export type { LambdaRequest, LambdaResponse } from "./lambda.js";
export { Receiver, type ReceiverOptions } from "./receiver.js";
export type { Retrying } from "./retrying.js";
export type { Log } from "./worker.js";
