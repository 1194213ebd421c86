/**
 * What triggers wait for, as the log has it: where the records lie that may make one fire, what has
 * happened by one of them, and which triggers it concerns. Readers follow one feed for all triggers
 * of a kind, under one filter of the server's, and look under a trigger's own subject once.
 */
import * as Effect from "effect/Effect";
import * as Metric from "effect/Metric";
import * as Option from "effect/Option";
import type * as Schema from "effect/Schema";
import { budgetRecord } from "../../../schema/budget_record.ts";
import {
  type ExecutionId,
  executionIdentity,
  type Tenant,
  Timestamp,
} from "../../../schema/ids.ts";
import type { CorruptRecord, UnsupportedRecordVersion } from "../../../schema/errors.ts";
import { journalRecord } from "../../../schema/journal_record.ts";
import { encodeToken } from "../../../schema/token.ts";
import type { When } from "../../../schema/trigger.ts";
import { emittedRecord, type TriggerRecord } from "../../../schema/trigger_record.ts";
import { budgetAddress, budgetFilter } from "../../../streams/budgets/places.ts";
import { nonceOfId } from "../../../streams/fence.ts";
import type { Entry } from "../../../streams/log.ts";
import { skippedRecords } from "../../../streams/metrics.ts";
import {
  executionAddress,
  executionFilter,
  type Filter,
  type Layout,
  placedBySubject,
  shardRoot,
  subjectOf,
  tenantFilter,
  tokenOfAny,
} from "../../../streams/subjects.ts";
import { emittedFilter } from "../../../streams/triggers.ts";
import { type BudgetWhen, crosses, type Level, levelOf } from "./budget_level.ts";

/** Something that a trigger may fire for. */
export interface Seen {
  readonly shard: number;
  readonly sequence: number;
  readonly at: Timestamp;
  readonly what?: Schema.Json;
  /** The execution that did it, if one is known. */
  readonly execution?: ExecutionId;
}

/** Records that are followed for many triggers at once. */
export interface Feed {
  readonly filters: ReadonlyArray<Filter>;
  /** The words under which triggers ask for a record. */
  readonly wordsOf: (subject: string) => ReadonlyArray<string>;
}

/** How a trigger comes to know what it waits for; by its feed, or by the records of one execution. */
export type Watching = {
  readonly feed: keyof ReturnType<typeof feedsOf>;
  readonly word: string;
  /** Where the records lie that concern it, whichever it has seen. */
  readonly filters: ReadonlyArray<Filter>;
  /** What has happened by the next record. */
  readonly next: (entry: Entry) => Effect.Effect<Seen | undefined, UnsupportedRecordVersion>;
};

const shards = (layout: Layout) => Array.from({ length: layout.shards }, (_, shard) => shard);

export const feedsOf = (layout: Layout, tenant: Tenant) =>
  ({
    emitted: {
      filters: [emittedFilter(layout, tenant)],
      wordsOf: (subject: string) => [subject.split(".")[3] ?? ""],
    },
    budget: {
      filters: [budgetFilter(layout, tenant)],
      wordsOf: (subject: string) => [subject.slice(subject.lastIndexOf(".") + 1)],
    },
    done: {
      filters: shards(layout).map((shard) => tenantFilter(layout, shard, "done", tenant)),
      wordsOf: (subject: string) => {
        const [, , , actor = "", , name = ""] = subject.split(".");
        return [actor, `${actor} ${name}`];
      },
    },
  }) satisfies Readonly<Record<string, Feed>>;

/** What nobody can read is passed over: anybody may write it. */
const passOver = Effect.as(Metric.update(skippedRecords, 1), undefined);

const seen = (
  { shard, sequence, at }: Entry,
  what?: Schema.Json,
  execution?: ExecutionId,
): Seen => ({
  shard,
  sequence,
  at: Timestamp.make(at),
  ...(what === undefined ? {} : { what }),
  ...(execution === undefined ? {} : { execution }),
});

/** What a later release wrote, or was sealed, is somebody else's to see. */
const readable = <A>(
  decoded: Effect.Effect<A, CorruptRecord | UnsupportedRecordVersion>,
): Effect.Effect<A | undefined, UnsupportedRecordVersion> =>
  Effect.catchTag(decoded, "CorruptRecord", () => Effect.undefined);

const completed = (
  layout: Layout,
  tenant: Tenant,
  { completed: of, outcome }: Extract<When, { readonly completed: unknown }>,
): Watching => {
  const next = Effect.fnUntraced(function* (entry: Entry) {
    if (entry.removed || entry.id === undefined || nonceOfId(entry.id) === undefined) {
      return undefined;
    }
    const placed = placedBySubject(layout, entry.shard, entry.subject);
    const record = yield* readable(journalRecord.decode(entry.body, entry));
    if (placed === undefined || record?.kind !== "done") return undefined;
    const { type } = record.outcome;
    if (outcome !== undefined && type !== outcome) return undefined;
    const { execution } = placed;
    return seen(entry, { execution, outcome: type }, execution);
  });
  if (typeof of === "string") {
    const { actor = "", name } = executionIdentity(of);
    const filter = executionFilter(executionAddress(layout, tenant, of), "done");
    return { feed: "done", word: `${actor} ${encodeToken(name)}`, filters: [filter], next };
  }
  const filters = shards(layout).map((shard): Filter => {
    const root = shardRoot(layout, shard);
    const tail = `*.${of.actor}.${encodeToken(tenant)}.*`;
    return { shard, subject: subjectOf({ shard, root, tail, label: of.actor }, "done") };
  });
  return { feed: "done", word: of.actor, filters, next };
};

/** Usage by itself says when it crosses: every record is looked at, in order, and from the first. */
const spent = (layout: Layout, record: TriggerRecord, when: BudgetWhen): Watching => {
  const { tenant, above = false } = record;
  let level: Level | undefined;
  const address = budgetAddress(layout, tenant, when.budget);
  const next = Effect.fnUntraced(function* (entry: Entry) {
    const found = entry.removed ? undefined : Option.getOrUndefined(
      yield* Effect.option(budgetRecord.decode(entry.body, entry)),
    );
    if (found === undefined && !entry.removed) return yield* passOver;
    const crossed = crosses({ level, above }, found, when);
    level = levelOf(found, when);
    if (!crossed) return undefined;
    const { budget, dimension, percent } = when;
    const { used, limit = 0 } = level;
    const by = found!.events.map((event) => Object(event)["execution"] as unknown)
      .findLast((execution) => typeof execution === "string");
    return seen(entry, { budget, dimension, percent, used, limit }, by as ExecutionId | undefined);
  });
  const filter = { shard: address.shard, subject: subjectOf(address, "budget") };
  return { feed: "budget", word: encodeToken(when.budget), filters: [filter], next };
};

const emitted = (
  layout: Layout,
  tenant: Tenant,
  { event }: Extract<When, { readonly event: unknown }>,
): Watching => ({
  feed: "emitted",
  word: tokenOfAny(event),
  filters: [emittedFilter(layout, tenant, event)],
  next: Effect.fnUntraced(function* (entry: Entry) {
    // Nobody needs an event any more whose time is over.
    if (entry.removed) return undefined;
    const found = yield* readable(emittedRecord.decode(entry.body, entry));
    return found === undefined ? yield* passOver : seen(entry, found.payload, found.execution);
  }),
});

/** How a trigger comes to know what it waits for; nothing, if by the records of one execution. */
export const watchingOf = (layout: Layout, record: TriggerRecord): Watching | undefined => {
  const { when, tenant } = record;
  if ("completed" in when) return completed(layout, tenant, when);
  if ("budget" in when) return spent(layout, record, when);
  if ("event" in when) return emitted(layout, tenant, when);
  return undefined;
};
