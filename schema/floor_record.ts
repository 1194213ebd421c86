/**
 * Up to where the events of each family may have been removed from one shard. A cursor that lies
 * below has a gap, and one at or above it has none, whatever else the stream still holds.
 */
import * as Schema from "effect/Schema";
import { record } from "./record.ts";

/** The families by the kinds of records that they read. */
export const floorKinds = ["lease", "done", "signal", "tag"] as const;
export type FloorKind = typeof floorKinds[number];

/** The sequence of the last record of each family that may be gone; 0 if none is. */
export const Floors = Schema.Struct({
  lease: Schema.Natural,
  done: Schema.Natural,
  signal: Schema.Natural,
  tag: Schema.Natural,
});
export type Floors = typeof Floors.Type;

/** The body of the bucket key `floor.families`. */
export const floorRecord = record(
  1,
  Schema.Struct({ kind: Schema.tag("floors"), ...Floors.fields }),
);
