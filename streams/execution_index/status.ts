/**
 * The states that a listing shows and filters by. Each is derived from an execution's records and
 * none is stored in the log; the order of the names is part of the index's format, so that a new one
 * goes to the end.
 */
import * as Schema from "effect/Schema";

/** What a listing may find an execution in. At most 16, since lists hold them in four bits. */
export const statuses = [
  /** Started, or due again, and nobody owns it yet. */
  "waiting",
  /** Its beginning, or its next attempt, is set for later. */
  "delayed",
  /** Somebody owns it, or owned it until the lease lapsed. */
  "active",
  /** It has given its owner up until something comes. */
  "suspended",
  /** Nobody owns it, and nobody will before it is resumed. */
  "paused",
  "completed",
  "failed",
  "cancelled",
  "expired",
  "skipped",
] as const;

export const ExecutionStatus = Schema.Literals(statuses);
export type ExecutionStatus = typeof ExecutionStatus.Type;

/** The number that stands for a status in the index. */
export const codeOf = (status: ExecutionStatus): number => statuses.indexOf(status);
