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
/** In the form that JSON gives back, which has no -0. */
export const json: fc.Arbitrary<Schema.Json> = fc.jsonValue().map((value) =>
  JSON.parse(JSON.stringify(value))
);

/** A record whose optional fields are there or not. */
export const fields = <Required, Optional>(
  required: { [K in keyof Required]: fc.Arbitrary<Required[K]> },
  optional: { [K in keyof Optional]: fc.Arbitrary<Optional[K]> },
) =>
  fc.tuple(
    fc.record<Required>(required),
    fc.record<Optional, never>(optional, { requiredKeys: [] }),
  ).map(([required, optional]) => ({ ...required, ...optional }));

export const executionId = text(200).map((id) => ExecutionId.make(id));
export const tenant = text(64).map((id) => Tenant.make(id));
export const leaseId = text(128).map((id) => LeaseId.make(id));
export const worker = text(128).map((id) => WorkerInstanceId.make(id));
export const signalId = text(128).map((id) => SignalId.make(id));
export const waitpointId = text(128).map((id) => WaitpointId.make(id));
export const eventId = text(200).map((id) => EventId.make(id));
export const timestamp = fc.nat({ max: 8_640_000_000_000_000 }).map((at) => Timestamp.make(at));

export const position: fc.Arbitrary<CursorPosition> = fc.tuple(
  fc.string({ unit: fc.constantFrom(..."0123456789abcdef"), minLength: 16, maxLength: 16 }),
  fc.array(fc.tuple(natural, natural), { minLength: 1, maxLength: 9 }),
).map(([incarnation, shards]) => ({
  incarnation,
  shards: shards.map(([sequence, at]) => ({ sequence, at })),
}));
export const cursor = position.map((position) => Cursor.make(encodeCursor(position)));

/** Encodes to what JSON leaves of a value, and decodes it. */
export const reread = <S extends Schema.ConstraintCodec<unknown, unknown>>(schema: S) => {
  const encodeValue = Schema.encodeSync(schema);
  return {
    encode: (value: S["Type"]): unknown => JSON.parse(JSON.stringify(encodeValue(value))),
    decode: Schema.decodeUnknownSync(schema),
  };
};

/** An event of a family: its own fields, and those that all families share. */
export const familyEvent = <Required, Optional>(
  required: { [K in keyof Required]: fc.Arbitrary<Required[K]> },
  optional: { [K in keyof Optional]: fc.Arbitrary<Optional[K]> },
) =>
  fc.tuple(
    fields({ cursor, executionId, at: timestamp }, { tenant }),
    fields(required, optional),
  ).map(([common, own]) => ({ ...common, ...own }));

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
    common: familyEvent({}, {}),
    raw: unknownObject(known).map((object) =>
      Object.fromEntries(
        Object.entries(object).filter(([field]) =>
          !["cursor", "executionId", "tenant", "at"].includes(field)
        ),
      )
    ),
  }).map(({ common, raw }) => ({ common, raw, wire: { ...raw, ...common } }));

const retryPolicy = fields({ retryable: fc.boolean() }, {
  maxRetries: natural,
  backoffStrategy: fc.string(),
  baseDelayMs: natural,
  maxDelayMs: natural,
  requiresIdempotencyKey: fc.boolean(),
});

const error = fields({
  category: fc.oneof(fc.constantFrom("toolError", "timeout"), fc.string()),
  message: fc.string(),
}, {
  retryPolicy,
  code: fc.string(),
  attempt: fc.integer({ min: 1 }),
  stepId: fc.string(),
  provider: fc.string(),
  httpStatus: natural,
  details: json,
  occurredAt: timestamp,
});

const event = <const Type extends string, Required, Optional = unknown>(
  type: Type,
  required: { [K in keyof Required]: fc.Arbitrary<Required[K]> },
  optional: { [K in keyof Optional]: fc.Arbitrary<Optional[K]> },
) => fields(required, optional).map((fields) => ({ type, ...fields }));

const name = fc.string({ unit: "binary" });
const score = fc.double({ noNaN: true, noDefaultInfinity: true }).map((score) => score + 0);

/** Every kind of event that can be appended. */
export const executionEvent: fc.Arbitrary<ExecutionEvent> = fc.oneof(
  event("executionStarted", {}, {
    parent: fields({ executionId }, { stepId: name }),
    metadata: json,
  }),
  event("stepStarted", { stepId: name, stepType: name, name }, { parentStepId: name }),
  event("stepCompleted", { stepId: name, durationMs: natural }, { output: json }),
  event("stepFailed", { stepId: name, error }, {}),
  event("executionPaused", { reason: name }, {}),
  event("executionResumed", {}, {}),
  event("executionCompleted", { durationMs: natural }, { output: json }),
  event("executionFailed", { error }, {}),
  event("executionCancelled", { reason: name }, {}),
  event("artifactStored", {
    artifactId: name,
    stepId: name,
    contentHash: name,
    sizeBytes: natural,
  }, {}),
  event("stepDiscovered", { stepId: name, sourceType: name, reason: name, depth: natural }, {
    discoveredBy: name,
  }),
  event("toolCallStarted", { toolCallId: name, toolName: name, input: json }, { stepId: name }),
  event("toolCallCompleted", { toolCallId: name, output: json }, { stepId: name }),
  event("checkpointSaved", { checkpointId: name, stateHash: name }, { stepId: name }),
  event("goalEvaluated", { goalId: name, status: name }, { stepId: name, score, reason: name }),
  event("custom", { eventType: fc.string({ minLength: 1 }), data: json }, {}),
);
