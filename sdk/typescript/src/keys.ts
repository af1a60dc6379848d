// Secrets and public keys of a receiver: texts come in, a check of signatures on WebCrypto goes out.

import { InvalidSecretError } from "./errors.js";

export type Bytes = Uint8Array<ArrayBuffer>;

/** One secret or public key, and the version of signatures that it accepts. */
export interface VerifyingKey {
  readonly version: "v1" | "v1a";
  verify(signature: Bytes, signed: Bytes): Promise<boolean>;
}

const HMAC = { name: "HMAC", hash: "SHA-256" };
const ED25519 = { name: "Ed25519" };
const ED25519_BYTES = 32;

/** Standard Webhooks asks for 24 to 64 bytes, and some senders have fewer; less than this is no secret but a word. */
const MIN_SECRET_BYTES = 16;

/** Node 18 has WebCrypto in a module only; everything newer, browsers and edge workers have it as a global. */
const subtle = once(async () => globalThis.crypto?.subtle ?? (await import("node:crypto")).webcrypto.subtle);

/** Return what a `whsec_` secret or a `whpk_` key accepts. Throws `InvalidSecretError`. */
export function verifyingKey(secret: string): VerifyingKey {
  refuseMistaken(secret);
  if (secret.startsWith("whpk_")) {
    const raw = keyBytes(secret.slice(5));
    if (raw.length !== ED25519_BYTES) throw new InvalidSecretError("expected whpk_ and the base64 of 32 bytes");
    const key = once(async () => (await subtle()).importKey("raw", raw, ED25519, false, ["verify"]));
    return {
      version: "v1a",
      verify: async (signature, signed) => (await subtle()).verify(ED25519, await key(), signature, signed),
    };
  }
  if (secret.startsWith("whsk_")) throw new InvalidSecretError("a private key is the sender's: a receiver takes whpk_");
  const raw = keyBytes(secret.replace(/^whsec_/, ""));
  if (raw.length < MIN_SECRET_BYTES) {
    throw new InvalidSecretError(
      `the secret has ${raw.length} bytes, a whsec_ secret has 24 or more: was it cut off?`,
    );
  }
  const key = hmacKey(raw);
  return { version: "v1", verify: async (signature, signed) => isHmac(await key(), signature, signed) };
}

/** Return a key for HMAC-SHA256, imported at its first use. */
export function hmacKey(raw: Bytes): () => Promise<CryptoKey> {
  if (raw.length === 0) throw new InvalidSecretError("the secret is empty");
  return once(async () => (await subtle()).importKey("raw", raw, HMAC, false, ["sign", "verify"]));
}

/** Compare in constant time. */
export async function isHmac(key: CryptoKey, signature: Bytes, signed: Bytes): Promise<boolean> {
  return (await subtle()).verify(HMAC, key, signature, signed);
}

/** Return the standard base64 of an HMAC-SHA256 by a `whsec_` secret. Throws `InvalidSecretError`. */
export async function hmacOf(secret: string, signed: Bytes): Promise<string> {
  const key = await hmacKey(keyBytes(secret.replace(/^whsec_/, "")))();
  return btoa(String.fromCharCode(...new Uint8Array(await (await subtle()).sign(HMAC, key, signed))));
}

/** Return the bytes of standard base64, undefined where it is not that. */
export function fromBase64(text: string): Bytes | undefined {
  if (text.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(text)) return undefined;
  try {
    return Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
  } catch {
    return undefined;
  }
}

/** Return the bytes of hexadecimal digits, undefined where it is not that. */
export function fromHex(text: string): Bytes | undefined {
  if (text.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(text)) return undefined;
  return Uint8Array.from({ length: text.length / 2 }, (_, at) => parseInt(text.slice(2 * at, 2 * at + 2), 16));
}

/**
 * Return the secrets that were given, without the white space and the byte order mark that files have around them.
 * Throws `InvalidSecretError`.
 */
export function secretsOf(given: unknown): string[] {
  const secrets: unknown[] = Array.isArray(given) ? given : [given];
  if (secrets.length === 0) throw new InvalidSecretError("at least one secret is needed");
  return secrets.map((one) => {
    if (one === undefined || one === null) {
      throw new InvalidSecretError(`the secret is ${one}: is the environment variable set that it comes from?`);
    }
    if (typeof one !== "string") throw new InvalidSecretError(`expected a secret as text, not as ${typeof one}`);
    return one.trim();
  });
}

function keyBytes(text: string): Bytes {
  const raw = fromBase64(text.padEnd(Math.ceil(text.length / 4) * 4, "=")); // other senders may leave the padding out
  if (raw === undefined) throw new InvalidSecretError("expected whsec_ or whpk_, and standard base64");
  if (raw.length === 0) throw new InvalidSecretError("the secret is empty");
  return raw;
}

function refuseMistaken(secret: string): void {
  if (/^["']|["']$/.test(secret)) {
    throw new InvalidSecretError("the secret has quotation marks around it: remove them where it is set");
  }
  if (/[\s\u200b]/.test(secret)) {
    throw new InvalidSecretError(
      "the secret has white space or a line break in it: it was wrapped or holds more than one",
    );
  }
}

/** Make a value at its first use. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}
