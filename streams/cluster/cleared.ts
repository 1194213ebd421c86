/**
 * Removing what an entity was asked before it was cleared, its replies and their payloads: whoever
 * clears it does so, and whoever has its shard, in case that one did not come to its end. What was
 * asked since stays, and so does a payload that is so new that its record may be on its way.
 */
import * as Effect from "effect/Effect";
import type { Log, ReadError } from "../log.ts";
import type { Address } from "../subjects.ts";
import { addressOfSubject, entityFilter } from "./places.ts";

const atOnce = 16;

/** 2 reads, and for each record a deletion, for each subject a look for its payloads. */
export const make = (log: Log["Service"]) =>
  Effect.fnUntraced(function* (
    entity: Address,
    before: number,
  ): Effect.fn.Return<void, ReadError> {
    for (const kind of ["call", "reply"] as const) {
      const options = { through: before - 1, withLost: true };
      const all = yield* log.readThrough(entityFilter(entity, kind), options);
      const cleared = all.filter(({ sequence }) => sequence < before);
      yield* Effect.forEach(
        new Set(cleared.map(({ subject }) => subject)),
        (subject) => log.dropPayloads(addressOfSubject(entity, subject)),
        { concurrency: atOnce, discard: true },
      );
      yield* Effect.forEach(
        cleared,
        ({ shard, sequence }) => log.remove(shard, sequence),
        { concurrency: atOnce, discard: true },
      );
    }
  });
