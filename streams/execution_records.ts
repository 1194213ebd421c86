/**
 * Reading everything that the state of one execution follows from, in the order of the stream. Each
 * kind is read under its own subject: a wildcard makes the server look into every block of the stream
 * between the first record and the last, which takes longer the more others there are.
 */
import * as Effect from "effect/Effect";
import type { Entry, Log, ReadError } from "./log.ts";
import { type Address, executionFilter, type Kind } from "./subjects.ts";

/** The kinds of records that the state follows from. */
export const recordKinds = ["mail", "log", "signal", "tag", "done"] as const;

const bySequence = (a: Entry, b: Entry): number => a.sequence - b.sequence;

/**
 * Everything up to a sequence, and perhaps some of what follows. It is for the owner: nobody else's
 * records can come between the reads, save mail.
 */
export const readRecords = (
  log: Log["Service"],
  address: Address,
  { after, mailAfter = after, through }: {
    readonly after?: number;
    /** Behind which mail is read, if that is elsewhere. */
    readonly mailAfter?: number;
    readonly through: number;
  },
  kinds: ReadonlyArray<Kind> = recordKinds,
): Effect.Effect<ReadonlyArray<Entry>, ReadError> =>
  Effect.map(
    Effect.forEach(
      kinds,
      (kind) => {
        const from = kind === "mail" ? mailAfter : after;
        return log.readThrough(executionFilter(address, kind), {
          ...(from === undefined ? {} : { after: from }),
          through,
        });
      },
      { concurrency: "unbounded" },
    ),
    (found) => found.flat().sort(bySequence),
  );

/** An execution as it stood at one moment, for who does not own it. */
export const readMoment = Effect.fnUntraced(function* (
  log: Log["Service"],
  address: Address,
  kinds: ReadonlyArray<Kind> = recordKinds,
): Effect.fn.Return<ReadonlyArray<Entry>, ReadError> {
  const { sequence } = yield* log.tail(address.shard);
  const entries = yield* readRecords(log, address, { through: sequence }, kinds);
  return entries.filter((entry) => entry.sequence <= sequence);
});
