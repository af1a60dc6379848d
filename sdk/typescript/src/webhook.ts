// `Webhook`: raw body and headers of a request come in, a verified event goes out. Everything is compared before
// anything is believed. Whether an event came before is not known here: keep the ids of those that you have worked on.

import { InvalidSecretError, WebhookVerificationError } from "./errors.js";
import { eventOf, type Message, type UnknownEvent } from "./event.js";
import type { EsimEvent } from "./events.js";
import { GivenHeaders, type HeadersLike } from "./headers.js";
import {
  type Bytes,
  fromBase64,
  fromHex,
  hmacKey,
  hmacOf,
  isHmac,
  secretsOf,
  verifyingKey,
  type VerifyingKey,
} from "./keys.js";

const TOLERANCE_SECONDS = 300;
const MAX_SIGNATURES = 64;
const HEX_PREFIX = "sha256=";

export interface WebhookOptions {
  /** For endpoints of the profile `hex`: the word in the headers' names, `X-<brand>-Signature`. */
  readonly brand?: string;
  /** How far the time of an attempt may be from now, both ways, in seconds. */
  readonly toleranceSeconds?: number;
  /** The present time, in milliseconds since 1970. */
  readonly now?: () => number;
}

export type Body = string | Uint8Array | ArrayBuffer;

/**
 * Verifies webhooks with one secret, or several during a rotation: `whsec_` secrets (`v1`), `whpk_` public keys (`v1a`).
 * With `brand` it verifies the profile `hex`, where the text of the secret is the key. Throws `InvalidSecretError`.
 */
export class Webhook {
  readonly #secrets: readonly string[];
  readonly #keys: readonly VerifyingKey[];
  readonly #hexKeys: readonly (() => Promise<CryptoKey>)[];
  readonly #brand: string;
  readonly #toleranceSeconds: number;
  readonly #now: () => number;

  constructor(secret: string | readonly string[], options: WebhookOptions = {}) {
    this.#secrets = secretsOf(secret);
    this.#brand = (options.brand ?? "").toLowerCase();
    this.#keys = this.#brand ? [] : this.#secrets.map(verifyingKey);
    this.#hexKeys = this.#brand ? this.#secrets.map((one) => hmacKey(utf8(one))) : [];
    this.#toleranceSeconds = options.toleranceSeconds ?? TOLERANCE_SECONDS;
    this.#now = options.now ?? Date.now;
  }

  /**
   * Return the event of a request whose signature, time and body are right. `body` is the raw body, as it came.
   * Rejects with `WebhookVerificationError`, whose `reason` says what is wrong, and with nothing else.
   */
  async verify(body: Body, headers: HeadersLike): Promise<EsimEvent | UnknownEvent> {
    return eventOf(await this.verifySignature(body, headers));
  }

  /** Return the message of a request whose signature and time are right; its body may be anything. */
  async verifySignature(body: Body, headers: HeadersLike): Promise<Message> {
    const raw = bytesOf(body);
    const given = new GivenHeaders(headers);
    const prefix = this.#brand ? `x-${this.#brand}-` : prefixOf(given);
    const timestamp = given.only(`${prefix}timestamp`);
    const signatures = given.all(`${prefix}signature`);
    if (signatures.length === 0) throw new WebhookVerificationError("missing_header", `${prefix}signature is missing`);
    const id = this.#brand ? "" : given.only(`${prefix}id`); // in the hex profile nobody has signed the id
    const right = this.#brand
      ? await this.#isHexSigned(signatures.join(" "), raw)
      : await this.#isSigned(signatures.join(" "), signedBytes(id, timestamp, raw));
    const sentAt = this.#inTime(timestamp, `${prefix}timestamp`);
    if (!right) {
      const decoded = this.#brand ? undefined : fromBase64(new TextDecoder().decode(raw));
      if (decoded !== undefined && (await this.#isSigned(signatures.join(" "), signedBytes(id, timestamp, decoded)))) {
        throw new WebhookVerificationError(
          "body_not_bytes",
          "the body is still base64, as API gateways hand over binary bodies: decode it where isBase64Encoded is true",
        );
      }
      throw new WebhookVerificationError(
        "no_matching_signature",
        "no signature matches: another secret, or not the bytes that were sent",
      );
    }
    return { id, sentAt, body: raw };
  }

  /** Return the headers of a request as a sender would make them, for tests of your receiver. Needs `whsec_` secrets. */
  async sign(body: Body, message: { id: string; timestamp?: number }): Promise<Record<string, string>> {
    if (this.#brand || this.#keys.some((one) => one.version !== "v1")) {
      throw new InvalidSecretError("only whsec_ secrets can sign here");
    }
    const timestamp = String(message.timestamp ?? Math.floor(this.#now() / 1000));
    const signed = signedBytes(message.id, timestamp, bytesOf(body));
    const codes = await Promise.all(this.#secrets.map((one) => hmacOf(one, signed)));
    return {
      "webhook-id": message.id,
      "webhook-timestamp": timestamp,
      "webhook-signature": codes.map((code) => `v1,${code}`).join(" "),
    };
  }

  async #isSigned(header: string, signed: Bytes): Promise<boolean> {
    for (const token of header.split(/\s+/).slice(0, MAX_SIGNATURES)) {
      const [version, code = "", ...more] = token.split(",");
      const signature = more.length === 0 ? fromBase64(code) : undefined;
      if (signature === undefined) continue;
      for (const key of this.#keys) {
        if (key.version === version && (await key.verify(signature, signed))) return true;
      }
    }
    return false;
  }

  async #isHexSigned(header: string, body: Bytes): Promise<boolean> {
    for (const token of header.toLowerCase().split(/[\s,]+/).slice(0, MAX_SIGNATURES)) {
      const signature = token.startsWith(HEX_PREFIX) ? fromHex(token.slice(HEX_PREFIX.length)) : undefined;
      if (signature === undefined) continue;
      for (const key of this.#hexKeys) {
        if (await isHmac(await key(), signature, body)) return true;
      }
    }
    return false;
  }

  #inTime(text: string, name: string): Date {
    if (!/^[0-9]{1,11}$/.test(text)) {
      throw new WebhookVerificationError("malformed_header", `${name} is not Unix seconds`);
    }
    const lateSeconds = this.#now() / 1000 - Number(text);
    if (lateSeconds > this.#toleranceSeconds) {
      throw new WebhookVerificationError("timestamp_too_old", `sent ${Math.round(lateSeconds)} s ago`);
    }
    if (lateSeconds < -this.#toleranceSeconds) {
      throw new WebhookVerificationError("timestamp_too_new", `sent ${Math.round(-lateSeconds)} s from now`);
    }
    return new Date(Number(text) * 1000);
  }
}

function bytesOf(body: unknown): Bytes {
  if (typeof body === "string") return utf8(body);
  if (body instanceof ArrayBuffer || body instanceof Uint8Array) return new Uint8Array(body);
  throw new WebhookVerificationError(
    "body_not_bytes",
    "pass the raw body as it came, not what a parser has made of it",
  );
}

/** Svix's senders have names of their own. */
function prefixOf(given: GivenHeaders): string {
  return given.has("svix-signature") && !given.has("webhook-signature") ? "svix-" : "webhook-";
}

function signedBytes(id: string, timestamp: string, body: Bytes): Bytes {
  const head = utf8(`${id}.${timestamp}.`);
  const signed = new Uint8Array(head.length + body.length);
  signed.set(head);
  signed.set(body, head.length);
  return signed;
}

function utf8(text: string): Bytes {
  return new TextEncoder().encode(text);
}
