/**
 * What `withTransaction` of Effect's storage can be on a log: the messages and replies that are
 * written inside are kept back and stored as one atomic batch, or not at all. It covers nothing but
 * them, all in one shard of the log, and what is written inside is not read inside.
 */
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import { InvalidInput } from "../../schema/errors.ts";
import type { AppendError, Log, Message, ReadError } from "../log.ts";
import type { Address } from "../subjects.ts";

/** Messages that are stored together, and what follows from that, or from its failure. */
export interface Write {
  /** In whose lane, and whose messages they are, unless they say so themselves. */
  readonly to: Address;
  readonly messages: readonly [Message, ...ReadonlyArray<Message>];
  /** Given the sequence of the first; its error is told to nobody in a transaction, which is stored. */
  readonly onStored: (sequence: number) => Effect.Effect<void, ReadError>;
  readonly onFailed?: () => void;
  /** The request that it stores. */
  readonly requestId?: string;
}

/** The writes of the transaction that a fiber is in. */
type Buffer = Array<Write>;

const Buffered = Context.Reference<Buffer | undefined>("@weir/weir/streams/ClusterTransaction", {
  defaultValue: () => undefined,
});

const storeNow = (
  log: Log["Service"],
  { to, messages, onStored, onFailed }: Write,
): Effect.Effect<void, AppendError | ReadError> =>
  (messages.length === 1 ? log.append(to, messages[0]) : log.appendBatch(to, messages)).pipe(
    Effect.onError(() => Effect.sync(() => onFailed?.())),
    Effect.flatMap(({ sequence }) => onStored(sequence)),
  );

/** Stores at once, or with the transaction. */
export const store = (
  log: Log["Service"],
  write: Write,
): Effect.Effect<void, AppendError | ReadError> =>
  Effect.flatMap(
    Buffered,
    (buffer) =>
      buffer === undefined ? storeNow(log, write) : Effect.sync(() => {
        buffer.push(write);
      }),
  );

/** Whether a transaction is under way, and what it is to store under an address, if anything. */
export const inside = (
  to: Address,
): Effect.Effect<{ readonly write: Write | undefined } | undefined> =>
  Effect.map(Buffered, (buffer) =>
    buffer === undefined ? undefined : {
      write: buffer.find((write) => write.to.shard === to.shard && write.to.tail === to.tail),
    });

const commit = (log: Log["Service"], writes: Buffer): Effect.Effect<void> => {
  const [first] = writes;
  if (first === undefined) return Effect.void;
  if (writes.some(({ to }) => to.shard !== first.to.shard)) {
    for (const { onFailed } of writes) onFailed?.();
    return Effect.die(
      new InvalidInput({
        what: "transaction",
        value: `messages in ${new Set(writes.map(({ to }) => to.shard)).size} shards of the log`,
        rule: "all that it writes is in one shard; a namespace that has only one allows any",
      }),
    );
  }
  const messages = writes.flatMap(({ to, messages }) =>
    messages.map((message) => ({ ...message, of: message.of ?? to }))
  );
  return Effect.orDie(storeNow(log, {
    to: first.to,
    messages: messages as [Message, ...Array<Message>],
    onStored: (sequence) => {
      let next = sequence;
      return Effect.forEach(writes, ({ messages, onStored }) => {
        const own = next;
        next += messages.length;
        return Effect.ignore(onStored(own), { log: "Warn" });
      }, { discard: true });
    },
    onFailed: () => writes.forEach(({ onFailed }) => onFailed?.()),
  }));
};

/** One that is inside another is committed with that. */
export const withTransaction =
  (log: Log["Service"]) => <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.flatMap(Buffered, (outer) =>
      Effect.uninterruptibleMask((restore) => {
        const writes: Buffer = [];
        return restore(Effect.provideService(effect, Buffered, writes)).pipe(
          Effect.onError(() => Effect.sync(() => writes.forEach(({ onFailed }) => onFailed?.()))),
          Effect.tap(() =>
            outer === undefined ? commit(log, writes) : Effect.sync(() => {
              outer.push(...writes);
            })
          ),
        );
      }));
