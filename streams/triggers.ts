/**
 * Triggers and emitted events in the log. All of a tenant's are in one shard: each trigger is a
 * register, so that of several who have it fire for the same thing one does; each event that has an
 * id is under a subject of its own, so that it is there once. What makes a trigger fire is decided
 * elsewhere.
 */
import * as Effect from "effect/Effect";
import * as Metric from "effect/Metric";
import * as Stream from "effect/Stream";
import { ExecutionId, Tenant } from "../schema/ids.ts";
import { decodeToken, encodeToken } from "../schema/token.ts";
import type { EventKey, TriggerId } from "../schema/trigger.ts";
import {
  type EmittedRecord,
  emittedRecord,
  type TriggerRecord,
  triggerRecord,
} from "../schema/trigger_record.ts";
import type { AppendError, Entry, Log, ReadError } from "./log.ts";
import { skippedRecords } from "./metrics.ts";
import * as Register from "./register.ts";
import {
  type Address,
  executionAddress,
  type Filter,
  hash,
  type Layout,
  shardRoot,
  subjectOf,
  tokenOfAny,
} from "./subjects.ts";

/** The actor of the executions that keep triggers, and whose they are. */
export const triggersActor = "weir-triggers";
export const triggersTenant = Tenant.make("weir");

/** The execution that keeps the triggers of a tenant. */
export const keeperExecution = (tenant: Tenant): ExecutionId =>
  ExecutionId.make(`${triggersActor}/${tenant}`);

/** How long an event is there for those who keep triggers; a trigger, after its end. */
export const keptSeconds = 7 * 24 * 60 * 60;

/** No encoded text looks like this. */
const anyId = "=any";

const addressOf = (layout: Layout, tenant: Tenant, rest: string, label: string): Address => {
  const token = encodeToken(tenant);
  const shard = layout.shards === 1 ? 0 : hash(token) % layout.shards;
  return { shard, root: shardRoot(layout, shard), tail: `${token}.${rest}`, label };
};

export const triggerAddress = (layout: Layout, tenant: Tenant, id: TriggerId): Address =>
  addressOf(layout, tenant, tokenOfAny(id), `the trigger ${id}`);

const filterOf = (address: Address, kind: "trigger" | "emitted"): Filter => ({
  shard: address.shard,
  subject: subjectOf(address, kind),
});

export const triggersFilter = (layout: Layout, tenant: Tenant): Filter =>
  filterOf(addressOf(layout, tenant, "*", "triggers"), "trigger");

/** The events of a tenant, or those of one key. */
export const emittedFilter = (layout: Layout, tenant: Tenant, key?: EventKey): Filter =>
  filterOf(
    addressOf(layout, tenant, `${key === undefined ? "*" : tokenOfAny(key)}.*`, "events"),
    "emitted",
  );

/** The budget or the like that a subject ends with. */
export const lastToken = (subject: string): string | undefined =>
  decodeToken(subject.slice(subject.lastIndexOf(".") + 1));

/** What has become of a trigger: its record, or that it is there no more. */
export interface TriggerEntry {
  readonly subject: string;
  readonly sequence: number;
  readonly record: TriggerRecord | undefined;
}

export const make = (log: Log["Service"]) => {
  const { layout } = log;
  const register = Register.make(log, "trigger", triggerRecord);
  const ofId = (tenant: Tenant, id: TriggerId) => triggerAddress(layout, tenant, id);

  const entryOf = (entry: Entry): Effect.Effect<ReadonlyArray<TriggerEntry>> => {
    const { subject, sequence } = entry;
    if (entry.removed) return Effect.succeed([{ subject, sequence, record: undefined }]);
    return triggerRecord.decode(entry.body, entry).pipe(
      Effect.map((record) => [{ subject, sequence, record }]),
      Effect.catch(() => Effect.as(Metric.update(skippedRecords, 1), [])),
    );
  };

  /** The triggers of a tenant, and the sequence up to which that is known. */
  const read = Effect.fnUntraced(function* (tenant: Tenant) {
    const filter = triggersFilter(layout, tenant);
    const { sequence: through } = yield* log.tail(filter.shard);
    const entries = yield* log.readThrough(filter, { through });
    const last = new Map<string, TriggerEntry>();
    for (const entry of (yield* Effect.forEach(entries, entryOf)).flat()) {
      last.set(entry.subject, entry);
    }
    const records = [...last.values()].flatMap(({ record }) =>
      record === undefined ? [] : [record]
    );
    return { records, through };
  });

  const follow = (tenant: Tenant, after: number): Stream.Stream<TriggerEntry, ReadError> =>
    log.follow(triggersFilter(layout, tenant), { after }).pipe(
      Stream.mapEffect(entryOf),
      Stream.flattenIterable,
    );

  /** Stores an event, and says where; one whose id is known is where it was stored first. */
  const emit = Effect.fnUntraced(function* (
    tenant: Tenant,
    event: EmittedRecord,
  ): Effect.fn.Return<{ readonly sequence: number; readonly emitted: boolean }, AppendError> {
    const { key, id } = event;
    const token = id === undefined ? anyId : tokenOfAny(id);
    const to = addressOf(layout, tenant, `${tokenOfAny(key)}.${token}`, `an event ${key}`);
    const message = {
      kind: "emitted",
      body: emittedRecord.encode(event),
      ttlSeconds: keptSeconds,
    } as const;
    if (id === undefined) {
      const { sequence } = yield* log.append(to, message);
      return { sequence, emitted: true };
    }
    return yield* log.append(to, { ...message, guard: { after: 0 } }).pipe(
      Effect.map(({ sequence }) => ({ sequence, emitted: true })),
      Effect.catchTags({
        AlreadyExists: ({ sequence }) => Effect.succeed({ sequence, emitted: false }),
        SequenceConflict: ({ actual }) => Effect.succeed({ sequence: actual, emitted: false }),
      }),
    );
  });

  /** Removes what the log has of a trigger, up to one of its records. */
  const remove = (tenant: Tenant, id: TriggerId, upTo: number) =>
    log.purge(filterOf(ofId(tenant, id), "trigger"), { upTo });

  return {
    keeperOf: (tenant: Tenant): Address =>
      executionAddress(layout, triggersTenant, keeperExecution(tenant)),
    held: (tenant: Tenant, id: TriggerId) => register.read(ofId(tenant, id)),
    revise: <A, E = never>(
      tenant: Tenant,
      id: TriggerId,
      change: (
        held: Register.Held<TriggerRecord>,
      ) => Effect.Effect<Register.Revised<TriggerRecord, A>, E>,
    ) => register.revise(ofId(tenant, id), change),
    read,
    follow,
    emit,
    remove,
  };
};

export type Triggers = ReturnType<typeof make>;
