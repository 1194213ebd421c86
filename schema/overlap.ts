/**
 * What becomes of a run whose time has come while the one before it still runs. It is a rule between
 * runs of one schedule; how many run at once elsewhere is not said by it.
 */
import * as Schema from "effect/Schema";

/**
 * Both run, the new one is left out, one at most waits for the other's end, or the other is cancelled.
 */
export const Overlap = Schema.Literals(["allow", "skip", "buffer-one", "cancel-other"]);
export type Overlap = typeof Overlap.Type;

/** For schedules that name none. */
export const defaultOverlap: Overlap = "allow";
