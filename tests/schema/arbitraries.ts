/** What may occur in ids and payloads, for the property tests of this folder. */
import * as Schema from "effect/Schema";
import * as fc from "fast-check";
import { Cursor, type CursorPosition, encodeCursor } from "../../schema/cursor.ts";
import type { ExecutionEvent } from "../../schema/execution_event.ts";
import {
  EventId,
  ExecutionId,
  LeaseId,
  SignalId,
  Tenant,
  Timestamp,
  WaitpointId,
  WorkerInstanceId,
} from "../../schema/ids.ts";

const utf8 = new TextEncoder();
export const byteLength = (text: string): number => utf8.encode(text).length;

/** Non-empty, well-formed text of at most so many bytes, full of characters that subjects dislike. */
export const text = (maxBytes: number): fc.Arbitrary<string> =>
  fc.array(
    fc.oneof(
      fc.string({ unit: "binary", minLength: 1, maxLength: 1 }),
      fc.constantFrom(..."aZ09_-.*> =/%$\u0000\n", "é", "漢", "🙂"),
    ),
    { minLength: 1, maxLength: maxBytes },
  ).map((characters) => {
    let kept = "";
    for (const character of characters) {
      if (byteLength(kept + character) > maxBytes) break;
      kept += character;
    }
    return kept;
  });

/** Any UTF-16 text, lone surrogates included. */
export const utf16 = fc.array(fc.nat(0xffff)).map((units) => String.fromCharCode(...units));

export const natural = fc.maxSafeNat();
export const json = fc.jsonValue() as fc.Arbitrary<Schema.Json>;

/** The same record without the keys whose value was drawn as undefined. */
export const defined = <T extends object>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T> =>
  arbitrary.map((value) =>
    Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as T
  );

export const executionId = text(200).map((id) => ExecutionId.make(id));
export const tenant = text(64).map((id) => Tenant.make(id));
export const leaseId = text(128).map((id) => LeaseId.make(id));
export const worker = text(128).map((id) => WorkerInstanceId.make(id));
export const signalId = text(128).map((id) => SignalId.make(id));
export const waitpointId = text(128).map((id) => WaitpointId.make(id));
export const eventId = text(200).map((id) => EventId.make(id));
export const timestamp = fc.nat({ max: 8_640_000_000_000_000 }).map((at) => Timestamp.make(at));

export const position: fc.Arbitrary<CursorPosition> = fc.record({
  incarnation: fc.string({
    unit: fc.constantFrom(..."0123456789abcdef"),
    minLength: 16,
    maxLength: 16,
  }),
  shards: fc.array(fc.record({ sequence: natural, at: natural }), { minLength: 1, maxLength: 9 }),
});
export const cursor = position.map((position) => Cursor.make(encodeCursor(position)));

export const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });

/** Encodes to what JSON leaves of a value, and decodes it. */
export const reread = <S extends Schema.ConstraintCodec<unknown, unknown>>(schema: S) => {
  const encodeValue = Schema.encodeSync(schema);
  return {
    encode: (value: S["Type"]): unknown => JSON.parse(JSON.stringify(encodeValue(value))),
    decode: Schema.decodeUnknownSync(schema),
  };
};

/** The common fields of a family event. */
export const family = { cursor, executionId, tenant: maybe(tenant), at: timestamp };

/** A wire object of a type that this release does not know, or of none. */
export const unknownObject = (known: ReadonlyArray<string>): fc.Arbitrary<Schema.JsonObject> =>
  fc.tuple(
    fc.dictionary(fc.string(), json, { noNullPrototype: true }),
    fc.oneof(
      fc.record({ type: fc.oneof(fc.constantFrom("other", "__proto__", ""), fc.string(), json) }),
      fc.constant({}),
    ),
  ).map(([fields, type]) => ({ ...fields, ...type })).filter(({ type }) =>
    typeof type !== "string" || !known.includes(type)
  );

/** The same with the common fields of a family. */
export const unknownFamilyObject = (known: ReadonlyArray<string>) =>
  fc.record({
    common: defined(fc.record(family)),
    raw: unknownObject(known).map((fields) =>
      Object.fromEntries(Object.entries(fields).filter(([field]) => !(field in family)))
    ),
  }).map(({ common, raw }) => ({ common, raw, wire: { ...raw, ...common } }));

const executionError = defined(fc.record({
  category: fc.oneof(fc.constantFrom("toolError", "timeout"), fc.string()),
  message: fc.string(),
  retryPolicy: maybe(defined(fc.record({
    retryable: fc.boolean(),
    maxRetries: maybe(natural),
    backoffStrategy: maybe(fc.string()),
    baseDelayMs: maybe(natural),
    maxDelayMs: maybe(natural),
    requiresIdempotencyKey: maybe(fc.boolean()),
  }))),
  code: maybe(fc.string()),
  attempt: maybe(fc.integer({ min: 1 })),
  stepId: maybe(fc.string()),
  provider: maybe(fc.string()),
  httpStatus: maybe(natural),
  details: maybe(json),
  occurredAt: maybe(timestamp),
}));

const kind = <const Type extends string, T>(
  type: Type,
  fields: { [K in keyof T]: fc.Arbitrary<T[K]> },
) => defined(fc.record({ type: fc.constant(type), ...fields }));

const name = fc.string({ unit: "binary" });

/** Every kind of event that can be appended. */
export const executionEvent = fc.oneof(
  kind("executionStarted", {
    parent: maybe(defined(fc.record({ executionId, stepId: maybe(name) }))),
    metadata: maybe(json),
  }),
  kind("stepStarted", { stepId: name, parentStepId: maybe(name), stepType: name, name }),
  kind("stepCompleted", { stepId: name, output: maybe(json), durationMs: natural }),
  kind("stepFailed", { stepId: name, error: executionError }),
  kind("executionPaused", { reason: name }),
  kind("executionResumed", {}),
  kind("executionCompleted", { output: maybe(json), durationMs: natural }),
  kind("executionFailed", { error: executionError }),
  kind("executionCancelled", { reason: name }),
  kind("artifactStored", {
    artifactId: name,
    stepId: name,
    contentHash: name,
    sizeBytes: natural,
  }),
  kind("stepDiscovered", {
    stepId: name,
    discoveredBy: maybe(name),
    sourceType: name,
    reason: name,
    depth: natural,
  }),
  kind("toolCallStarted", { stepId: maybe(name), toolCallId: name, toolName: name, input: json }),
  kind("toolCallCompleted", { stepId: maybe(name), toolCallId: name, output: json }),
  kind("checkpointSaved", { stepId: maybe(name), checkpointId: name, stateHash: name }),
  kind("goalEvaluated", {
    stepId: maybe(name),
    goalId: name,
    status: name,
    score: maybe(fc.double({ noNaN: true, noDefaultInfinity: true }).map((score) => score + 0)),
    reason: maybe(name),
  }),
  kind("custom", { eventType: fc.string({ minLength: 1 }), data: json }),
) as fc.Arbitrary<ExecutionEvent>;
