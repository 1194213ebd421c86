/**
 * The floors of a shard's families: up to where their events may be missing. They are raised before
 * anything is removed, and never lowered, so that whoever reads from a position learns of a gap
 * instead of meeting silence. Nothing is removed here.
 */
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import { floorKinds, floorRecord, type Floors } from "../schema/floor_record.ts";
import type { AppendError, Log, ReadError } from "./log.ts";
import { floorAddress } from "./subjects.ts";

export const noFloors: Floors = { lease: 0, done: 0, signal: 0, tag: 0 };

/** Each family's higher one. */
export const highest = (a: Floors, b: Floors): Floors => {
  const floors = { ...a };
  for (const kind of floorKinds) floors[kind] = Math.max(a[kind], b[kind]);
  return floors;
};

const read = Effect.fnUntraced(function* (log: Log["Service"], shard: number) {
  const last = yield* log.last(floorAddress(log.layout, shard), "floor");
  if (Option.isNone(last)) return { floors: noFloors, revision: 0 };
  const { kind: _, ...floors } = yield* floorRecord.decode(last.value.body, last.value);
  return { floors, revision: last.value.sequence };
});

/** The floors of a shard, as its leader has them. */
export const readFloors = (
  log: Log["Service"],
  shard: number,
): Effect.Effect<Floors, ReadError> => Effect.map(read(log, shard), ({ floors }) => floors);

/** Raises the floors of a shard to these at least; returns when that is durable. */
export const raiseFloors = (
  log: Log["Service"],
  shard: number,
  to: Floors,
): Effect.Effect<void, AppendError | ReadError> =>
  Effect.gen(function* () {
    const { floors, revision } = yield* read(log, shard);
    const raised = highest(floors, to);
    if (floorKinds.every((kind) => raised[kind] === floors[kind])) return;
    yield* log.append(floorAddress(log.layout, shard), {
      kind: "floor",
      body: floorRecord.encode({ kind: "floors", ...raised }),
      guard: { after: revision },
      replaces: true,
    });
  }).pipe(Effect.retry({
    while: ({ _tag }) => _tag === "AlreadyExists" || _tag === "SequenceConflict",
  }));
