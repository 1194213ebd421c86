/**
 * Errors as records, and back: what a step or an actor raised becomes a `Failure` that means the same
 * in every process. The caller meets what the record says also in the process that raised it, so
 * that a replay and the first run cannot differ.
 */
import * as Cause from "effect/Cause";
import type * as Schema from "effect/Schema";
import { InvalidInput } from "../../schema/errors.ts";
import { ChildFailed, StepFailed } from "../../schema/execution_errors.ts";
import type { Failure } from "../../schema/failure.ts";

type Json = Schema.Json;

/** A value as JSON gives it back; what JSON cannot hold is refused, and `undefined` is left out. */
export const toJson = (what: string, value: unknown): Json | undefined => {
  switch (typeof value) {
    case "undefined":
    case "string":
    case "boolean":
      return value;
    case "number":
      if (Number.isFinite(value)) return value;
      break;
    case "object":
      try {
        return JSON.parse(JSON.stringify(value)) as Json;
      } catch (error) {
        throw new InvalidInput({ what, value: String(value), rule: `it is not JSON (${error})` });
      }
  }
  throw new InvalidInput({ what, value: String(value), rule: "expected a JSON value" });
};

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null;

const text = (value: unknown): string | undefined => typeof value === "string" ? value : undefined;

/** The fields that an error carries beside what every error has. */
const dataOf = (error: Record<string, unknown>): Json | undefined => {
  const fields = Object.entries(error).filter(([name]) =>
    !["_tag", "name", "message", "stack", "cause", "code", "retryable"].includes(name)
  );
  if (fields.length === 0) return undefined;
  try {
    return toJson("error", Object.fromEntries(fields));
  } catch {
    return undefined;
  }
};

/** What is stored of an error. */
export const failureOf = (error: unknown): Failure => {
  if (!isObject(error)) return { name: "Error", message: String(error) };
  // Who does not handle a failed step, or child, fails with its failure.
  if (error instanceof StepFailed) return { step: error.step, ...error.failure };
  if (error instanceof ChildFailed && error.failure !== undefined) {
    return { step: error.execution, ...error.failure };
  }
  const name = text(error["_tag"]) ?? text(error["name"]) ?? "Error";
  const code = text(error["code"]);
  const data = dataOf(error);
  return {
    name,
    message: text(error["message"]) ?? JSON.stringify(error) ?? name,
    ...(code === undefined ? {} : { code }),
    ...(error["retryable"] === false ? { retryable: false } : {}),
    ...(data === undefined ? {} : { data }),
  };
};

/** What is stored of a cause; an interruption that nobody asked for is a failure like another. */
export const failureOfCause = (cause: Cause.Cause<unknown>): Failure =>
  failureOf(Cause.squash(cause));
