/**
 * Errors as records, and back: what a step or an actor raised becomes a `Failure` that means the same
 * in every process. The caller meets what the record says also in the process that raised it, so
 * that a replay and the first run cannot differ.
 */
import * as Cause from "effect/Cause";
import type * as Schema from "effect/Schema";
import type { PayloadTooLarge } from "../../schema/errors.ts";
import { ChildFailed, StepFailed } from "../../schema/execution_errors.ts";
import type { Failure } from "../../schema/failure.ts";
import { toJson } from "./to_json.ts";

type Json = Schema.Json;

/** What errors were made of that a record raised again; who fails with one fails as recorded. */
export const raisedAgain = new WeakMap<object, Failure>();

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null;

const text = (value: unknown): string | undefined => typeof value === "string" ? value : undefined;

const common = new Set(["_tag", "name", "message", "stack", "cause", "code", "retryable"]);

/** A field as JSON, if it is that. */
const fieldOf = (
  [name, value]: readonly [string, unknown],
): ReadonlyArray<readonly [string, Json]> => {
  try {
    return common.has(name) ? [] : Object.entries(toJson("error", { [name]: value }) as object);
  } catch {
    return [];
  }
};

/** The fields that an error carries beside what every error has. */
const dataOf = (error: object): Json | undefined => {
  const fields = Object.entries(error).flatMap(fieldOf);
  return fields.length === 0 ? undefined : Object.fromEntries(fields);
};

/** What it calls itself; an error that was given no name of its own is called after its class. */
const nameOf = (error: Record<string, unknown>): string => {
  const prototype: object | null = Object.getPrototypeOf(error);
  const isNamed = Object.hasOwn(error, "name") ||
    (prototype !== null && Object.hasOwn(prototype, "name"));
  const className = error instanceof Error && !isNamed ? error.constructor.name : "";
  return text(error["_tag"]) ?? (className || text(error["name"]) || "Error");
};

const described = (error: Record<string, unknown>): Failure => {
  const name = nameOf(error);
  const code = text(error["code"]);
  const data = dataOf(error);
  return {
    name,
    message: text(error["message"]) ?? (data === undefined ? name : JSON.stringify(data)),
    ...(code === undefined ? {} : { code }),
    ...(error["retryable"] === false ? { retryable: false } : {}),
    ...(data === undefined ? {} : { data }),
  };
};

/** What is stored of an error, or of anything else that was thrown. */
export const failureOf = (error: unknown): Failure => {
  if (!isObject(error)) return { name: "Error", message: String(error) };
  const raised = raisedAgain.get(error);
  if (raised !== undefined) return raised;
  // Who does not handle a failed step, or child, fails with its failure.
  if (error instanceof StepFailed) return { step: error.step, ...error.failure };
  if (error instanceof ChildFailed && error.failure !== undefined) {
    return { step: error.execution, ...error.failure };
  }
  try {
    return described(error);
  } catch {
    return { name: "Error", message: "what was thrown cannot be read" };
  }
};

/** What is stored in place of what is too large for that. */
export const failureOfTooLarge = ({ _tag, message }: PayloadTooLarge): Failure => ({
  name: _tag,
  message,
  retryable: false,
});

/** What is stored of a cause; an interruption that nobody asked for is a failure like another. */
export const failureOfCause = (cause: Cause.Cause<unknown>): Failure =>
  failureOf(Cause.squash(cause));
