/**
 * Which executions a tenant has, newest first. An execution is announced by the start in its mailbox,
 * or by one index record before its first event, so creation order is the order of the log: a page
 * reads backwards from its position in windows that widen while they find little. An index record
 * alone, left by a writer that died before the event, is harmless and not listed.
 */
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Schema from "effect/Schema";
import * as Stream from "effect/Stream";
import {
  type Cursor,
  decodeCursor,
  encodeCursor,
  ofList,
  type ShardPosition,
} from "../schema/cursor.ts";
import { InvalidCursor, type UnsupportedRecordVersion } from "../schema/errors.ts";
import { ExecutionId, parse, type Tenant, Timestamp } from "../schema/ids.ts";
import { mailRecord } from "../schema/mail_record.ts";
import { hasActor, type History } from "./event_store/history.ts";
import { placementId } from "./event_store/placement.ts";
import type { AppendError, Entry, Log, ReadError } from "./log.ts";
import {
  type Address,
  addressOfSubject,
  executionFilter,
  kindOfSubject,
  tenantFilter,
} from "./subjects.ts";

export interface ListedExecution {
  readonly executionId: ExecutionId;
  readonly createdAt: Timestamp;
}

export interface ExecutionPage {
  readonly executions: ReadonlyArray<ListedExecution>;
  /** Where the next page begins; absent on the last one. */
  readonly next?: Cursor;
}

const Offset = Schema.Natural;
const ListSize = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1_000 }));
const isExecutionId = Schema.is(ExecutionId);
const PageSize = Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 1_000 }));

const firstWindow = 1_024;
/** More entries than this in one window are read again in narrower ones. */
const maxWindowEntries = 4_096;
const body = new TextEncoder().encode(JSON.stringify({ v: 1, kind: "index" }));

/** Records that an execution is about to have its first event, unless that was done before. */
export const addToIndex = (
  log: Log["Service"],
  execution: Address,
): Effect.Effect<void, AppendError> =>
  log.append(execution, {
    kind: "index",
    body,
    guard: { after: 0 },
    id: placementId({ after: 0, place: 0 }),
  }).pipe(
    Effect.catchTag("AlreadyExists", () => Effect.void),
    Effect.asVoid,
  );

/** How our own records begin, so that other mail need not be decoded to be told from a start. */
const ownKind = /^\{"v":\d+,"kind":"(\w+)"/;
const decoder = new TextDecoder();

const isStart = (entry: Entry): Effect.Effect<boolean, UnsupportedRecordVersion> => {
  const [, kind = "start"] = ownKind.exec(decoder.decode(entry.body.subarray(0, 64))) ?? [];
  if (kind !== "start") return Effect.succeed(false);
  return mailRecord.decode(entry.body, entry).pipe(
    Effect.map((record) => record.kind === "start"),
    Effect.catchTag("CorruptRecord", () => Effect.succeed(false)),
  );
};

/** An announcement of a tenant's execution, or nothing for other mail. */
const announcing = (entry: Entry) =>
  Effect.map(
    kindOfSubject(entry.subject) === "mail" ? isStart(entry) : Effect.succeed(true),
    (announces) => announces ? entry : undefined,
  );

/** A tenant's announcements in one shard below a sequence, last first. */
const backwards = (
  log: Log["Service"],
  tenant: Tenant,
  shard: number,
  below: number,
): Stream.Stream<Entry, ReadError> => {
  const filters = (["index", "mail"] as const).map((kind) =>
    tenantFilter(log.layout, shard, kind, tenant)
  );
  return Stream.paginate(
    { below, width: firstWindow },
    ({ below, width }) =>
      Effect.gen(function* () {
        const from = Math.max(1, below - width);
        const found = yield* Effect.forEach(filters, (filter) =>
          log.read(filter, { after: from - 1, upTo: below - 1 }).pipe(
            Stream.take(maxWindowEntries + 1),
            Stream.mapEffect(announcing),
            Stream.runCollect,
          ), { concurrency: filters.length });
        const most = Math.max(...found.map(({ length }) =>
          length
        ));
        if (most > maxWindowEntries && width > 1) {
          return [[], Option.some({ below, width: width >> 2 || 1 })] as const;
        }
        const next = most < firstWindow / 4 ? width * 4 : width;
        return [
          found.flat().filter((entry) =>
            entry !== undefined
          ).sort((a, b) => b.sequence - a.sequence),
          from === 1 ? Option.none() : Option.some({ below: from, width: next }),
        ] as const;
      }),
  );
};

/** An execution, and the entry that announced it. */
interface Announced {
  readonly executionId: ExecutionId;
  readonly entry: Entry;
}

/**
 * The newest of several shards. A shard keeps its own order, whatever its clock did, so that a page
 * ends at one place in each; of the same millisecond, the lower shard's comes first.
 */
const merge = (
  perShard: ReadonlyArray<ReadonlyArray<Announced>>,
  count: number,
): ReadonlyArray<Announced> => {
  const taken = perShard.map(() => 0);
  const merged: Array<Announced> = [];
  while (merged.length < count) {
    const heads = perShard.flatMap((announced, shard) => announced[taken[shard]!] ?? []);
    if (heads.length === 0) break;
    const newest = heads.reduce((a, b) => b.entry.at > a.entry.at ? b : a);
    merged.push(newest);
    taken[newest.entry.shard]!++;
  }
  return merged;
};

const listed = ({ executionId, entry }: Announced): ListedExecution => ({
  executionId,
  createdAt: Timestamp.make(entry.at),
});

/** Refuses a page that belongs to other streams, or to a state of these that is lost. */
const checkPosition = (
  log: Log["Service"],
  tops: ReadonlyArray<ShardPosition>,
  page: { readonly incarnation: string; readonly shards: ReadonlyArray<ShardPosition> },
) => {
  const refuse = (reason: InvalidCursor["reason"], detail: string) =>
    Effect.fail(new InvalidCursor({ reason, detail, of: "list" }));
  if (page.incarnation !== log.incarnation) {
    return refuse("other-incarnation", "its streams were deleted since");
  }
  if (page.shards.length !== tops.length) {
    const detail = `it is of ${page.shards.length} shards, and there are ${tops.length}`;
    return refuse("shard-mismatch", detail);
  }
  return page.shards.some(({ sequence }, shard) => sequence > tops[shard]!.sequence)
    ? refuse("newer-than-tail", "the streams have lost what it was at")
    : Effect.void;
};

export const make = (log: Log["Service"], history: History) => {
  const shards = Array.from({ length: log.layout.shards }, (_, shard) => shard);

  const firstIndex = (execution: Address, upTo: number) =>
    Stream.runHead(log.read(executionFilter(execution, "index"), { upTo }));

  const firstStart = (execution: Address, upTo: number) =>
    hasActor(execution)
      ? log.read(executionFilter(execution, "mail"), { upTo }).pipe(
        Stream.filterEffect(isStart),
        Stream.runHead,
      )
      : Effect.succeedNone;

  /** An execution is announced once, by what came first. */
  const isFirst = Effect.fnUntraced(function* (execution: Address, { sequence }: Entry) {
    const firsts = [yield* firstIndex(execution, sequence), yield* firstStart(execution, sequence)]
      .flatMap(Option.toArray);
    return Math.min(...firsts.map((entry) => entry.sequence)) === sequence;
  });

  /** An entry counts if it is the one that announced its execution, and has or is an event. */
  const announced = Effect.fnUntraced(function* (entry: Entry) {
    const address = addressOfSubject(log.layout, entry.shard, entry.subject);
    if (address === undefined || !isExecutionId(address.label)) return undefined;
    if (!(yield* isFirst(address, entry))) return undefined;
    const isEvent = kindOfSubject(entry.subject) === "mail";
    return isEvent || (yield* history.exists(address))
      ? { entry, executionId: address.label }
      : undefined;
  });

  const newest = Effect.fnUntraced(function* (
    tenant: Tenant,
    below: ReadonlyArray<ShardPosition>,
    count: number,
  ) {
    const perShard = yield* Effect.forEach(
      shards,
      (shard) =>
        backwards(log, tenant, shard, below[shard]!.sequence)
          .pipe(
            Stream.mapEffect(announced, { concurrency: 16 }),
            Stream.filter((announcement) => announcement !== undefined),
            Stream.take(count),
            Stream.runCollect,
          ),
      { concurrency: 8 },
    );
    return merge(perShard, count);
  });

  /** The position above everything in each shard. */
  const tops = Effect.forEach(
    shards,
    (shard) => Effect.map(log.tail(shard), ({ sequence, at }) => ({ sequence: sequence + 1, at })),
    {
      concurrency: 8,
    },
  );

  const list = Effect.fnUntraced(function* (tenant: Tenant, limit: number, offset: number) {
    yield* parse(ListSize, "limit", limit);
    yield* parse(Offset, "offset", offset);
    const announced = yield* newest(tenant, yield* tops, offset + limit);
    return announced.slice(offset).map(listed);
  });

  const page = Effect.fnUntraced(function* (
    tenant: Tenant,
    { limit, from }: { readonly limit: number; readonly from?: Cursor },
  ) {
    yield* parse(PageSize, "limit", limit);
    const position = from === undefined
      ? undefined
      : yield* Effect.mapError(decodeCursor(from), ofList);
    const ends = yield* tops;
    if (position !== undefined) yield* checkPosition(log, ends, position);
    const below = position?.shards ?? ends;
    const announced = yield* newest(tenant, below, limit + 1);
    const shown = announced.slice(0, limit);
    const executions = shown.map(listed);
    if (announced.length === shown.length) return { executions } satisfies ExecutionPage;
    const lowest = below.map((start, shard): ShardPosition =>
      shown.findLast(({ entry }) => entry.shard === shard)?.entry ?? start
    );
    const next = encodeCursor({ incarnation: log.incarnation, shards: lowest });
    return { executions, next } satisfies ExecutionPage;
  });

  return { list, page };
};
