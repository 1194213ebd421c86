/**
 * What can happen to an execution, as the event store keeps it: sixteen kinds, of which `custom`
 * carries whatever else an application records. Only these can be appended; an event of a later
 * release is read as `other` and kept whole. Optional fields may be undefined, since callers pass on
 * what they have, and are then left out of the record.
 */
import type * as Effect from "effect/Effect";
import * as Schema from "effect/Schema";
import * as SchemaGetter from "effect/SchemaGetter";
import type { InvalidInput } from "./errors.ts";
import { ExecutionId, parse, Timestamp } from "./ids.ts";
import { Json } from "./json.ts";
import { objectOfUnknownType } from "./other.ts";

const optionalText = Schema.optional(Schema.String);
const optionalJson = Schema.optional(Json);

/** What a failure was about; `policyViolation` and what follows it are never worth a retry. */
const ErrorCategory = Schema.Union([
  Schema.StringForLiteralAutocomplete,
  Schema.Literals([
    "llmError",
    "toolError",
    "timeout",
    "networkError",
    "policyViolation",
    "quotaExceeded",
    "kernelInternal",
    "validationError",
  ]),
]);

/** How a failure may be retried. */
export const RetryPolicy = Schema.Struct({
  retryable: Schema.Boolean,
  maxRetries: Schema.optional(Schema.Natural),
  backoffStrategy: optionalText,
  baseDelayMs: Schema.optional(Schema.Natural),
  maxDelayMs: Schema.optional(Schema.Natural),
  requiresIdempotencyKey: Schema.optional(Schema.Boolean),
});
export type RetryPolicy = typeof RetryPolicy.Type;

/** Why a step or an execution failed. */
export const ExecutionError = Schema.Struct({
  category: ErrorCategory,
  message: Schema.String,
  retryPolicy: Schema.optional(RetryPolicy),
  code: optionalText,
  attempt: Schema.optional(Schema.Int.check(Schema.isGreaterThanOrEqualTo(1))),
  stepId: optionalText,
  provider: optionalText,
  httpStatus: Schema.optional(Schema.Natural),
  details: optionalJson,
  occurredAt: Schema.optional(Timestamp),
});
export type ExecutionError = typeof ExecutionError.Type;

/** The execution, and the step in it, that started another one. */
export const ParentLink = Schema.Struct({ executionId: ExecutionId, stepId: optionalText });
export type ParentLink = typeof ParentLink.Type;

const kind = <const Type extends string, const Fields extends Schema.Struct.Fields>(
  type: Type,
  fields: Fields,
) => Schema.Struct({ type: Schema.tag(type), ...fields });

/**
 * An event that can be appended.
 *
 * @example An event of your own
 * ```ts
 * import { ExecutionEvent } from "@weir/weir/schema";
 *
 * const event = ExecutionEvent.cases.custom.make({ eventType: "invoiced", data: { cents: 4200 } });
 * ```
 */
export const ExecutionEvent = Schema.Union([
  kind("executionStarted", { parent: Schema.optional(ParentLink), metadata: optionalJson }),
  kind("stepStarted", {
    stepId: Schema.String,
    parentStepId: optionalText,
    stepType: Schema.String,
    name: Schema.String,
  }),
  kind("stepCompleted", {
    stepId: Schema.String,
    output: optionalJson,
    durationMs: Schema.Natural,
  }),
  kind("stepFailed", { stepId: Schema.String, error: ExecutionError }),
  kind("executionPaused", { reason: Schema.String }),
  kind("executionResumed", {}),
  kind("executionCompleted", { output: optionalJson, durationMs: Schema.Natural }),
  kind("executionFailed", { error: ExecutionError }),
  kind("executionCancelled", { reason: Schema.String }),
  kind("artifactStored", {
    artifactId: Schema.String,
    stepId: Schema.String,
    contentHash: Schema.String,
    sizeBytes: Schema.Natural,
  }),
  kind("stepDiscovered", {
    stepId: Schema.String,
    discoveredBy: optionalText,
    sourceType: Schema.String,
    reason: Schema.String,
    depth: Schema.Natural,
  }),
  kind("toolCallStarted", {
    stepId: optionalText,
    toolCallId: Schema.String,
    toolName: Schema.String,
    input: Json,
  }),
  kind("toolCallCompleted", {
    stepId: optionalText,
    toolCallId: Schema.String,
    output: Json,
  }),
  kind("checkpointSaved", {
    stepId: optionalText,
    checkpointId: Schema.String,
    stateHash: Schema.String,
  }),
  kind("goalEvaluated", {
    stepId: optionalText,
    goalId: Schema.String,
    status: Schema.String,
    score: Schema.optional(Schema.Finite),
    reason: optionalText,
  }),
  kind("custom", { eventType: Schema.NonEmptyString, data: Json }),
]).pipe(Schema.toTaggedUnion("type"));
export type ExecutionEvent = typeof ExecutionEvent.Type;

/** What callers pass to append an event: the same without brands. */
export type ExecutionEventInput = typeof ExecutionEvent.Encoded;

const known = ExecutionEvent.discriminants;

/** An event of a type that this release does not know, whole. It can be read and not appended. */
export const OtherEvent = Schema.Struct({
  type: Schema.tag("other"),
  raw: objectOfUnknownType(known),
}).pipe(Schema.encodeTo(Schema.JsonObject, {
  decode: SchemaGetter.transform((raw) => ({ type: "other" as const, raw })),
  encode: SchemaGetter.transform(({ raw }) => raw),
}));
export type OtherEvent = typeof OtherEvent.Type;

/** An event as it is read. */
export const RecordedEvent = Schema.Union([...ExecutionEvent.members, OtherEvent]);
export type RecordedEvent = typeof RecordedEvent.Type;

const Appendable = Schema.Union(ExecutionEvent.members).annotate({
  expected: `an event with a type, one of ${known.join(", ")}`,
});

/** Checks an event before it is appended; fields that its type does not have are dropped. */
export const parseExecutionEvent = (event: unknown): Effect.Effect<ExecutionEvent, InvalidInput> =>
  parse(Appendable, "event", event);
