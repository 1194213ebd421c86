/**
 * Reading without a gap where a replica may lag behind what the leader has acknowledged. An answer
 * counts if it reaches as far as the leader does, or as far as the caller knows that records go;
 * otherwise all of it is read again, since what is missing may lie anywhere. One server never lags.
 */
import * as Effect from "effect/Effect";
import * as Schedule from "effect/Schedule";
import * as Stream from "effect/Stream";
import { Unavailable } from "../../schema/errors.ts";
import type { Entry, Log, ReadError } from "../log.ts";
import type { Filter } from "../subjects.ts";

export interface WholeReadOptions {
  readonly replicas: number;
  readonly tail: Log["Service"]["tail"];
  /** The sequence of the last record under a filter, as the leader has it; 0 if there is none. */
  readonly lastSequence: (filter: Filter) => Effect.Effect<number, ReadError>;
}

const readAgain = Schedule.spaced("10 millis").pipe(Schedule.upTo({ duration: "10 seconds" }));

const sequenceOf = (entry: Entry | undefined): number => entry?.sequence ?? 0;

export const make =
  ({ replicas, tail, lastSequence }: WholeReadOptions) =>
  (read: Log["Service"]["read"]): Log["Service"]["readThrough"] =>
  (filter, { after = 0, through, ...options }) => {
    const lagging = new Unavailable({
      operation: `read ${filter.subject} through ${through}`,
      reason: "the replica that answers lags behind",
      landed: "no",
    });

    /** Whether nothing follows the last record up to `through`, though it comes before. */
    const isAll = Effect.fnUntraced(function* (reached: number) {
      // Who thinks that it leads, but lacks what was acknowledged, is not asked.
      if ((yield* tail(filter.shard)).sequence < through) return false;
      return (yield* lastSequence(filter)) <= Math.max(reached, after);
    });

    const attempt = Effect.gen(function* () {
      const entries = yield* Effect.map(
        Stream.runCollect(read(filter, { ...options, after })),
        (chunk) => Array.from(chunk),
      );
      const reached = sequenceOf(entries.at(-1));
      if (replicas === 1 || through <= after || reached >= through) return entries;
      return (yield* isAll(reached)) ? entries : yield* Effect.fail(lagging);
    });
    return Effect.retry(attempt, { while: (error) => error === lagging, schedule: readAgain });
  };
