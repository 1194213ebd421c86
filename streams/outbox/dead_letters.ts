/**
 * The dead letters of the log. One is written in the same step in which its event dies, and goes in
 * the same step in which that comes back or is removed, so that an event is never both. They are few,
 * and found by reading all of them. A large payload lies with its event, and goes with that.
 */
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import { Timestamp } from "../../schema/ids.ts";
import type { AppendError, Log, Message, ReadError } from "../log.ts";
import { type Address, outboxAddressOf, outboxFilter } from "../subjects.ts";
import type { DeadLetter, OutboxEventId } from "./event.ts";
import { readOn } from "./read_on.ts";
import { deadRecord, type OutboxRecord, outboxRecord } from "./record.ts";

/** A dead letter, and where it lies. */
interface Found {
  readonly address: Address;
  readonly sequence: number;
  readonly letter: DeadLetter;
}

export const make = (log: Log["Service"]) => {
  const shards = Array.from({ length: log.layout.shards }, (_, shard) => shard);

  /** What lies there now, and the records of what lay there once. */
  const read = Effect.fnUntraced(function* (shard: number) {
    const letters = new Map<string, Found>();
    const gone = new Map<string, Array<number>>();
    yield* readOn((after) => log.read(outboxFilter(log.layout, shard, "dead"), { after }), {
      after: 0,
      lost: ({ message }) => Effect.logWarning(message),
      take: Effect.fnUntraced(function* (entry) {
        const { subject, sequence, at } = entry;
        const address = outboxAddressOf(log.layout, shard, subject);
        const record = yield* Effect.catchTag(
          deadRecord.decode(entry.body, entry),
          "CorruptRecord",
          () => Effect.undefined,
        );
        if (address === undefined || record === undefined) return;
        const { sequence: earlier } = letters.get(subject) ?? {};
        const left = [...gone.get(subject) ?? [], ...(earlier === undefined ? [] : [earlier])];
        if (record.kind === "gone") {
          letters.delete(subject);
          gone.set(subject, [...left, sequence]);
          return;
        }
        const { kind: _, ...letter } = record;
        letters.set(subject, {
          address,
          sequence,
          letter: { ...letter, diedAt: Timestamp.make(at) },
        });
        if (left.length > 0) gone.set(subject, left);
      }),
    });
    return { letters: [...letters.values()], gone: [...gone.values()] };
  });

  const all = Effect.map(
    Effect.forEach(shards, read, { concurrency: "unbounded" }),
    (found) =>
      found.flatMap(({ letters }) => letters).sort((a, b) =>
        a.letter.diedAt - b.letter.diedAt || a.sequence - b.sequence
      ),
  );

  /** Ends a dead letter with what its event becomes; says whether that was done by this. */
  const end = Effect.fnUntraced(function* (
    id: OutboxEventId,
    become: (letter: DeadLetter) => OutboxRecord,
  ): Effect.fn.Return<boolean, AppendError | ReadError> {
    const found = (yield* all).find(({ letter }) => letter.id === id);
    if (found === undefined) return false;
    const { address, letter, sequence } = found;
    const last = yield* log.last(address, "outbox");
    if (Option.isNone(last)) return false;
    const state = yield* outboxRecord.decode(last.value.body, last.value);
    if (state.kind !== "dead") return false;
    const messages: ReadonlyArray<Message> = [
      {
        kind: "outbox",
        body: outboxRecord.encode(become(letter)),
        guard: { after: last.value.sequence },
      },
      { kind: "dead", body: deadRecord.encode({ kind: "gone" }) },
    ];
    const ended = yield* log.appendBatch(address, messages).pipe(
      Effect.catchTag(["SequenceConflict", "AlreadyExists"], () => Effect.undefined),
    );
    if (ended === undefined) return false;
    yield* log.remove(address.shard, sequence);
    yield* log.remove(address.shard, ended.sequence + 1);
    return true;
  });

  return {
    count: Effect.map(all, ({ length }) => length),
    list: ({ limit, after }: { readonly limit: number; readonly after?: OutboxEventId }) =>
      Effect.map(all, (found) => {
        const letters = found.map(({ letter }) => letter);
        const start = after === undefined ? 0 : letters.findIndex(({ id }) => id === after) + 1;
        return letters.slice(start, start + limit);
      }),
    end,
    /** Removes what an end has left behind that was cut short. */
    sweep: Effect.forEach(
      shards,
      (shard) =>
        Effect.flatMap(
          read(shard),
          ({ gone }) =>
            Effect.forEach(gone.flat(), (sequence) => log.remove(shard, sequence), {
              discard: true,
            }),
        ),
      { discard: true },
    ),
  };
};
