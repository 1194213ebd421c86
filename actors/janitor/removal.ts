/**
 * Removing what the log holds of an execution, one kind of record after another and each up to a
 * sequence, so that whatever is stored later stays. Records that lie far apart are deleted one by
 * one, since a purge that searches many blocks of the stream stalls everybody. It does not decide
 * whether an execution may go.
 */
import * as Effect from "effect/Effect";
import * as Stream from "effect/Stream";
import type { Log } from "../../streams/log.ts";
import {
  type Address,
  everyKeyedFilter,
  executionFilter,
  type Filter,
  type Kind,
} from "../../streams/subjects.ts";

/** What an execution may have beside its lease, its mailbox and its end. */
const otherKinds = ["log", "snap", "signal", "tag", "event", "index"] as const;
/** What goes last, in this order: as long as the end is there, it is known what is to go. */
const lastKinds = ["lease", "mail", "done"] as const;

export const plainKinds = [...otherKinds, ...lastKinds] as const;

/** Where the last record of each kind is, of those that have any. */
export type Found = ReadonlyMap<Kind, number>;

/** About as many records as three blocks of a stream hold. */
const closeTogether = 65_536;

/** What is to go, and up to where. */
export interface Doomed {
  readonly address: Address;
  /** The sequences between which its records lie, for the most part. */
  readonly life: number;
  readonly end: number;
  readonly upTo: number;
}

export const makeRemoval = (log: Log["Service"]) => {
  const oneByOne = (filter: Filter, upTo: number) =>
    log.read(filter, { upTo }).pipe(
      Stream.runForEach(({ shard, sequence }) => log.remove(shard, sequence)),
      // A payload is gone already, so what refers to it cannot be read.
      Effect.catchTag("CorruptRecord", () => Effect.asVoid(log.purge(filter, { upTo }))),
    );

  const remove = ({ address, life, end, upTo }: Doomed, kind: Kind) => {
    const filter = executionFilter(address, kind);
    return end - life > closeTogether
      ? oneByOne(filter, upTo)
      : Effect.asVoid(log.purge(filter, { upTo }));
  };

  /** Timers, lanes and pending removals, which have a token more. */
  const removeKeyed = Effect.fnUntraced(function* ({ address, upTo }: Doomed) {
    const entries = yield* log.readThrough(everyKeyedFilter(address), { through: upTo });
    for (const { shard, sequence } of entries) {
      if (sequence <= upTo) yield* log.remove(shard, sequence);
    }
  });

  const removeKinds = (doomed: Doomed, kinds: ReadonlyArray<Kind>, found: Found) =>
    Effect.forEach(
      kinds.filter((kind) => found.has(kind)),
      (kind) => remove(doomed, kind),
      { discard: true },
    );

  return {
    /** Everything but what still says that the execution existed, and that it has ended. */
    removeOthers: (doomed: Doomed, found: Found) =>
      Effect.andThen(removeKeyed(doomed), removeKinds(doomed, otherKinds, found)),
    removeLast: (doomed: Doomed, found: Found) => removeKinds(doomed, lastKinds, found),
    /** What told the janitor. */
    removeTriggers: ({ address, upTo }: Pick<Doomed, "address" | "upTo">) =>
      Effect.asVoid(log.purge(executionFilter(address, "gc"), { upTo })),
  };
};
