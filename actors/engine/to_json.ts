/**
 * What code hands over to be recorded, as the JSON that every later run will find. What JSON would
 * silently make something else of, as a class instance, a `Map` or a `NaN`, is refused where it is
 * handed over, so that the first run never sees more than a replay does.
 */
import * as Effect from "effect/Effect";
import type * as Schema from "effect/Schema";
import { InvalidInput } from "../../schema/errors.ts";
import { maxJsonDepth } from "../../schema/json.ts";

type Json = Schema.Json;

/** What is no JSON, in a word, and what to do about it. */
class NoJson {
  readonly found: string;
  readonly advice: string;
  constructor(found: string, advice: string) {
    this.found = found;
    this.advice = advice;
  }
}

/** Object literals, those without a prototype, and those of another realm. */
const isPlain = (value: object): boolean => {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
};

const adviceFor = (value: object): string => {
  if (value instanceof Date) {
    return "store date.toISOString(), and make a Date of it where it is read";
  }
  if (value instanceof Map || value instanceof Set) return "store it as an array, like [...it]";
  if (value instanceof Promise) return "await it first";
  if (value instanceof Error) return "throw it, or store its message";
  if (ArrayBuffer.isView(value)) return "store bytes as text, in base64";
  return "store a plain object, like { ...it }, and make an instance of it where it is read";
};

const noJson = (value: unknown): NoJson => {
  switch (typeof value) {
    case "number":
      return new NoJson(String(value), "a number in it is finite");
    case "bigint":
      return new NoJson(`${value}n`, "store String(it)");
    case "object": {
      const { constructor } = value as object;
      const name = typeof constructor === "function" ? constructor.name : "";
      return new NoJson(`an instance of ${name || "a class"}`, adviceFor(value as object));
    }
    default:
      return new NoJson(`a ${typeof value}`, "store what it stands for");
  }
};

/** Copies it; `path` is where it stands within what was handed over. */
const copy = (value: unknown, path: Array<string>): Json | undefined => {
  switch (typeof value) {
    case "undefined":
    case "string":
    case "boolean":
      return value;
    case "number":
      // JSON knows no negative zero.
      if (Number.isFinite(value)) return value + 0;
      break;
    case "object": {
      if (value === null) return null;
      const isArray = Array.isArray(value);
      if (!isArray && !isPlain(value)) break;
      if (path.length === maxJsonDepth) {
        path.length = 0;
        throw new NoJson(
          `${isArray ? "an array" : "an object"} of more than ${maxJsonDepth} levels`,
          "it may contain itself",
        );
      }
      const within = (name: string, item: unknown) => {
        path.push(name);
        const copied = copy(item, path);
        path.pop();
        return copied;
      };
      if (isArray) return Array.from(value, (item, i) => within(String(i), item) ?? null);
      return Object.fromEntries(
        Object.entries(value).flatMap(([name, item]) => {
          const copied = within(name, item);
          return copied === undefined ? [] : [[name, copied]];
        }),
      );
    }
  }
  throw noJson(value);
};

/** A value as JSON gives it back; what JSON cannot hold is refused, and `undefined` is left out. */
export const toJson = (what: string, value: unknown): Json | undefined => {
  const path: Array<string> = [];
  try {
    return copy(value, path);
  } catch (error) {
    if (!(error instanceof NoJson)) throw error;
    throw new InvalidInput({
      what,
      value: `${error.found}${path.length === 0 ? "" : ` at ${path.join(".")}`}`.slice(0, 200),
      rule: `expected a JSON value; ${error.advice}`,
    });
  }
};

/** The same, for what an operation is given. */
export const checkJson = (
  what: string,
  value: unknown,
): Effect.Effect<Json | undefined, InvalidInput> =>
  Effect.try({
    try: () => toJson(what, value),
    catch: (error) =>
      error instanceof InvalidInput
        ? error
        : new InvalidInput({ what, value: "a value", rule: `expected a JSON value; ${error}` }),
  });
