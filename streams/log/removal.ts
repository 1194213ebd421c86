/**
 * Deleting records. Every deletion names the last sequence that it may take, so that a late or
 * repeated one never takes what was stored since. What is deleted here is not known to the object
 * store, and who may delete is not decided here.
 */
import * as Effect from "effect/Effect";
import { Connection } from "../connection.ts";
import type { Log } from "../log.ts";
import { type Layout, streamName } from "../subjects.ts";

/** The server has no message with this sequence. */
const sequenceNotFound = 10043;

export const make = Effect.fnUntraced(function* (layout: Layout) {
  const { ask, manager } = yield* Connection;

  const purge: Log["Service"]["purge"] = ({ shard, subject }, { upTo }) => {
    // The server takes 0, and a number that JSON cannot say, for no bound at all.
    if (!(upTo >= 1)) return Effect.succeed(0);
    const seq = Math.min(upTo + 1, Number.MAX_SAFE_INTEGER);
    return Effect.map(
      ask(
        `purge ${subject}`,
        () => manager.streams.purge(streamName(layout, shard), { filter: subject, seq }),
      ),
      ({ purged }) => purged,
    );
  };

  const remove: Log["Service"]["remove"] = (shard, sequence) =>
    ask(
      `delete message ${sequence} of ${streamName(layout, shard)}`,
      () => manager.streams.deleteMessage(streamName(layout, shard), sequence, false),
    ).pipe(
      Effect.catchIf(
        (error) => error._tag === "ServerRefused" && error.errorCode === sequenceNotFound,
        () => Effect.succeed(false),
      ),
    );

  return { purge, remove };
});
