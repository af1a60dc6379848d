// Headers as frameworks give them come in, their texts by lower-case name go out.

import { WebhookVerificationError } from "./errors.js";

/** What frameworks call headers: `Headers`, Node's `request.headers`, or pairs. Names may have any case. */
export type HeadersLike =
  | Headers
  | Readonly<Record<string, string | readonly string[] | undefined>>
  | Iterable<readonly [string, string]>;

/** The headers of one request. */
export class GivenHeaders {
  readonly #texts = new Map<string, string[]>();

  constructor(headers: HeadersLike) {
    for (const [name, value] of pairsOf(headers)) {
      const values: unknown[] = Array.isArray(value) ? value : [value];
      const texts = values.filter((one): one is string => typeof one === "string").map((one) => one.trim());
      const known = this.#texts.get(name.toLowerCase()) ?? [];
      this.#texts.set(name.toLowerCase(), [...known, ...texts.filter((one) => one !== "")]);
    }
  }

  has(name: string): boolean {
    return this.all(name).length > 0;
  }

  all(name: string): readonly string[] {
    return this.#texts.get(name) ?? [];
  }

  /** Return the one text of a header that must be there, plain ASCII. Throws `WebhookVerificationError`. */
  only(name: string): string {
    const [first, ...others] = new Set(this.all(name));
    if (first === undefined) throw new WebhookVerificationError("missing_header", `${name} is missing`);
    if (others.length > 0) throw new WebhookVerificationError("malformed_header", `${name} stands there more than once`);
    if (!/^[\x20-\x7e]+$/.test(first)) throw new WebhookVerificationError("malformed_header", `${name} is not plain ASCII`);
    return first;
  }
}

function pairsOf(headers: unknown): Iterable<readonly [string, unknown]> {
  if (typeof headers !== "object" || headers === null) {
    throw new WebhookVerificationError("missing_header", "no headers were given");
  }
  if (!(Symbol.iterator in headers)) return Object.entries(headers);
  const pairs = [...(headers as Iterable<unknown>)];
  return pairs.filter((one): one is [string, unknown] => Array.isArray(one) && typeof one[0] === "string");
}
