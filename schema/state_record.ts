/**
 * Where an execution stood after one of its journal records, left by its owner for the next one: a
 * shortcut for replay, never the truth. It names the last journal record and, apart from that, the
 * last mailbox message that were taken in; whoever reads it checks that the log has that record, and
 * goes by the log alone if not.
 */
import * as Schema from "effect/Schema";
import { Failure } from "./failure.ts";
import { ActorName, ExecutionId, SignalId, Tenant, Timestamp } from "./ids.ts";
import { Json } from "./json.ts";
import { OutcomeRecord } from "./outcome_record.ts";
import { ParentReference } from "./parent_reference.ts";
import { record } from "./record.ts";
import { Route } from "./route.ts";

const optionalText = Schema.optionalKey(Schema.String);
const optionalTime = Schema.optionalKey(Timestamp);

const result = <const Type extends string, const Fields extends Schema.Struct.Fields>(
  type: Type,
  fields: Fields,
) => Schema.Struct({ type: Schema.tag(type), ...fields });

const Result = Schema.Union([
  result("value", { value: Schema.optionalKey(Json) }),
  result("failure", { failure: Failure }),
  result("timeout", {}),
  result("ended", { outcome: OutcomeRecord }),
  result("cancelled", {}),
]);

const operation = <const Kind extends string, const Fields extends Schema.Struct.Fields>(
  kind: Kind,
  fields: Fields,
) =>
  Schema.Struct({
    key: Schema.String,
    kind: Schema.tag(kind),
    opened: Schema.Natural,
    since: Timestamp,
    settled: Schema.optionalKey(Schema.Struct({ order: Schema.Natural, result: Result })),
    ...fields,
  });

const child = {
  actor: ActorName,
  execution: ExecutionId,
  tenant: Tenant,
  route: Schema.optionalKey(Route),
  onParentEnd: Schema.Literals(["cancel", "abandon"]),
};

const KeyedOperation = Schema.Union([
  operation("run", {
    tries: Schema.Natural,
    failure: Schema.optionalKey(Failure),
    retryAt: optionalTime,
    progress: Schema.optionalKey(Json),
  }),
  operation("sleep", { due: Timestamp }),
  operation("wait", { signal: Schema.String, due: optionalTime }),
  operation("call", child),
  operation("spawn", child),
  operation("end", child),
  operation("note", {}),
  operation("cell", {}),
  operation("tag", {}),
]);

/** What a subject of kind `snap` holds. */
export const StateRecord = Schema.Struct({
  kind: Schema.tag("state"),
  life: Schema.Natural,
  /** The last journal record that is in it: its number, and where the stream has it. */
  index: Schema.Natural,
  sequence: Schema.Natural,
  /** The last mailbox message that is in it. */
  mail: Schema.Natural,
  /** Over everything else, so that damage shows. */
  checksum: Schema.String,
  /** The state left before this one, if it is still there. */
  previous: Schema.optionalKey(Schema.Natural),
  operations: Schema.Array(KeyedOperation),
  opened: Schema.Natural,
  settled: Schema.Natural,
  buffered: Schema.Array(Schema.Struct({
    sequence: Schema.Natural,
    signalId: SignalId,
    name: Schema.String,
    payload: Schema.optionalKey(Json),
    source: optionalText,
  })),
  signalKeys: Schema.Record(Schema.String, SignalId),
  formerSignalKeys: Schema.optionalKey(Schema.Record(Schema.String, SignalId)),
  signals: Schema.Natural,
  cells: Schema.Record(Schema.String, Json),
  tags: Schema.Record(Schema.String, Schema.String),
  cancel: Schema.optionalKey(
    Schema.Struct({ order: Schema.Natural, force: Schema.Boolean, reason: optionalText }),
  ),
  paused: Schema.optionalKey(Schema.Struct({ reason: optionalText })),
  failures: Schema.Natural,
  retryAt: optionalTime,
  promoted: optionalTime,
  attempt: Schema.Natural,
  epoch: Schema.Natural,
  replays: Schema.Natural,
  joins: Schema.Array(ParentReference),
  reclaims: Schema.Natural,
  continued: Schema.optionalKey(
    Schema.Struct({
      count: Schema.Natural,
      opened: Schema.Natural,
      input: Schema.optionalKey(Json),
    }),
  ),
});
export type StateRecord = typeof StateRecord.Type;

/** The body of a message of kind `snap`. */
export const stateRecord = record(1, StateRecord);
