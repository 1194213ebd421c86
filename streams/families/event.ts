/**
 * One entry of the log as an event of its family. A kind, an outcome or an effect that this release
 * does not know keeps what it said, and so does the whole of a record in a newer format; only what
 * no Weir wrote is no event. Whether its owner was the owner still, the fence had decided before.
 */
import * as Option from "effect/Option";
import * as Schema from "effect/Schema";
import type { CompletionEvent, Outcome } from "../../schema/completion.ts";
import type { Cursor } from "../../schema/cursor.ts";
import { familyFields } from "../../schema/family.ts";
import { parseStored } from "../../schema/json.ts";
import {
  type ExecutionId,
  SignalId,
  type Tenant,
  Timestamp,
  WaitpointId,
} from "../../schema/ids.ts";
import type { InstanceTagEvent } from "../../schema/instance_tags.ts";
import type { LeaseHistoryEvent } from "../../schema/lease_history.ts";
import { LeaseRecord } from "../../schema/lease_record.ts";
import { type SignalDeliveryEvent, SignalEffect } from "../../schema/signal_delivery.ts";
import { nonceOfId } from "../fence.ts";
import type { Entry } from "../log.ts";
import { type Layout, placedBySubject } from "../subjects.ts";

/** The version of the records that are read field by field. */
const version = 1;

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

const readRecord = Schema.decodeUnknownOption(
  Schema.StructWithRest(
    Schema.Struct({ v: Schema.Natural, kind: Schema.String }),
    [Schema.JsonObject],
  ),
);
type Fields = Schema.JsonObject & { readonly v: number; readonly kind: string };

const fieldsOf = ({ body, removed }: Entry): Fields | undefined => {
  if (removed) return undefined;
  try {
    return Option.getOrUndefined(readRecord(parseStored(decoder.decode(body))));
  } catch {
    return undefined;
  }
};

/** What only an execution's owner writes. */
const ownFieldsOf = (entry: Entry, kind: string): Fields | undefined => {
  if (entry.id === undefined || nonceOfId(entry.id) === undefined) return undefined;
  const fields = fieldsOf(entry);
  return fields?.kind === kind ? fields : undefined;
};

interface About {
  readonly executionId: ExecutionId;
  readonly tenant: Tenant;
  readonly at: Timestamp;
}

const aboutOf = (layout: Layout, { shard, subject, at }: Entry): About | undefined => {
  const placed = placedBySubject(layout, shard, subject);
  return placed === undefined
    ? undefined
    : { executionId: placed.execution, tenant: placed.tenant, at: Timestamp.make(at) };
};

const omit = (fields: Schema.JsonObject, names: ReadonlyArray<string>): Schema.JsonObject =>
  Object.fromEntries(Object.entries(fields).filter(([name]) => !names.includes(name)));

/** The names that every event has a field of its own for. */
const taken = [...Object.keys(familyFields), "type"];

/** An event whose type, in that field, this release does not know; or, without one, whose format. */
const otherEvent = (about: About, fields: Fields, typeField?: string) => {
  const raw = typeField === undefined
    ? omit(fields, taken)
    : { type: fields[typeField] ?? null, ...omit(fields, [...taken, "v", "kind", typeField]) };
  return (cursor: Cursor) => ({ type: "other" as const, cursor, ...about, raw });
};

const optional = <const Name extends string, A>(name: Name, value: Option.Option<A>) =>
  (Option.isNone(value) ? {} : { [name]: value.value }) as { readonly [N in Name]?: A };

const readLease = Schema.decodeUnknownOption(LeaseRecord);
const leaseKinds: ReadonlyArray<string> = Object.keys(LeaseRecord.cases);

export const leaseHistory = (
  layout: Layout,
  entry: Entry,
): ((cursor: Cursor) => LeaseHistoryEvent) | undefined => {
  const fields = fieldsOf(entry);
  const about = aboutOf(layout, entry);
  if (fields === undefined || about === undefined) return undefined;
  const { v, kind } = fields;
  if (v > version) return otherEvent(about, fields);
  if (!leaseKinds.includes(kind)) return otherEvent(about, fields, "kind");
  const record = Option.getOrUndefined(readLease(fields));
  if (record === undefined) return undefined;
  const { leaseId, workerInstanceId } = record;
  switch (record.kind) {
    case "expired":
      return (cursor) => ({
        type: "expired",
        cursor,
        ...about,
        leaseId,
        previousOwner: workerInstanceId,
      });
    case "reclaimed":
      return (cursor) => ({
        type: "reclaimed",
        cursor,
        ...about,
        newLeaseId: leaseId,
        newOwner: workerInstanceId,
      });
    case "revoked": {
      const { revokedBy } = record;
      return (cursor) => ({ type: "revoked", cursor, ...about, leaseId, revokedBy });
    }
    default: {
      const type = record.kind;
      return (cursor) => ({ type, cursor, ...about, leaseId, workerInstanceId });
    }
  }
};

const isOutcome = Schema.is(Schema.Literals(["success", "failure", "cancelled"]));
const readOutcome = Schema.decodeUnknownOption(Schema.Struct({ type: Schema.String }));

/** `expired` and `skipped` are Weir's own, and no words of the family. */
const outcomeOf = ({ v, outcome = null, ...fields }: Fields): Outcome => {
  if (v > version) return { type: "other", raw: { v, ...fields, outcome } };
  const type = Option.getOrUndefined(readOutcome(outcome))?.type;
  return isOutcome(type) ? type : { type: "other", raw: type ?? outcome };
};

export const completion = (
  layout: Layout,
  entry: Entry,
): ((cursor: Cursor) => CompletionEvent) | undefined => {
  const fields = ownFieldsOf(entry, "done");
  const about = aboutOf(layout, entry);
  if (fields === undefined || about === undefined) return undefined;
  const outcome = outcomeOf(fields);
  return (cursor) => ({ cursor, ...about, outcome });
};

const readSignalId = Schema.decodeUnknownOption(SignalId);
const readWaitpointId = Schema.decodeUnknownOption(WaitpointId);
const readText = Schema.decodeUnknownOption(Schema.String);
const readEffect = Schema.decodeUnknownSync(SignalEffect);

export const signalDelivery = (
  layout: Layout,
  entry: Entry,
): ((cursor: Cursor) => SignalDeliveryEvent) | undefined => {
  const fields = ownFieldsOf(entry, "signal");
  const about = aboutOf(layout, entry);
  const signalId = Option.getOrUndefined(readSignalId(fields?.signalId));
  if (fields === undefined || about === undefined || signalId === undefined) return undefined;
  const delivery = {
    signalId,
    ...optional("waitpointId", readWaitpointId(fields.key)),
    ...optional("sourceIdentity", readText(fields.source)),
    effect: fields.v > version
      ? { type: "other" as const, raw: fields }
      : readEffect(fields.effect ?? null),
  };
  return (cursor) => ({ cursor, ...about, ...delivery });
};

const isTagChange = Schema.is(Schema.Literals(["attached", "cleared"]));

export const instanceTag = (
  layout: Layout,
  entry: Entry,
): ((cursor: Cursor) => InstanceTagEvent) | undefined => {
  const fields = ownFieldsOf(entry, "tag");
  const about = aboutOf(layout, entry);
  if (fields === undefined || about === undefined) return undefined;
  const { v, change, name } = fields;
  if (v > version) return otherEvent(about, fields);
  if (!isTagChange(change)) return otherEvent(about, fields, "change");
  if (typeof name !== "string") return undefined;
  const value = optional("value", readText(fields.value));
  return (cursor) => ({ type: change, cursor, ...about, tag: name, ...value });
};
