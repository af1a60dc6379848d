// What can go wrong while verifying, each with a word that programs can rely on: the same as in the Python package.

/** Why a request was not believed. These words do not change between releases. */
export type VerificationFailure =
  | "missing_header"
  | "malformed_header"
  | "timestamp_too_old"
  | "timestamp_too_new"
  | "no_matching_signature"
  | "body_not_bytes"
  | "body_not_json"
  | "not_an_event";

/** A request that must not be believed. `reason` is stable, the message is for people. */
export class WebhookVerificationError extends Error {
  override readonly name = "WebhookVerificationError";

  constructor(
    readonly reason: VerificationFailure,
    message: string,
  ) {
    super(message);
  }
}

/** A secret that is not `whsec_` or `whpk_` and standard base64 of a key. */
export class InvalidSecretError extends Error {
  override readonly name = "InvalidSecretError";
}
