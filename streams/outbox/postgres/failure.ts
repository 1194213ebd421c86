/**
 * What a failure of the database means to its caller, whichever driver reports it: that it was not
 * reached, that a repetition can help, or that it cannot. Where it is unknown whether a statement
 * took effect, it says so. It retries nothing.
 */
import { NoSpace, Unavailable } from "../../../schema/errors.ts";
import { DatabaseRefused } from "../../../schema/outbox_errors.ts";

export type DatabaseError = DatabaseRefused | NoSpace | Unavailable;

interface Reported {
  readonly code?: unknown;
  readonly cause?: unknown;
}

/** Drivers keep it in `code`, builders in that of a cause; system errors have no digit in theirs. */
const isSqlState = (code: unknown): code is string =>
  typeof code === "string" && /^(?=.*\d)[0-9A-Z]{5}$/.test(code);

const sqlStateOf = (error: unknown): string | undefined => {
  for (let each = error; typeof each === "object" && each !== null;) {
    const { code, cause }: Reported = each;
    if (isSqlState(code)) return code;
    each = cause;
  }
  return undefined;
};

const diskFull = "53100";

/** Codes, or their classes, after which the same statement may succeed. */
const passing = [
  "08", // connection exception
  "25006", // a replica, which writes nothing
  "40", // transaction rollback: deadlock, serialization
  "53", // insufficient resources
  "55P03", // lock not available
  "57", // operator intervention: cancelled, shutting down, starting up
];

/** Of these the connection breaks, perhaps after the statement took effect. */
const isBroken = (sqlState: string): boolean => /^(08|57P0[12])/.test(sqlState);

/** Nobody was there to take a statement. */
const isUnreached = (error: unknown): boolean =>
  typeof error === "object" && error !== null && "code" in error &&
  (error.code === "ECONNREFUSED" || error.code === "ENOENT" || error.code === "ENOTFOUND");

/** Whether the statement was undone because of others, so that it can be run again at once. */
export const isContended = (error: DatabaseError): boolean =>
  "cause" in error && /^(40001|40P01|23505)$/.test(sqlStateOf(error.cause) ?? "");

export const failure = (operation: string) => (cause: unknown): DatabaseError => {
  const sqlState = sqlStateOf(cause);
  const description = cause instanceof Error ? cause.message : String(cause);
  if (sqlState === diskFull) return new NoSpace({ stream: operation, reason: description });
  if (sqlState !== undefined && !passing.some((prefix) => sqlState.startsWith(prefix))) {
    return new DatabaseRefused({ operation, sqlState, description, cause });
  }
  const isUnknown = sqlState === undefined ? !isUnreached(cause) : isBroken(sqlState);
  return new Unavailable({
    operation,
    reason: description,
    landed: isUnknown ? "unknown" : "no",
    cause,
  });
};
