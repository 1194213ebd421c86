/**
 * Where in each shard a reader begins, judged at once and for good: `now` is where the log ends as
 * it is asked, and a cursor is refused unless this very log has issued all that it speaks of. What
 * is removed from there on while it reads is not judged here.
 */
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import {
  type CursorPosition,
  encodeCursor,
  parseCursorInput,
  type ShardPosition,
} from "../../schema/cursor.ts";
import { CursorGap, InvalidCursor } from "../../schema/errors.ts";
import type { FloorKind } from "../../schema/floor_record.ts";
import { readFloors } from "../floor.ts";
import type { Log, Place, ReadError } from "../log.ts";
import { everythingFilter } from "../subjects.ts";

/** Where a reader begins; one that asked for what is there at all begins at the floors. */
export interface Start {
  readonly positions: ReadonlyArray<ShardPosition>;
  readonly fromFloors: boolean;
}

const refuse = (reason: InvalidCursor["reason"], detail: string) =>
  Effect.fail(new InvalidCursor({ reason, detail }));

/** The last record at or below a sequence that is still there, as the leader has it. */
const nearest = Effect.fnUntraced(
  function* (log: Log["Service"], shard: number, sequence: number): Effect.fn.Return<
    Place | undefined,
    ReadError
  > {
    const everything = everythingFilter(shard);
    const within = (after: number) =>
      Effect.map(
        log.next(everything, after),
        (place) => Option.getOrUndefined(Option.filter(place, (at) => at.sequence <= sequence)),
      );
    let found: Place | undefined;
    /** Below it, at the farthest, is what `found` would have to give way to. */
    let above = sequence;
    for (let step = 1; found === undefined && above > 0; step *= 2) {
      const after = Math.max(0, above - step);
      found = yield* within(after);
      if (found === undefined) above = after;
    }
    // Nothing lies from above on, and something at `found`.
    while (found !== undefined && found.sequence < above) {
      const after = Math.floor((found.sequence + above) / 2);
      const later: Place | undefined = yield* within(after);
      if (later === undefined) above = after;
      else found = later;
    }
    return found;
  },
);

/** The cursor behind which nothing is missing any more. */
export const aboveFloors = (
  { incarnation, shards }: CursorPosition,
  floors: ReadonlyMap<number, ShardPosition>,
) =>
  encodeCursor({
    incarnation,
    shards: shards.map((position, shard) => {
      const floor = floors.get(shard);
      return floor !== undefined && floor.sequence > position.sequence ? floor : position;
    }),
  });

/** The floor of one shard. The time is above that of all it has, and below that of all that comes. */
export const floorPosition = Effect.fnUntraced(
  function* (log: Log["Service"], kind: FloorKind, shard: number) {
    const floors = yield* readFloors(log, shard);
    const { at } = yield* log.tail(shard);
    return { sequence: floors[kind], at };
  },
);

const judge = Effect.fnUntraced(function* (
  log: Log["Service"],
  kind: FloorKind,
  shards: ReadonlyArray<number>,
  cursor: CursorPosition,
) {
  if (cursor.incarnation !== log.incarnation) {
    return yield* refuse("other-incarnation", "it was issued for a log that is not there any more");
  }
  const count = log.layout.shards;
  if (cursor.shards.length !== count) {
    const detail = `it speaks of ${cursor.shards.length} shards, and there are ${count}`;
    return yield* refuse("shard-mismatch", detail);
  }
  const floors = new Map<number, ShardPosition>();
  yield* Effect.forEach(shards, (shard) =>
    Effect.gen(function* () {
      const { sequence, at } = cursor.shards[shard]!;
      const floor = yield* floorPosition(log, kind, shard);
      const tail = yield* log.tail(shard);
      if (sequence > tail.sequence) {
        const detail = `shard ${shard} ends at ${tail.sequence}, before ${sequence}`;
        return yield* refuse("newer-than-tail", detail);
      }
      const last = yield* nearest(log, shard, sequence);
      if (last !== undefined && last.at > at) {
        const detail = `shard ${shard} was damaged and has given its sequences, up to ` +
          `${last.sequence} at least, to other records`;
        return yield* refuse("reissued", detail);
      }
      if (floor.sequence > sequence) floors.set(shard, floor);
    }), { concurrency: "unbounded", discard: true });
  if (floors.size === 0) return;
  return yield* new CursorGap({
    requested: encodeCursor(cursor),
    earliest: aboveFloors(cursor, floors),
  });
});

/** Where to begin in each shard for whom these are read, or why that is refused. */
export const resolve = Effect.fn("Families.resolve")(function* (
  log: Log["Service"],
  kind: FloorKind,
  shards: ReadonlyArray<number>,
  after: string,
): Effect.fn.Return<Start, InvalidCursor | CursorGap | ReadError> {
  const input = yield* parseCursorInput(after);
  if (typeof input === "object") {
    yield* judge(log, kind, shards, input);
    return { positions: input.shards, fromFloors: false };
  }
  const positions = yield* Effect.forEach(
    Array.from({ length: log.layout.shards }, (_, shard) => shard),
    (shard): Effect.Effect<ShardPosition, ReadError> =>
      input === "now" ? log.tail(shard) : floorPosition(log, kind, shard),
    { concurrency: "unbounded" },
  );
  return { positions, fromFloors: input === "earliest" };
});
