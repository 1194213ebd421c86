/**
 * How many events of a shard wait, and how many are claimed, as the log has it at that moment. It
 * reads what was stored since the floor, and remembers of each event only where it stands.
 */
import * as Effect from "effect/Effect";
import type { Log, ReadError } from "../log.ts";
import { outboxFilter } from "../subjects.ts";
import { readFloor } from "./floor.ts";
import { readOn } from "./read_on.ts";
import { outboxRecord } from "./record.ts";

export const count = Effect.fnUntraced(function* (
  log: Log["Service"],
  shard: number,
  now: number,
): Effect.fn.Return<{ readonly pending: number; readonly processing: number }, ReadError> {
  /** Of those that are open: until when they are claimed; 0 if they are not. */
  const claimedUntil = new Map<string, number>();
  const after = yield* readFloor(log, shard);
  yield* readOn((after) => log.read(outboxFilter(log.layout, shard, "outbox"), { after }), {
    after,
    // Whoever publishes tells of it.
    lost: () => Effect.void,
    take: Effect.fnUntraced(function* (entry) {
      const { subject, at } = entry;
      const record = yield* Effect.catchTag(
        outboxRecord.decode(entry.body, entry),
        "CorruptRecord",
        () => Effect.undefined,
      );
      if (record === undefined) return;
      if (record.kind === "event") claimedUntil.set(subject, 0);
      // What begins before the floor is over.
      if (!claimedUntil.has(subject)) return;
      switch (record.kind) {
        case "claimed":
          claimedUntil.set(subject, at + record.lockMs);
          return;
        case "failed":
        case "released":
          claimedUntil.set(subject, 0);
          return;
        case "sent":
        case "dead":
        case "deleted":
          claimedUntil.delete(subject);
      }
    }),
  });
  let processing = 0;
  for (const until of claimedUntil.values()) if (until > now) processing++;
  return { pending: claimedUntil.size - processing, processing };
});
