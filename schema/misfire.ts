/**
 * What becomes of runs whose time passed while nobody was there to start them. However long that
 * lasted, what is made up for is bounded: a schedule that comes back never floods its workers. When
 * a run counts as late is for `actors/work/due.ts`.
 */
import * as Effect from "effect/Effect";
import * as Predicate from "effect/Predicate";
import * as Schema from "effect/Schema";
import type { InvalidInput } from "./errors.ts";
import { parse } from "./ids.ts";

const most = 1000;

/** What becomes of missed runs, as it is stored. */
export const Misfire = Schema.Union([
  /** The newest of them are made up for, each in its turn; those before them are skipped. */
  Schema.Struct({
    type: Schema.tag("fire-all"),
    limit: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: most })),
  }),
  /** The newest of them runs for all. */
  Schema.Struct({ type: Schema.tag("fire-once") }),
  Schema.Struct({ type: Schema.tag("skip") }),
]).pipe(Schema.toTaggedUnion("type"));
export type Misfire = typeof Misfire.Type;

/** What becomes of missed runs, as people write it. */
export type MisfireInput =
  | Misfire["type"]
  | { readonly type: Misfire["type"]; readonly limit?: number };

/** Turns what people write into what is stored: `fire-once` for nothing, and a limit of 100. */
export const parseMisfire = (
  input: MisfireInput = "fire-once",
): Effect.Effect<Misfire, InvalidInput> => {
  const named: unknown = Predicate.isString(input) ? { type: input } : input;
  const isAll = Predicate.isObject(named) && named["type"] === "fire-all";
  return parse(Misfire, "misfire policy", isAll ? { limit: 100, ...named } : named);
};
