/**
 * What happens to work, in 31 words: tasks and their runs, attempts, leases, budgets, subscriptions,
 * workers, tenants and ledgers. They are views of records that say the same, of which each transition
 * has one; none of them is stored. Which record tells which event is said where it is told.
 */
import * as Effect from "effect/Effect";
import * as Schema from "effect/Schema";
import * as SchemaGetter from "effect/SchemaGetter";
import { Cursor } from "./cursor.ts";
import { type CorruptRecord, UnknownRecordKind, type UnsupportedRecordVersion } from "./errors.ts";
import { ExecutionId, Tenant, Timestamp, WorkerInstanceId } from "./ids.ts";
import { Json } from "./json.ts";
import { objectOfUnknownType } from "./other.ts";
import { record, type RecordCodec, type RecordLocation } from "./record.ts";
import { RunPolicy } from "./run_policy.ts";
import { RunState } from "./run_state.ts";
import { Safety } from "./task.ts";

const optionalText = Schema.optionalKey(Schema.String);

/** Where an event stands, which all of them say. */
const placeFields = {
  /** Of the record that tells it. */
  sequence: Schema.Natural,
  /** Counts the events that one record tells, from 0. */
  ordinal: Schema.Natural,
  /** When the server stored the record. */
  at: Timestamp,
  executionId: Schema.optionalKey(ExecutionId),
  tenant: Schema.optionalKey(Tenant),
  cursor: Schema.optionalKey(Cursor),
};
const placeNames = Object.keys(placeFields);

const event = <const Kind extends string, const Fields extends Schema.Struct.Fields>(
  kind: Kind,
  fields: Fields,
) => Schema.Struct({ kind: Schema.tag(kind), ...placeFields, ...fields });

/** A task is an execution, or a schedule of several. */
const ofTask = { taskId: ExecutionId };
/** A run is an execution; one that is run again by hand is another run, `order/o-1#2`. */
const ofRun = { runId: Schema.NonEmptyString };
const ofAttempt = {
  ...ofRun,
  /** The issuance of the lease, a dot, and the attempt of the execution. */
  attemptId: Schema.NonEmptyString,
};
const ofLease = {
  ...ofRun,
  owner: WorkerInstanceId,
  /** When the lease lapses, or would have. */
  expiry: Timestamp,
};
const ofBudget = {
  /** The name of the budget. */
  taskId: Schema.String,
  dimension: Schema.String,
};
const ofSubscription = { subscriptionId: Schema.String };
const ofActor = { actorId: Schema.String };
const ofGrant = {
  ...ofActor,
  /** Left out: all tenants. */
  tenantId: Schema.optionalKey(Tenant),
};

const ofEngine = {
  /** Left out: all tenants. */
  tenantId: Schema.optionalKey(Tenant),
  /** Left out: all lanes. */
  lane: optionalText,
  reason: optionalText,
  /** Who did it, if that was for somebody. */
  actorId: optionalText,
};

/** What a task is to do, and how. */
export const TaskSpec = Schema.Struct({
  id: ExecutionId,
  payload: Schema.optionalKey(Json),
  runPolicy: RunPolicy,
  constraints: Schema.Struct({
    /** What its actor says, if left out. */
    maxAttempts: Schema.optionalKey(Schema.Natural),
    timeoutMs: Schema.optionalKey(Schema.Natural),
    concurrencyKey: optionalText,
    safetyLevel: Schema.optionalKey(Safety),
    requiredCapabilities: Schema.optionalKey(Schema.Array(Schema.String)),
  }),
  metadata: Schema.Struct({
    tags: Schema.Record(Schema.String, Schema.String),
    priority: Schema.Int,
    description: optionalText,
  }),
  parentTaskId: Schema.optionalKey(ExecutionId),
});
export type TaskSpec = typeof TaskSpec.Type;

/** A run as it is created. */
export const RunInstance = Schema.Struct({
  id: Schema.NonEmptyString,
  ...ofTask,
  state: RunState,
  createdAt: Timestamp,
  scheduledAt: Timestamp,
  effectivePriority: Schema.Int,
});
export type RunInstance = typeof RunInstance.Type;

export const AttemptResult = Schema.Literals(["success", "failure", "timeout", "suspended"]);
export type AttemptResult = typeof AttemptResult.Type;

/**
 * An event of work, in the order in which the numbers of `workEventNumbers` were given.
 *
 * @example Telling them apart
 * ```ts
 * import { Timestamp, WorkEvent } from "@weir/weir/schema";
 *
 * const event: WorkEvent = WorkEvent.cases.runStateChanged.make({
 *   sequence: 4,
 *   ordinal: 2,
 *   at: Timestamp.make(Date.now()),
 *   runId: "order/o-1",
 *   previousState: "scheduled",
 *   newState: "ready",
 * });
 * if (event.kind === "runStateChanged") console.log(event.newState);
 * ```
 */
export const WorkEvent = Schema.Union([
  event("taskCreated", { taskSpec: TaskSpec }),
  event("runCreated", { run: RunInstance }),
  /** Every transition but those that suspend, resume and cancel, which have a word of their own. */
  event("runStateChanged", { ...ofRun, previousState: RunState, newState: RunState }),
  event("attemptStarted", ofAttempt),
  event("attemptFinished", {
    ...ofAttempt,
    result: AttemptResult,
    /** Of a failure or a timeout. */
    error: optionalText,
    /** Of a success. */
    output: Schema.optionalKey(Json),
  }),
  event("taskCanceled", ofTask),
  event("runCanceled", ofRun),
  event("leaseAcquired", ofLease),
  event("leaseHeartbeat", ofLease),
  /** Its time was over, its owner gone, or somebody took it away. */
  event("leaseExpired", ofLease),
  event("leaseReleased", ofLease),
  event("enginePaused", ofEngine),
  event("engineResumed", ofEngine),
  event("dependencyDeclared", { ...ofTask, dependsOn: Schema.Array(ExecutionId) }),
  event("runSuspended", { ...ofRun, reason: optionalText }),
  event("runResumed", ofRun),
  event("budgetAllocated", {
    ...ofBudget,
    /** None, if the limit only points out. */
    limit: Schema.optionalKey(Schema.Natural),
  }),
  event("budgetConsumed", { ...ofBudget, amount: Schema.Natural }),
  /** Follows from the numbers: it has its place here, and nothing ever tells it. */
  event("budgetExhausted", ofBudget),
  event("budgetReplenished", { ...ofBudget, newLimit: Schema.optionalKey(Schema.Natural) }),
  event("subscriptionCreated", { ...ofSubscription, ...ofTask, filter: Json }),
  event("subscriptionTriggered", ofSubscription),
  event("subscriptionCanceled", ofSubscription),
  event("actorRegistered", {
    ...ofActor,
    identity: Schema.String,
    capabilities: Schema.Array(Schema.String),
    department: optionalText,
    heartbeatIntervalMs: Schema.Natural,
  }),
  event("actorDeregistered", ofActor),
  event("actorHeartbeat", ofActor),
  event("tenantCreated", { tenantId: Tenant, name: Schema.String }),
  event("roleAssigned", { ...ofGrant, role: Schema.String }),
  event("capabilityGranted", { ...ofGrant, capability: Schema.String }),
  event("capabilityRevoked", { ...ofGrant, capability: Schema.String }),
  event("ledgerEntryAppended", {
    entryId: Schema.String,
    tenantId: Tenant,
    ledgerKey: Schema.String,
    actorId: optionalText,
    payload: Json,
  }),
]).pipe(Schema.toTaggedUnion("kind"));
export type WorkEvent = typeof WorkEvent.Type;
export type WorkEventKind = WorkEvent["kind"];

/** The kinds in their order, to which later ones are only ever added. */
export const workEventKinds: ReadonlyArray<WorkEventKind> = WorkEvent.discriminants;

/** The number of each kind, from 0 to 30. */
export const workEventNumbers: { readonly [Kind in WorkEventKind]: number } = Object.fromEntries(
  workEventKinds.map((kind, number) => [kind, number]),
) as { [Kind in WorkEventKind]: number };

type WithoutPlace<Event> = Event extends WorkEvent ? Omit<Event, keyof typeof placeFields> : never;
/** What an event says, wherever it stands. */
export type WorkFact = WithoutPlace<WorkEvent>;

const OnWire = Schema.StructWithRest(
  Schema.Struct({
    sequence: Schema.Number,
    ordinal: Schema.Number,
    at: Schema.Number,
    executionId: optionalText,
    tenant: optionalText,
    cursor: optionalText,
  }),
  [Schema.JsonObject],
);

/**
 * An event of a kind that this release does not know, or what a record of a later release tells;
 * `raw` holds all of it but its place.
 */
export const OtherWorkEvent = Schema.Struct({
  kind: Schema.tag("other"),
  ...placeFields,
  raw: objectOfUnknownType(workEventKinds, "kind").check(
    Schema.makeFilter<Schema.JsonObject>(
      (raw) => !placeNames.some((name) => Object.hasOwn(raw, name)),
      { expected: `fields other than ${placeNames.join(", ")}` },
    ),
  ),
}).pipe(Schema.encodeTo(OnWire, {
  decode: SchemaGetter.transform(
    ({ sequence, ordinal, at, executionId, tenant, cursor, ...raw }) => ({
      kind: "other" as const,
      sequence,
      ordinal,
      at,
      ...(executionId === undefined ? {} : { executionId }),
      ...(tenant === undefined ? {} : { tenant }),
      ...(cursor === undefined ? {} : { cursor }),
      raw,
    }),
  ),
  encode: SchemaGetter.transform(({ kind: _, raw, ...fields }) => ({ ...raw, ...fields })),
}));
export type OtherWorkEvent = typeof OtherWorkEvent.Type;
/** What a record of a later release says, which is handed on as it is. */
export type OtherWorkFact = Pick<OtherWorkEvent, "kind" | "raw">;

/** An event as readers meet it. */
export const RecordedWorkEvent = Schema.Union([...WorkEvent.members, OtherWorkEvent]);
export type RecordedWorkEvent = typeof RecordedWorkEvent.Type;

/** What one record says, as events at its place. */
export const workEventsAt = (
  place: Omit<Pick<WorkEvent, keyof typeof placeFields>, "ordinal">,
  facts: ReadonlyArray<WorkFact | OtherWorkFact>,
): ReadonlyArray<RecordedWorkEvent> =>
  facts.map((fact, ordinal) => ({ ...fact, ...place, ordinal }));

/** An event as bytes, for who keeps or sends them: JSON with its version. */
export const workEventRecord: RecordCodec<WorkEvent> = record(1, WorkEvent);

const kindOf = (body: Uint8Array): unknown => {
  try {
    return JSON.parse(new TextDecoder().decode(body))?.kind;
  } catch {
    return undefined;
  }
};

/** For who acts on events, and must not pass over one that it does not understand. */
export const decodeWorkEvent = (
  body: Uint8Array,
  location: RecordLocation,
): Effect.Effect<WorkEvent, CorruptRecord | UnsupportedRecordVersion | UnknownRecordKind> =>
  Effect.mapError(workEventRecord.decode(body, location), (error) => {
    const kind = error._tag === "CorruptRecord" ? kindOf(body) : undefined;
    return typeof kind !== "string" || (workEventKinds as ReadonlyArray<string>).includes(kind)
      ? error
      : new UnknownRecordKind({ ...location, kind });
  });
