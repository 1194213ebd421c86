/**
 * Removing what an entity was asked before it was cleared, and its replies: whoever clears it does so,
 * and whoever has its shard, in case that one did not come to its end. Payloads in the object store
 * stay: whoever asks anew under a primary key may have put his there already.
 */
import * as Effect from "effect/Effect";
import type { Log, ReadError } from "../log.ts";
import type { Address } from "../subjects.ts";
import { entityFilter } from "./places.ts";

/** 2 reads, and 1 deletion for each record. */
export const removeCleared = (
  log: Log["Service"],
  entity: Address,
  before: number,
): Effect.Effect<void, ReadError> =>
  Effect.forEach(
    ["call", "reply"] as const,
    (kind) => log.purge(entityFilter(entity, kind), { upTo: before - 1 }),
    { discard: true },
  );
