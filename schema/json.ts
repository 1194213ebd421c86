/**
 * JSON as applications hand it in. It is bounded in depth, since engines read any nesting and
 * overflow their stack when they write some thousand levels of it. Its size is bounded by the log.
 */
import * as Schema from "effect/Schema";

/** How many levels of arrays and objects a value may have. */
export const maxJsonDepth = 500;

/** Whether a value has no more levels than that. */
export const isWithin = (value: Schema.Json, depth: number): boolean =>
  typeof value !== "object" || value === null ||
  (depth > 0 && Object.values(value).every((item) => isWithin(item, depth - 1)));

/** Of shorter texts it does not matter how deep they are. */
const longText = 16 * 1024;
/** Levels that a record lays around what applications hand in. */
const frameDepth = 16;

/** JSON that somebody wrote; throws if it is none, or so deep that to look at it takes long. */
export const parseStored = (text: string): unknown => {
  const json = JSON.parse(text);
  if (text.length > longText && !isWithin(json, maxJsonDepth + frameDepth)) {
    throw new Error(`it has more than ${maxJsonDepth} levels`);
  }
  return json;
};

/** Any JSON value of at most 500 levels. */
export const Json = Schema.Json.check(
  Schema.makeFilter<Schema.Json>((value) => isWithin(value, maxJsonDepth), {
    expected: `a JSON value of at most ${maxJsonDepth} levels`,
  }),
);
