// What can go wrong with an inbox, and whatever a handler throws as a text that can be stored.

import { NOT_STORABLE } from "../event.js";

const MAX_TEXT_CHARACTERS = 2000;

/** The inbox cannot be read or written now: no connection, a full disk, a lock that others keep too long. */
export class InboxUnavailable extends Error {
  override readonly name = "InboxUnavailable";
}

/** What is stored for a handler that was still at work at the end of its time. */
export class HandlerTimeout extends Error {
  override readonly name = "HandlerTimeout";
}

/** Return what was thrown as one text that every database can store, whatever it is and whatever it does when read. */
export function textOfThrown(thrown: unknown): string {
  return storable(read(() => (thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : ofNoError(thrown))));
}

/** Return the stack of an error where it has one, and otherwise what `textOfThrown` returns. */
export function traceOfThrown(thrown: unknown): string {
  const stack = read(() => (thrown instanceof Error && typeof thrown.stack === "string" ? thrown.stack : ""), "");
  return stack === "" ? textOfThrown(thrown) : stack;
}

/** Whether a driver that is loaded when it is needed is not installed. */
export function isMissingModule(error: unknown): boolean {
  const code = (error as { code?: unknown } | null)?.code;
  return code === "ERR_MODULE_NOT_FOUND" || code === "MODULE_NOT_FOUND";
}

function ofNoError(thrown: unknown): string {
  if (typeof thrown !== "object" || thrown === null) return `threw ${typeof thrown}: ${String(thrown)}`;
  return `threw an object: ${JSON.stringify(thrown) ?? ""}`;
}

function read(reading: () => string, otherwise = "threw something whose text cannot be read"): string {
  try {
    return String(reading());
  } catch {
    return otherwise;
  }
}

function storable(text: string): string {
  const cut = text.slice(0, MAX_TEXT_CHARACTERS);
  return cut.replace(new RegExp(NOT_STORABLE, "gu"), "\ufffd");
}
