/**
 * Removing what the log holds of an execution, each kind of record up to a sequence, so that whatever
 * is stored later stays. It does not decide whether an execution may go.
 */
import * as Effect from "effect/Effect";
import type { Log } from "../../streams/log.ts";
import {
  type Address,
  everyKeyedFilter,
  executionFilter,
  type Kind,
} from "../../streams/subjects.ts";

/** What an execution may have beside its lease, its mailbox and its end. */
const otherKinds = ["log", "snap", "signal", "tag", "event", "index"] as const;
/** What goes last, in this order: as long as the end is there, it is known what is to go. */
const lastKinds = ["lease", "mail", "done"] as const;

export const plainKinds = [...otherKinds, ...lastKinds] as const;

/** Where the last record of each kind is, of those that have any. */
export type Found = ReadonlyMap<Kind, number>;

/** What is to go, and up to where. */
export interface Doomed {
  readonly address: Address;
  readonly sequence: number;
}

export const makeRemoval = (log: Log["Service"]) => {
  const removeKind = ({ address, sequence: upTo }: Doomed, kind: Kind) =>
    log.purge(executionFilter(address, kind), { upTo });

  const remove = (doomed: Doomed, kinds: ReadonlyArray<Kind>, found: Found) =>
    kinds.filter((kind) => found.has(kind)).map((kind) => removeKind(doomed, kind));

  return {
    removeLease: (doomed: Doomed) => removeKind(doomed, "lease"),
    /** Everything but what still says that the execution existed, and that it has ended. */
    removeOthers: (doomed: Doomed, found: Found) => {
      const { address, sequence: upTo } = doomed;
      // Timers, lanes and pending removals, which have a token more.
      const keyed = log.purge(everyKeyedFilter(address), { upTo });
      return Effect.all([keyed, ...remove(doomed, otherKinds, found)], {
        concurrency: "unbounded",
        discard: true,
      });
    },
    removeLast: (doomed: Doomed, found: Found) =>
      Effect.all(remove(doomed, lastKinds, found), { discard: true }),
  };
};
