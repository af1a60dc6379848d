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

/** Node 18 has WebCrypto in a module only; everything newer, browsers and edge workers have it as a global. */
const subtle = once(async () => globalThis.crypto?.subtle ?? (await import("node:crypto")).webcrypto.subtle);

/** Return what a `whsec_` secret or a `whpk_` key accepts. Throws `InvalidSecretError`. */
export function verifyingKey(secret: string): VerifyingKey {
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
  const key = hmacKey(keyBytes(secret.replace(/^whsec_/, "")));
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

function keyBytes(text: string): Bytes {
  if (/[\s"'\u200b\ufeff]/.test(text)) {
    throw new InvalidSecretError("the secret has a space, a line break or quotes around it: pass the secret alone");
  }
  const raw = fromBase64(text.padEnd(Math.ceil(text.length / 4) * 4, "=")); // other senders may leave the padding out
  if (raw === undefined) throw new InvalidSecretError("expected whsec_ or whpk_, and standard base64");
  if (raw.length === 0) throw new InvalidSecretError("the secret is empty");
  return raw;
}

/** Make a value at its first use. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}
