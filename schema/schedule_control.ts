/**
 * What people ask of a schedule while it lives, as the signals that it takes. Times and policies have
 * been checked by whoever sends them; a schedule does what it can of the rest.
 */
import * as Schema from "effect/Schema";
import { Timestamp } from "./ids.ts";
import { Misfire } from "./misfire.ts";
import { Overlap } from "./overlap.ts";
import { RunPolicy } from "./run_policy.ts";

/** The name of the signal. */
export const scheduleSignal = "weir.schedule";

const control = <const Type extends string, const Fields extends Schema.Struct.Fields>(
  type: Type,
  fields: Fields,
) => Schema.Struct({ type: Schema.tag(type), ...fields });

export const ScheduleControl = Schema.Union([
  /** One more run at once, whatever the calendar says. */
  control("trigger", { name: Schema.String }),
  /** The runs of a time that is over. */
  control("backfill", { from: Timestamp, to: Timestamp }),
  control("pause", {}),
  control("resume", {}),
  control("change", {
    policy: Schema.optionalKey(RunPolicy),
    misfire: Schema.optionalKey(Misfire),
    overlap: Schema.optionalKey(Overlap),
    graceMs: Schema.optionalKey(Schema.Natural),
  }),
  /** No more runs; it ends when the last has. */
  control("finish", {}),
]).pipe(Schema.toTaggedUnion("type"));
export type ScheduleControl = typeof ScheduleControl.Type;
