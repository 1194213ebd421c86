/**
 * Removing from the log what was sent long ago. Payloads in the object store go first, those of dead
 * letters that an event once was, too; then its records in their order, so that whatever is left says
 * that it was sent; with the last of them goes its token. What is still to be sent, and what is dead,
 * stays.
 */
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Stream from "effect/Stream";
import type { Entry, Log, ReadError } from "../log.ts";
import { type Address, outboxAddressOf, outboxFilter } from "../subjects.ts";
import { readOn } from "./read_on.ts";
import { outboxRecord } from "./record.ts";

const atOnce = 16;

/** An event that is over, and its records. */
interface Over {
  readonly address: Address | undefined;
  readonly sequences: ReadonlyArray<number>;
}

/** Removes events of one shard that were over by then, at most so many; says how many. */
export const collect = Effect.fnUntraced(function* (
  log: Log["Service"],
  shard: number,
  { until, limit }: { readonly until: number; readonly limit: number },
): Effect.fn.Return<number, ReadError> {
  if (limit <= 0) return 0;
  const records = new Map<string, Array<number>>();
  const over: Array<Over> = [];
  const behind = ({ subject, sequence }: Pick<Entry, "subject" | "sequence">) => [
    ...records.get(subject) ?? [],
    sequence,
  ];
  const read = (after: number) =>
    log.read(outboxFilter(log.layout, shard, "outbox"), { after }).pipe(
      // The log is in the order of time, so all that was over by then comes before whatever is later.
      Stream.takeWhile(({ at }) => at <= until && over.length < limit),
    );
  yield* readOn(read, {
    after: 0,
    // The event may be over for all that.
    lost: (error) => Effect.sync(() => records.set(error.subject, behind(error))),
    take: Effect.fnUntraced(function* (entry) {
      // The rest of a page that was read already.
      if (over.length >= limit) return;
      const { subject } = entry;
      const record = Option.getOrUndefined(
        yield* Effect.option(outboxRecord.decode(entry.body, entry)),
      );
      const all = behind(entry);
      if (record?.kind !== "sent" && record?.kind !== "deleted") {
        records.set(subject, all);
        return;
      }
      records.delete(subject);
      over.push({ address: outboxAddressOf(log.layout, shard, subject), sequences: all });
    }),
  });
  /** Says whether none are left that would be in the way. */
  const removePayloads = Effect.fnUntraced(function* ({ address, sequences }: Over) {
    if (address === undefined) return true;
    const last = (yield* log.lastSequences(address, ["outbox"])).get("outbox");
    // Else it is gone, and its token may be that of another event, whose payload it would be.
    return last !== sequences.at(-1) || (yield* log.dropPayloads(address));
  });
  const removed = yield* Effect.filter(
    over,
    Effect.fnUntraced(function* (event) {
      if (!(yield* removePayloads(event))) return false;
      yield* Effect.forEach(event.sequences, (sequence) => log.remove(shard, sequence));
      return true;
    }),
    { concurrency: atOnce },
  );
  return removed.length;
});
