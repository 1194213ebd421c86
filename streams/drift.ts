/**
 * What is stored on the server, held against what this process relies on: adopted where it agrees,
 * refused field by field where it does not, and never altered. Whoever creates something at the same
 * time as another process gets what that one stored. What the fields mean is not known here.
 */
import * as Effect from "effect/Effect";
import * as Schedule from "effect/Schedule";
import { type ServerRefused, TopologyDrift, type Unavailable } from "../schema/errors.ts";

type Answer<A> = Effect.Effect<A, Unavailable | ServerRefused>;
type Fields = Readonly<Record<string, unknown>>;

/** Whether the server refused for one of these reasons. */
export const isRefusal =
  (...codes: ReadonlyArray<number>) => (error: Unavailable | ServerRefused): boolean =>
    error._tag === "ServerRefused" && codes.includes(error.errorCode);

/** No such stream; no such consumer. */
export const isMissing = isRefusal(10059, 10014);
/** A stream, a consumer of that name has other settings. */
const isTaken = isRefusal(10058, 10148);

/** A cluster reserves a name some time before it shows what bears it. */
const lookAgain = Schedule.spaced("20 millis").pipe(Schedule.upTo({ duration: "10 seconds" }));

/** What is stored, or else what `create` stores, or else what another process stored meanwhile. */
export const findOrCreate = <A>(find: Answer<A>, create: Answer<A>): Answer<A> => {
  const findAtLast = Effect.retry(find, { while: isMissing, schedule: lookAgain });
  return Effect.catchIf(find, isMissing, () => Effect.catchIf(create, isTaken, () => findAtLast));
};

const show = (value: unknown): string => {
  if (value === undefined) return "absent";
  if (typeof value === "string") return value;
  return JSON.stringify(Array.isArray(value) ? [...value].sort() : value);
};

/** Refuses a stored configuration that lacks what we rely on; its other fields are free. */
export const refuseDrift = (
  name: string,
  expected: Fields,
  stored: Fields,
): Effect.Effect<void, TopologyDrift> => {
  const differences = Object.entries(expected).flatMap(([field, value]) => {
    const actual = stored[field];
    // The server leaves out what is false, zero or empty.
    const agrees = show(actual) === show(value) || (actual === undefined && !value);
    return agrees ? [] : [{ field, expected: show(value), actual: show(actual) }];
  });
  return differences.length === 0
    ? Effect.void
    : Effect.fail(new TopologyDrift({ stream: name, differences }));
};
