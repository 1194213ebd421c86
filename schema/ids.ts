/**
 * The names that travel: branded strings and instants, each with the bounds that keep it legal in a
 * subject, a header and a record. What carries a brand has been checked, so nothing downstream checks
 * again. Encoding for a subject is `token.ts`.
 */
import * as Effect from "effect/Effect";
import * as Formatter from "effect/Formatter";
import * as Result from "effect/Result";
import * as Schema from "effect/Schema";
import { InvalidInput } from "./errors.ts";

const utf8 = new TextEncoder();

/** A UTF-16 unit is at most three bytes, so short texts need no encoding to be measured. */
const isWithin = (text: string, maxBytes: number): boolean =>
  text.length * 3 <= maxBytes ||
  (text.length <= maxBytes && utf8.encode(text).length <= maxBytes);

/** Any text that is not empty and of at most so many bytes in UTF-8. */
export const boundedText = (maxBytes: number) =>
  Schema.String.check(
    Schema.makeFilter<string>(
      (text) => text.length > 0 && isWithin(text, maxBytes) && text.isWellFormed(),
      { expected: `a non-empty string of at most ${maxBytes} UTF-8 bytes without lone surrogates` },
    ),
  );

const matching = (pattern: RegExp, expected: string) =>
  Schema.String.check(Schema.isPattern(pattern, { expected }));

/** Names one execution within a tenant: any text, `order/o-1` by convention. */
export const ExecutionId = boundedText(200).pipe(Schema.brand("ExecutionId"));
export type ExecutionId = typeof ExecutionId.Type;

/** Whose executions these are; nothing is shared between tenants. */
export const Tenant = boundedText(64).pipe(Schema.brand("Tenant"));
export type Tenant = typeof Tenant.Type;

/** Names the code that an execution runs. */
export const ActorName = matching(
  /^[A-Za-z][A-Za-z0-9_-]{0,63}$/,
  "an actor name: a letter, then up to 63 letters, digits, _ or -",
).pipe(Schema.brand("ActorName"));
export type ActorName = typeof ActorName.Type;

/** Whether an actor's name is not one of the runtime's own. */
export const isForeign = (name: string): boolean => !name.startsWith("weir-");

/** Names code that is not the runtime's own. */
export const ForeignActorName = ActorName.check(
  Schema.makeFilter<string>(isForeign, {
    expected: "a name that does not begin with weir-, since those are the runtime's",
  }),
);

/** Names one deployment on a server. It has no `-`, which separates the number of a shard. */
export const Namespace = matching(
  /^[A-Za-z][A-Za-z0-9_]{0,31}$/,
  "a namespace: a letter, then up to 31 letters, digits or _",
).pipe(Schema.brand("Namespace"));
export type Namespace = typeof Namespace.Type;

/** Names the group of workers that an execution asks for. */
export const Lane = matching(
  /^[\x21-\x7e]{1,64}$/,
  "a lane: 1 to 64 printable ASCII characters without spaces",
).pipe(Schema.brand("Lane"));
export type Lane = typeof Lane.Type;

/** Names one issuance of a lease. */
export const LeaseId = boundedText(128).pipe(Schema.brand("LeaseId"));
export type LeaseId = typeof LeaseId.Type;

/** Names one process that owns executions. */
export const WorkerInstanceId = boundedText(128).pipe(Schema.brand("WorkerInstanceId"));
export type WorkerInstanceId = typeof WorkerInstanceId.Type;

/** Names one signal. */
export const SignalId = boundedText(128).pipe(Schema.brand("SignalId"));
export type SignalId = typeof SignalId.Type;

/** Names what a suspended execution waits for. */
export const WaitpointId = boundedText(128).pipe(Schema.brand("WaitpointId"));
export type WaitpointId = typeof WaitpointId.Type;

/** Names one append, so that repeating it stores nothing. */
export const EventId = boundedText(200).pipe(Schema.brand("EventId"));
export type EventId = typeof EventId.Type;

/** Names a durable subscription; with its family in front it is the name of a NATS consumer. */
export const SubscriptionName = matching(
  /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/,
  "a subscription name: a letter or digit, then up to 63 letters, digits, _ or -",
).pipe(Schema.brand("SubscriptionName"));
export type SubscriptionName = typeof SubscriptionName.Type;

/** Milliseconds since the epoch, as far as a `Date` reaches. */
export const Timestamp = Schema.Int.check(
  Schema.isBetween({ minimum: 0, maximum: 8_640_000_000_000_000 }),
).pipe(Schema.brand("Timestamp"));
export type Timestamp = typeof Timestamp.Type;

/** A hundred years: from any time of today on, calendars hold its end. */
export const longestMs = 36_525 * 24 * 60 * 60 * 1_000;

type Decode = (value: unknown) => Result.Result<unknown, Schema.SchemaError>;
const decoders = new WeakMap<object, Decode>();

/** Compiling costs several times what decoding an id does. */
const decoderOf = (schema: Schema.ConstraintDecoder<unknown>): Decode => {
  let decode = decoders.get(schema);
  if (decode === undefined) {
    decode = Schema.decodeUnknownResult(schema);
    decoders.set(schema, decode);
  }
  return decode;
};

/** A value from outside as an error shows it, whatever it is. */
export const shown = (value: unknown): string => {
  let text: string;
  try {
    text = typeof value === "string" ? value : Formatter.format(value);
  } catch {
    // It is too deep, or says itself how it is shown.
    text = typeof value;
  }
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
};

/** Checks a value from outside, or says what is wrong with it. */
export const parse = <S extends Schema.ConstraintDecoder<unknown>>(
  schema: S,
  what: string,
  value: unknown,
): Effect.Effect<S["Type"], InvalidInput> => {
  const decoded = decoderOf(schema)(value);
  if (Result.isSuccess(decoded)) return Effect.succeed(decoded.success);
  return Effect.fail(
    new InvalidInput({
      what,
      value: shown(value),
      rule: decoded.failure.message.replace("Expected", "expected").replace(/\s+/g, " "),
    }),
  );
};

const isActorName = Schema.is(ActorName);

/** An execution id as its actor's name and the rest, or the whole where it names no actor. */
export const executionIdentity = (
  execution: ExecutionId,
): { readonly actor: ActorName | undefined; readonly name: string } => {
  const slash = execution.indexOf("/");
  const actor = execution.slice(0, Math.max(slash, 0));
  return isActorName(actor) && slash + 1 < execution.length
    ? { actor, name: execution.slice(slash + 1) }
    : { actor: undefined, name: execution };
};

/** The text that `executionIdentity` took apart. */
export const executionText = (actor: string | undefined, name: string): string =>
  actor === undefined ? name : `${actor}/${name}`;

/** An execution by its actor's name and its own, if both are legal. */
export const namedExecution = (
  actorName: string,
  name: string,
): Effect.Effect<
  { readonly actor: ActorName; readonly execution: ExecutionId },
  InvalidInput
> =>
  Effect.gen(function* () {
    const actor = yield* parse(ActorName, "actor name", actorName);
    if (typeof name !== "string" || name === "") {
      return yield* new InvalidInput({
        what: "execution id",
        value: shown(name),
        rule: "expected a text that is not empty",
      });
    }
    return {
      actor,
      execution: yield* parse(ExecutionId, "execution id", executionText(actor, name)),
    };
  });
