// `Receiver`: webhooks of one endpoint, kept in a durable inbox and worked off by your functions.
//
// This file only puts the parts together.

import type { IncomingMessage, ServerResponse } from "node:http";

import type { EsimEvent, EventType } from "../events.js";
import { Webhook, type WebhookOptions } from "../webhook.js";
import { databaseOf } from "./database.js";
import { traceOfThrown } from "./errors.js";
import * as fetchApi from "./fetch_api.js";
import { type AnyEvent, type Attempt, type HandlerOptions, Handlers } from "./handlers.js";
import { Inbox, type InboxStats } from "./inbox.js";
import { type Answer, Intake } from "./intake.js";
import * as lambda from "./lambda.js";
import * as nodeHttp from "./node_http.js";
import { type Retrying, RETRYING } from "./retrying.js";
import { Runs } from "./runs.js";
import { type Log, Worker } from "./worker.js";

const MAX_BODY_BYTES = 1_048_576;
const STOP_LIMIT_SECONDS = 10;
const DRAIN_LIMIT_SECONDS = 25;
const ANSWER_WITHIN_MS = 4400;

export interface ReceiverOptions {
  /** What `Webhook` takes, or a `Webhook`. */
  readonly secret: string | readonly string[] | Webhook;
  /** `sqlite:///inbox.db` or `postgresql://...`; it is opened at the first use. */
  readonly inbox: string;
  /** Handlers at work at a time, 10 where it is left out. */
  readonly concurrency?: number;
  /** Larger requests are answered with 413; 1 MiB where it is left out. */
  readonly maxBodyBytes?: number;
  readonly retrying?: Partial<Retrying>;
  /** Where messages go, `console` where it is left out. */
  readonly log?: Log;
  /** The present time, in milliseconds since 1970. Clocks of processes that share an inbox must agree within seconds. */
  readonly now?: () => number;
}

/** The event that a handler of these types is called with. */
export type EventOf<Types> = Types extends EventType ? Extract<EsimEvent, { event: Types }> : AnyEvent;

/**
 * Takes webhooks: verified, stored in the inbox, committed, answered with 200, and only then worked on. Mount `listener`,
 * `fetch` or `lambda` at any path. Throws `TypeError` and `InvalidSecretError`.
 */
export class Receiver {
  readonly inbox: Inbox;
  readonly #handlers = new Handlers();
  readonly #intake: Intake;
  readonly #makeWorker: () => Worker;
  #worker: Worker | undefined;
  #started = false;

  constructor(options: ReceiverOptions) {
    const { now = Date.now, concurrency = 10 } = options;
    const log = guarded(options.log ?? console);
    const seconds = (): number => now() / 1000;
    const database = databaseOf(options.inbox);
    const retrying = { ...RETRYING, ...options.retrying };
    const runs = new Runs(database, retrying);
    const webhook = options.secret instanceof Webhook ? options.secret : new Webhook(options.secret, { now } as WebhookOptions);
    this.inbox = new Inbox(database, seconds);
    this.#intake = new Intake(webhook, runs, this.#handlers, {
      maxBodyBytes: options.maxBodyBytes ?? MAX_BODY_BYTES,
      log,
      now: seconds,
      answerWithinMs: Math.max(ANSWER_WITHIN_MS, 1000 * retrying.transactionalLimitSeconds),
    });
    this.#makeWorker = () => new Worker(runs, this.inbox, this.#handlers, { retrying, concurrency, log, now: seconds });
    this.listener = (request, response) => {
      this.start();
      nodeHttp.serve(request, response, this.#intake, this.#take).catch((error: unknown) => {
        log.error(`esimhooks: a request failed: ${traceOfThrown(error)}`);
        response.destroy();
      });
    };
    this.fetch = async (request) => {
      this.start();
      return fetchApi.serve(request, this.#intake, this.#take);
    };
  }

  /** Serve a request of node:http, or of a framework on it: `app.use("/webhooks/esim", receiver.listener)`. */
  readonly listener: (request: IncomingMessage, response: ServerResponse) => void;

  /** Serve a request of the fetch API: `export const POST = receiver.fetch`. */
  readonly fetch: (request: Request) => Promise<Response>;

  /**
   * Register a handler for these event types, a group (`"esim.*"`) or all (`"*"`). It is called in the background after
   * the 200, at least once, and not again after it has returned; what it throws is retried.
   */
  on<const Types extends EventType | (string & {}) | "*">(
    events: Types | readonly Types[],
    handler: (event: EventOf<Types>, attempt: Attempt) => unknown,
    options: HandlerOptions = {},
  ): this {
    this.#handlers.add(events, handler, options, false);
    return this;
  }

  /**
   * Register a handler that takes the event and the connection to the inbox's database: a pg `Client`, a `DatabaseSync`
   * of node:sqlite or a `Database` of better-sqlite3. What it does on the connection is committed together with the event,
   * before the 200, exactly once; it must be quick and must not commit. Where it throws, its part is undone and tried again
   * in the background. With `ordered` it always runs in the background.
   */
  transactional<Connection, const Types extends EventType | (string & {}) | "*" = string>(
    events: Types | readonly Types[],
    handler: (event: EventOf<Types>, connection: Connection) => unknown,
    options: HandlerOptions = {},
  ): this {
    this.#handlers.add(events, handler, options, true);
    return this;
  }

  /**
   * Serve a request that came to AWS Lambda. No work goes on between invocations: what transactional handlers do is done
   * with the answer, everything else by `drain` in an invocation of its own.
   */
  async lambda(request: lambda.LambdaRequest): Promise<lambda.LambdaResponse> {
    return lambda.serve(request, this.#intake, this.#take);
  }

  /** Verify, store and commit one request, and return what to answer: for frameworks that are not served above. */
  async take(body: Uint8Array, headers: Headers | Readonly<Record<string, string | readonly string[] | undefined>>): Promise<Answer> {
    return this.#take(body, headers);
  }

  /** Start the work in the background, unless it goes on already; the first request does it too. */
  start(): void {
    if (this.#started) return;
    this.#started = true;
    this.#theWorker.start();
  }

  /** Work on what is due until nothing is, for so long at most. For tests, and where no process stays. */
  async drain(options: { withinSeconds?: number } = {}): Promise<InboxStats> {
    await this.#theWorker.drain(options.withinSeconds ?? DRAIN_LIMIT_SECONDS);
    return this.inbox.stats();
  }

  /** Return the counts of the inbox. Rejects with `InboxUnavailable`. */
  async stats(): Promise<InboxStats> {
    return this.inbox.stats();
  }

  /** Let handlers end for ten seconds, and close the connections. */
  async close(options: { withinSeconds?: number } = {}): Promise<void> {
    const worker = this.#worker;
    this.#worker = undefined;
    this.#started = false;
    await worker?.stop(options.withinSeconds ?? STOP_LIMIT_SECONDS);
    await this.inbox.close();
  }

  get #theWorker(): Worker {
    this.#worker ??= this.#makeWorker();
    return this.#worker;
  }

  readonly #take: Intake["take"] = async (body, headers) => {
    const answer = await this.#intake.take(body, headers);
    if (answer.status === 200) this.#worker?.notify();
    return answer;
  };
}

/** Return a log whose errors cost no event its outcome, and no sender its answer. */
function guarded(log: Log): Log {
  const attempt = (write: () => unknown): void => {
    try {
      write();
    } catch {
      // there is no other place to report it
    }
  };
  return { warn: (message) => attempt(() => log.warn(message)), error: (message) => attempt(() => log.error(message)) };
}
