/**
 * What code names by what `actor` or `signal` gave it: in plain JavaScript a name alone, or the
 * function, is soon given in its place, and would be told as a name that is missing.
 */
import * as Effect from "effect/Effect";
import { InvalidInput } from "../schema/errors.ts";
import { shown } from "../schema/ids.ts";

/** What was given, if it can be a definition; the name that it has is checked elsewhere. */
export const definition = <Given>(
  of: "actor" | "signal",
  given: Given,
): Effect.Effect<Given, InvalidInput> =>
  typeof given === "object" && given !== null && "name" in given
    ? Effect.succeed(given)
    : Effect.fail(
      new InvalidInput({ what: of, value: shown(given), rule: `expected what ${of}() gave` }),
    );

/** What a step is called after that is about it. */
export const nameOf = (given: { readonly name: string } | null | undefined): string =>
  String(given?.name ?? given);
