// The functions that a receiver's user has registered, which of them want an event, and how one is called.
//
// A handler's name is what the inbox remembers it by, so it must stay the same over restarts and builds. Whatever a
// handler throws ends here as a failure; nothing is stored here.

import type { UnknownEvent } from "../event.js";
import type { EsimEvent } from "../events.js";
import { HandlerTimeout } from "./errors.js";
import { MAX_TIMER_MS } from "./session.js";

const GENERATOR_FUNCTIONS = new Set(["[object GeneratorFunction]", "[object AsyncGeneratorFunction]"]);
const GENERATORS = new Set(["[object Generator]", "[object AsyncGenerator]"]);

export type AnyEvent = EsimEvent | UnknownEvent;

/** What a handler is given beside the event. */
export interface Attempt {
  /** 1 for the first. */
  readonly number: number;
  /** Aborted when the handler's time is over. */
  readonly signal: AbortSignal;
}

export interface HandlerOptions {
  /** What the inbox remembers the handler by: the names of its events where it is left out. */
  readonly name?: string;
  /** It sees the events of one eSIM one at a time, by `sequence`. */
  readonly ordered?: boolean;
}

export interface Handler {
  readonly name: string;
  readonly events: ReadonlySet<string>;
  readonly ordered: boolean;
  readonly transactional: boolean;
  readonly call: (event: AnyEvent, given: unknown) => unknown;
}

/** What came of calling a handler. With `late` it may still be at work. */
export type Ending = { readonly failed: false } | { readonly failed: true; readonly thrown: unknown; readonly late?: true };

/** All handlers of one receiver. */
export class Handlers {
  readonly #byName = new Map<string, Handler>();

  /** Register a function. Throws `TypeError` where there is none, or its name is taken. */
  add(events: string | readonly string[], call: unknown, options: HandlerOptions, transactional: boolean): void {
    const wanted = typeof events === "string" ? [events] : [...events];
    if (typeof call !== "function" || wanted.length === 0 || wanted.some((one) => typeof one !== "string")) {
      throw new TypeError('expected the events and a function: receiver.on("esim.activated", async (event) => ...)');
    }
    if (GENERATOR_FUNCTIONS.has(tagOf(call))) throw new TypeError("a handler must not yield: nothing of it would run");
    const name = options.name ?? wanted.join(",");
    if (this.#byName.has(name)) throw new TypeError(`there is a handler named ${name} already: give this one a name`);
    this.#byName.set(name, {
      name,
      events: new Set(wanted),
      ordered: options.ordered ?? false,
      transactional,
      call: call as Handler["call"],
    });
  }

  named(name: string): Handler | undefined {
    return this.#byName.get(name);
  }

  names(): string[] {
    return [...this.#byName.keys()];
  }

  wanting(event: AnyEvent): Handler[] {
    return [...this.#byName.values()].filter((one) => [...one.events].some((pattern) => covers(pattern, event.event)));
  }

  /** Whether the order of an eSIM's events matters to any. */
  get anyOrdered(): boolean {
    return [...this.#byName.values()].some((one) => one.ordered);
  }
}

/** Whether a pattern covers an event type as in an endpoint's `eventTypes`: the type itself, `esim.*` or `*`. */
function covers(pattern: string, event: string): boolean {
  return pattern === "*" || pattern === event || (pattern.endsWith(".*") && event.startsWith(pattern.slice(0, -1)));
}

/** Call a function that may do anything, with an end to its time. Never throws. */
export async function ended(call: (signal: AbortSignal) => unknown, limitSeconds: number): Promise<Ending> {
  const over = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Ending>((resolve) => {
    const thrown = new HandlerTimeout(`it was still at work after ${limitSeconds} s`);
    const limitMs = Math.min(limitSeconds * 1000, MAX_TIMER_MS);
    timer = setTimeout(() => resolve({ failed: true, thrown, late: true }), limitMs);
  });
  const ending = await Promise.race([endingOf(call, over.signal), late]);
  clearTimeout(timer);
  over.abort();
  return ending;
}

async function endingOf(call: (signal: AbortSignal) => unknown, signal: AbortSignal): Promise<Ending> {
  try {
    const returned = await call(signal);
    if (GENERATORS.has(tagOf(returned))) throw new TypeError("it returned a generator, of which nothing has run");
    return { failed: false };
  } catch (thrown) {
    return { failed: true, thrown };
  }
}

function tagOf(value: unknown): string {
  return Object.prototype.toString.call(value);
}
