/**
 * What becomes of a trigger: a pure function of its record and of what has happened to it. It fires
 * for what is behind all that it has seen, once, and not while it has something left to do; what is
 * told to it again changes nothing. One whose record has no room for what becomes of it ends.
 */
import type { Principal } from "../../../schema/access_names.ts";
import type { Failure } from "../../../schema/failure.ts";
import type { Timestamp } from "../../../schema/ids.ts";
import type { Then } from "../../../schema/trigger.ts";
import type { Happening, TriggerRecord } from "../../../schema/trigger_record.ts";

/** So many triggers may lead from one to the next. */
export const deepest = 50;

export const isNew = (
  { seen }: Pick<TriggerRecord, "seen">,
  by: Pick<Happening, "shard" | "sequence">,
) => by.sequence > (seen[by.shard] ?? 0);

const ended = (record: TriggerRecord, at: Timestamp): Partial<TriggerRecord> =>
  record.standing ? {} : { state: "over", endedAt: at };

/** The trigger behind something that it waits for; nothing, if that does not concern it any more. */
export const triggered = (
  record: TriggerRecord,
  by: Happening,
  now: Timestamp,
): TriggerRecord | undefined => {
  const { state, pending, seen, fired, above } = record;
  if (state !== "active" || pending !== undefined || !isNew(record, by)) return undefined;
  const next = {
    ...record,
    seen: { ...seen, [by.shard]: by.sequence },
    // Whoever fires for a budget does so since usage has come above.
    ...(above === undefined ? {} : { above: true }),
    ...ended(record, now),
  };
  return by.depth >= deepest ? { ...next, change: { type: "refused", by, limit: deepest } } : {
    ...next,
    change: { type: "triggered", by },
    fired: fired + 1,
    pending: by,
  };
};

/** The trigger behind what it had to do. */
export const acted = (
  { pending, ...record }: TriggerRecord,
  failure: Failure | undefined,
): TriggerRecord | undefined => {
  if (pending === undefined) return undefined;
  const why = failure === undefined ? {} : { failure };
  return { ...record, change: { type: "acted", ...why }, last: { by: pending, ...why } };
};

/** What it has fired for is done nevertheless. */
export const cancelled = (
  record: TriggerRecord,
  now: Timestamp,
  by: Principal | undefined,
): TriggerRecord | undefined =>
  record.state !== "active" ? undefined : {
    ...record,
    change: { type: "cancelled", ...(by === undefined ? {} : { by }) },
    state: "cancelled",
    endedAt: now,
  };

/** What is needed to say what it was, where nothing will be done any more. */
const bare = (then: Then): Then => {
  if ("promote" in then) return then;
  if ("signal" in then) return { signal: then.signal, name: then.name };
  const { submit, id, start: { kind, seed } } = then;
  return { submit, ...(id === undefined ? {} : { id }), start: { kind, seed } };
};

/** The trigger behind what there was no room for: it ends, and keeps nothing large. */
export const outgrown = (
  { pending, ...record }: TriggerRecord,
  { what: _, ...by }: Happening,
  failure: Failure,
  now: Timestamp,
): TriggerRecord | undefined =>
  record.state !== "active" && pending === undefined ? undefined : {
    ...record,
    then: bare(record.then),
    change: { type: "acted", failure },
    ...(record.state === "active" ? { state: "over" } : {}),
    fired: record.fired + (pending === undefined ? 1 : 0),
    last: { by, failure },
    endedAt: record.endedAt ?? now,
  };

/** The same as `cancelled`, in less room than the record before it. */
export const cancelledBriefly = (
  record: TriggerRecord,
  now: Timestamp,
): TriggerRecord | undefined => {
  const next = cancelled(record, now, undefined);
  if (next === undefined) return undefined;
  const { last: _, ...rest } = next;
  return rest.pending === undefined ? { ...rest, then: bare(rest.then) } : rest;
};
