/**
 * Exits as they travel: how a workflow, an activity or a deferred ended, as JSON of a version of our
 * own. What is in it was encoded by the schemas of whoever ended; a defect becomes what can be read
 * of it.
 */
import * as Cause from "effect/Cause";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Option from "effect/Option";
import * as Schema from "effect/Schema";

type Json = Schema.Json;

const version = 1;

const Values = Schema.toCodecJson(
  Schema.Exit(
    Schema.Union([Schema.Any, Schema.Void]),
    Schema.Union([Schema.Any, Schema.Void]),
    Schema.Defect(),
  ),
);

/** Of a deferred, whose defects are JSON as well. */
export const encodedValues = Schema.toCodecJson(
  Schema.Exit(
    Schema.Union([Schema.Any, Schema.Void]),
    Schema.Union([Schema.Any, Schema.Void]),
    Schema.Any,
  ),
);

const Travelling = Schema.Struct({
  v: Schema.Literal(version),
  /** JSON, which whoever reads it looks at. */
  exit: Schema.Any,
  /** Which run of the body it has suspended, if it is no end but the reason of that. */
  suspended: Schema.optionalKey(Schema.Struct({ run: Schema.Int, failed: Schema.Boolean })),
});
export type Travelling = typeof Travelling.Type;

type AnyExit = Exit.Exit<unknown, unknown>;
type ExitCodec = Schema.Codec<AnyExit, unknown, unknown, unknown>;

const decodeTravelling = Schema.decodeUnknownOption(Travelling);

/** Schemas may ask for services; the fiber of whoever called has them, though its type does not say. */
export const here = <A, E>(effect: Effect.Effect<A, E, unknown>): Effect.Effect<A> =>
  Effect.orDie(effect as Effect.Effect<A, E>);

/** An exit, whose values are JSON already unless a codec makes them that. */
export const pack = (exit: AnyExit, codec: ExitCodec = Values): Effect.Effect<Travelling> =>
  Effect.map(
    here(Schema.encodeEffect(codec)(exit)),
    (encoded) => ({ v: version, exit: encoded as Json }),
  );

/** What was packed; a defect if it was packed by something else. */
export const unpack = (value: unknown, codec: ExitCodec = Values): Effect.Effect<AnyExit> =>
  Option.match(decodeTravelling(value), {
    onNone: () => Effect.die(new Error(`not an exit of version ${version}`)),
    onSome: ({ exit }) => here(Schema.decodeUnknownEffect(codec)(exit)),
  });

/** The end of a deferred that nobody can make sense of; its defects are JSON. */
export const unreadable = (cause: Cause.Cause<unknown>): AnyExit =>
  Exit.die({ name: "Error", message: Cause.pretty(cause) });

/** What was packed as the reason of a suspension. */
export const suspensionIn = (value: unknown): Travelling["suspended"] =>
  Option.getOrUndefined(decodeTravelling(value))?.suspended;
