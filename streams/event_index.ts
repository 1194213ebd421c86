/**
 * Which executions a tenant has, newest first. An execution's first event is preceded by one index
 * record, so creation order is the order of the log and nothing is counted or scanned: a page reads
 * backwards from its position in windows that widen while they find little. An index record alone,
 * left by a writer that died before the event, is harmless and not listed.
 */
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Stream from "effect/Stream";
import type { Tenant } from "../schema/ids.ts";
import type { AppendError, Entry, Log, ReadError } from "./log.ts";
import { type Address, type Filter, tenantFilter } from "./subjects.ts";

const firstWindow = 1_024;
/** More entries than this in one window are read again in narrower ones. */
const maxWindowEntries = 4_096;
const body = new TextEncoder().encode(JSON.stringify({ v: 1, kind: "index" }));

/** Records that an execution is about to have its first event, unless that was done before. */
export const addToIndex = (
  log: Log["Service"],
  execution: Address,
): Effect.Effect<void, AppendError> =>
  log.append(execution, { kind: "index", body, guard: { after: 0 } }).pipe(
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

/**
 * The newest of several shards' entries. A shard keeps its own order, whatever its clock did, so that
 * a page ends at one place in each; of the same millisecond, the lower shard's comes first.
 */
const merge = (
  perShard: ReadonlyArray<ReadonlyArray<Entry>>,
  count: number,
): ReadonlyArray<Entry> => {
  const taken = perShard.map(() => 0);
  const merged: Array<Entry> = [];
  while (merged.length < count) {
    let newest: Entry | undefined;
    perShard.forEach((entries, shard) => {
      const head = entries[taken[shard]!];
      if (head !== undefined && (newest === undefined || head.at > newest.at)) newest = head;
    });
    if (newest === undefined) break;
    merged.push(newest);
    taken[newest.shard]!++;
  }
  return merged;
};

/** The newest index entries of a tenant over all shards, below one sequence per shard. */
export const newest = Effect.fnUntraced(function* (
  log: Log["Service"],
  tenant: Tenant,
  below: ReadonlyArray<number>,
  count: number,
  isListed: (entry: Entry) => Effect.Effect<boolean, ReadError>,
) {
  const perShard = yield* Effect.forEach(
    below,
    (sequence, shard) =>
      backwards(log, tenantFilter(log.layout, shard, "index", tenant), sequence).pipe(
        Stream.mapEffect(
          (entry) => Effect.map(isListed(entry), (listed) => ({ entry, listed })),
          { concurrency: 16 },
        ),
        Stream.filter(({ listed }) => listed),
        Stream.map(({ entry }) => entry),
        Stream.take(count),
        Stream.runCollect,
      ),
    { concurrency: 8 },
  );
  return merge(perShard, count);
});
