/**
 * Which executions a tenant has, newest first. An execution's first event is preceded by one index
 * record, so creation order is the order of the log and nothing is counted or scanned: a page reads
 * backwards from its position in windows that widen while they find little. An index record alone,
 * left by a writer that died before the event, is harmless and not listed.
 */
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Schema from "effect/Schema";
import * as Stream from "effect/Stream";
import { type Cursor, decodeCursor, encodeCursor, type ShardPosition } from "../schema/cursor.ts";
import { InvalidCursor } from "../schema/errors.ts";
import { ExecutionId, parse, type Tenant, Timestamp } from "../schema/ids.ts";
import type { History } from "./event_store/history.ts";
import { placementId, placementOf } from "./event_store/placement.ts";
import type { AppendError, Entry, Log, ReadError } from "./log.ts";
import {
  type Address,
  addressOfSubject,
  executionFilter,
  type Filter,
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

/** The entries under a filter below a sequence, last first. */
const backwards = (
  log: Log["Service"],
  filter: Filter,
  below: number,
): Stream.Stream<Entry, ReadError> =>
  Stream.paginate({ below, width: firstWindow }, ({ below, width }) =>
    Effect.gen(function* () {
      const from = Math.max(1, below - width);
      const entries = yield* log.read(filter, { after: from - 1, upTo: below - 1 }).pipe(
        Stream.take(maxWindowEntries + 1),
        Stream.runCollect,
      );
      if (entries.length > maxWindowEntries && width > 1) {
        return [[], Option.some({ below, width: width >> 2 || 1 })] as const;
      }
      const next = entries.length < firstWindow / 4 ? width * 4 : width;
      return [
        [...entries].reverse(),
        from === 1 ? Option.none() : Option.some({ below: from, width: next }),
      ] as const;
    }));

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
    Effect.fail(new InvalidCursor({ reason, detail }));
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

  const isFirst = (execution: Address, entry: Entry) =>
    placementOf(entry) !== undefined ? Effect.succeed(true) : Effect.map(
      Stream.runHead(log.read(executionFilter(execution, "index"))),
      Option.exists(({ sequence }) => sequence === entry.sequence),
    );

  /** An entry counts if it is the one that announced its execution, and events followed. */
  const announced = Effect.fnUntraced(function* (entry: Entry) {
    const address = addressOfSubject(log.layout, entry.shard, entry.subject);
    if (address === undefined || !isExecutionId(address.label)) return undefined;
    if (!(yield* isFirst(address, entry)) || !(yield* history.exists(address))) return undefined;
    return { entry, executionId: address.label };
  });

  const newest = Effect.fnUntraced(function* (
    tenant: Tenant,
    below: ReadonlyArray<ShardPosition>,
    count: number,
  ) {
    const perShard = yield* Effect.forEach(
      shards,
      (shard) =>
        backwards(log, tenantFilter(log.layout, shard, "index", tenant), below[shard]!.sequence)
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
    const position = from === undefined ? undefined : yield* decodeCursor(from);
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
