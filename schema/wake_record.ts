/**
 * What lies on a lane, and what says that the lane is in use. A wake-up repeats nothing of the mail
 * that it stands for: it tells the workers of a route how far its owner must read.
 */
import * as Schema from "effect/Schema";
import { record } from "./record.ts";
import { Route } from "./route.ts";

export const WakeRecord = Schema.Union([
  /** The mailbox of the execution holds something up to this sequence. */
  Schema.Struct({
    kind: Schema.tag("wake"),
    mail: Schema.Natural,
    /** Whether that is known to be the start. */
    begins: Schema.optionalKey(Schema.Boolean),
  }),
  /** Executions of an actor have had this route; written once. */
  Schema.Struct({ kind: Schema.tag("route"), route: Route }),
]).pipe(Schema.toTaggedUnion("kind"));
export type WakeRecord = typeof WakeRecord.Type;

export const wakeRecord = record(1, WakeRecord);
