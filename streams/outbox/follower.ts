/**
 * Keeps a backlog up to date with the log, from the floor on: nothing before that is still to be
 * published. It holds so many events at most and then reads on only as they are dealt with, however
 * many wait in the log. It claims nothing.
 */
import * as Effect from "effect/Effect";
import * as Latch from "effect/Latch";
import * as Metric from "effect/Metric";
import * as PubSub from "effect/PubSub";
import * as Schedule from "effect/Schedule";
import type * as Scope from "effect/Scope";
import type { CorruptRecord, UnsupportedRecordVersion } from "../../schema/errors.ts";
import type { Entry, Log, ReadError } from "../log.ts";
import { skippedRecords } from "../metrics.ts";
import { executionFilter, outboxAddressOf, outboxFilter } from "../subjects.ts";
import { Backlog, type OpenEvent } from "./backlog.ts";
import { readFloor, writeFloor } from "./floor.ts";
import { readOn } from "./read_on.ts";
import { outboxRecord } from "./record.ts";

/** How many records are read before the floor is looked at again. */
const floorEvery = 4_096;
const retryEvery = "1 second";

/** Nobody can publish it; its record stays, and says so to whoever looks at it. */
const passOver = ({ message }: CorruptRecord) =>
  Effect.andThen(Metric.update(skippedRecords, 1), Effect.logWarning(message));

/** What a reader of the outbox knows, and how it learns more. */
export interface Follower {
  readonly backlog: Backlog;
  /** Something can be claimed that could not be before. */
  readonly news: PubSub.PubSub<void>;
  /** Reads what has become of one event; if it has come back, that is learnt in its turn. */
  readonly refresh: (open: OpenEvent) => Effect.Effect<void, ReadError>;
  /** Whether nothing more is read until there is room. */
  readonly isFull: () => boolean;
  /** Fails if the outbox has something that this release cannot read. */
  readonly intact: Effect.Effect<void, UnsupportedRecordVersion>;
  /** Reads on, if there is room again. */
  readonly makeRoom: () => void;
}

export const follow = Effect.fnUntraced(function* (
  log: Log["Service"],
  maxEvents: number,
): Effect.fn.Return<Follower, never, Scope.Scope> {
  const { layout } = log;
  const backlog = new Backlog();
  const news = yield* Effect.acquireRelease(PubSub.sliding<void>(1), PubSub.shutdown);
  const room = Latch.makeUnsafe(true);
  let problem: UnsupportedRecordVersion | undefined;

  const isFull = () => backlog.size >= maxEvents;
  const makeRoom = () => {
    if (isFull()) Latch.closeUnsafe(room);
    else Latch.openUnsafe(room);
  };

  const takeIn = Effect.fnUntraced(function* (entry: Entry, isAhead = false) {
    const { shard, subject, sequence, at } = entry;
    const address = outboxAddressOf(layout, shard, subject);
    if (address === undefined) return;
    const record = yield* Effect.catchTag(
      outboxRecord.decode(entry.body, entry),
      "CorruptRecord",
      (error) => Effect.as(passOver(error), undefined),
    );
    if (record === undefined) return;
    // Ahead of its turn an event would come before older ones of its key.
    if (isAhead && record.kind === "event") return;
    const isNews = backlog.take({ address, sequence, at, record });
    makeRoom();
    if (isNews) PubSub.publishUnsafe(news, undefined);
  });

  const followShard = Effect.fnUntraced(function* (shard: number) {
    let read = 0;
    let sinceFloor = 0;
    const step = Effect.fnUntraced(function* (entry: Entry) {
      yield* takeIn(entry);
      read = entry.sequence;
      if (++sinceFloor >= floorEvery) {
        sinceFloor = 0;
        yield* Effect.ignore(writeFloor(log, shard, backlog.floor(shard, read)));
      }
      yield* Latch.whenOpen(room, Effect.void);
    });
    yield* Effect.suspend(() => read === 0 ? readFloor(log, shard) : Effect.succeed(read)).pipe(
      Effect.flatMap((after) =>
        readOn((after) => log.follow(outboxFilter(layout, shard, "outbox"), { after }), {
          after,
          take: step,
          lost: (error) => {
            read = error.sequence;
            return passOver(error);
          },
        })
      ),
      Effect.tapError((error) => Effect.logWarning(`the outbox is not read: ${error.message}`)),
      Effect.retry({
        while: ({ _tag }) => _tag !== "UnsupportedRecordVersion",
        schedule: Schedule.spaced(retryEvery),
      }),
      Effect.catch((error) =>
        Effect.sync(() => {
          if (error._tag === "UnsupportedRecordVersion") problem = error;
          PubSub.publishUnsafe(news, undefined);
        })
      ),
    );
  });

  for (let shard = 0; shard < layout.shards; shard++) yield* Effect.forkScoped(followShard(shard));

  return {
    backlog,
    news,
    isFull,
    makeRoom,
    refresh: ({ address, sequence }) =>
      readOn((after) => log.read(executionFilter(address, "outbox"), { after }), {
        after: sequence,
        take: (entry) => takeIn(entry, true),
        lost: passOver,
      }),
    intact: Effect.suspend(() => problem === undefined ? Effect.void : Effect.fail(problem)),
  };
});
