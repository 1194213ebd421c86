/**
 * Up to where a shard's outbox has nothing left to publish, so that readers need not begin with what
 * was sent last week. A floor that was true stays true; whoever writes the last may write a lower one,
 * which costs its readers time and nothing else.
 */
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import type { AppendError, Log, ReadError } from "../log.ts";
import { outboxFloorAddress } from "../subjects.ts";
import { outboxFloorRecord } from "./record.ts";

/** The sequence behind which everything is that is still to be published. */
export const readFloor = Effect.fnUntraced(function* (
  log: Log["Service"],
  shard: number,
): Effect.fn.Return<number, ReadError> {
  const last = yield* log.last(outboxFloorAddress(log.layout, shard), "floor");
  if (Option.isNone(last)) return 0;
  return (yield* outboxFloorRecord.decode(last.value.body, last.value)).sequence;
});

export const writeFloor = (
  log: Log["Service"],
  shard: number,
  sequence: number,
): Effect.Effect<void, AppendError> =>
  Effect.asVoid(log.append(outboxFloorAddress(log.layout, shard), {
    kind: "floor",
    body: outboxFloorRecord.encode({ kind: "outboxFloor", sequence }),
    replaces: true,
  }));
