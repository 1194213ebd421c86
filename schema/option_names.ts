/**
 * Options as plain JavaScript gives them: a misspelt one would do nothing, and say nothing. What the
 * values mean is checked elsewhere.
 */
import * as Effect from "effect/Effect";
import { InvalidInput } from "./errors.ts";
import { shown } from "./ids.ts";

/** All names of the options, of which the type makes sure. */
export type OptionNames<Options> = { readonly [Name in keyof Required<Options>]: true };

/** Refuses what is no object, and options that there are not. */
export const checkOptions = (
  of: string,
  given: unknown,
  names: Readonly<Record<string, true>>,
): Effect.Effect<void, InvalidInput> => {
  if (given === undefined) return Effect.void;
  if (typeof given !== "object" || given === null) {
    const rule = `expected an object with any of ${Object.keys(names).join(", ")}`;
    return Effect.fail(new InvalidInput({ what: `options of ${of}`, value: shown(given), rule }));
  }
  const other = Object.entries(given)
    .find(([name, value]) => value !== undefined && !Object.hasOwn(names, name));
  if (other === undefined) return Effect.void;
  const rule = `expected one of ${Object.keys(names).join(", ")}`;
  return Effect.fail(new InvalidInput({ what: `option of ${of}`, value: other[0], rule }));
};
