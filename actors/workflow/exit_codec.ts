/**
 * Exits as they travel: how a workflow, an activity or a deferred ended, as JSON of a version of our
 * own. What is in it was encoded by the schemas of whoever ended; a defect becomes what can be read
 * of it.
 */
import * as Effect from "effect/Effect";
import type * as Exit from "effect/Exit";
import * as Option from "effect/Option";
import * as Schema from "effect/Schema";
import { Json } from "../../schema/json.ts";

type Json = Schema.Json;

const version = 1;

const Values = Schema.toCodecJson(
  Schema.Exit(
    Schema.Union([Schema.Any, Schema.Void]),
    Schema.Union([Schema.Any, Schema.Void]),
    Schema.Defect(),
  ),
);

const Travelling = Schema.Struct({ v: Schema.Literal(version), exit: Json });
export type Travelling = typeof Travelling.Type;

const decodeValues = Schema.decodeUnknownEffect(Values);
const decodeTravelling = Schema.decodeUnknownOption(Travelling);

/** An exit whose values are JSON already. */
export const pack = (exit: Exit.Exit<unknown, unknown>): Effect.Effect<Travelling> =>
  Schema.encodeEffect(Values)(exit).pipe(
    Effect.map((encoded) => ({ v: version, exit: encoded as Json }) as const),
    Effect.orDie,
  );

/** What was packed; a defect if it was packed by something else. */
export const unpack = (value: unknown): Effect.Effect<Exit.Exit<unknown, unknown>> =>
  Option.match(decodeTravelling(value), {
    onNone: () => Effect.die(new Error(`not an exit of version ${version}`)),
    onSome: ({ exit }) => Effect.orDie(decodeValues(exit)),
  });
