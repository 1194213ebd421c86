/**
 * Registers: records of which each follows from the one before it under the same subject. Whoever
 * changes one names the record that it saw, and the server refuses all but one of those who saw the
 * same; what else is to happen is stored in the same step or not at all. It knows nothing of what the
 * records mean.
 */
import * as Effect from "effect/Effect";
import * as Hash from "effect/Hash";
import * as Option from "effect/Option";
import * as Schedule from "effect/Schedule";
import * as Semaphore from "effect/Semaphore";
import type { RecordCodec } from "../schema/record.ts";
import type { AppendError, Entry, Log, Message, ReadError } from "./log.ts";
import { type Address, type Kind, subjectOf } from "./subjects.ts";

/** What a register holds, and where that stands; a revision of 0 says that nothing ever did. */
export interface Held<Value> {
  readonly value: Value | undefined;
  readonly revision: number;
  /** When the server stored it. */
  readonly at: number;
}

/** What follows from what was held: a result, and what to store, if anything. */
export interface Revised<Value, A> {
  readonly result: A;
  /** The next value; left out, nothing is stored. */
  readonly next?: Value;
  /** What is stored with it, in the same shard, in one step. */
  readonly along?: ReadonlyArray<Message>;
  /** Whether the records before it go, in the same step. */
  readonly replaces?: boolean;
}

export interface Register<Value, New> {
  /** As the leader has it. */
  readonly read: (of: Address) => Effect.Effect<Held<Value>, ReadError>;
  /**
   * Changes a register by what follows from it. The function is asked again whenever somebody else
   * was quicker, and must do nothing but read. A guard of what is stored along that does not hold is
   * the caller's `AlreadyExists` or `SequenceConflict`.
   */
  readonly revise: <A, E = never>(
    of: Address,
    change: (held: Held<Value>) => Effect.Effect<Revised<New, A>, E>,
  ) => Effect.Effect<A, E | AppendError | ReadError>;
}

/** How many registers of a process may be changed at once. */
const changedAtOnce = 256;

/** Somebody else was quicker. */
class Overtaken {
  readonly _tag = "Overtaken";
}

/** How long those who were overtaken wait before they try again. */
export const betweenTries = Schedule.min([
  Schedule.exponential("2 millis", 1.5),
  Schedule.spaced("100 millis"),
]).pipe(Schedule.jittered);

export const make = <Value, New = Value>(
  log: Log["Service"],
  kind: Kind,
  codec: RecordCodec<Value, New>,
): Register<Value, New> => {
  const turns = Array.from({ length: changedAtOnce }, () => Semaphore.makeUnsafe(1));

  const heldBy = (entry: Entry): Effect.Effect<Held<Value>, ReadError> => {
    const { sequence: revision, at } = entry;
    return entry.removed
      ? Effect.succeed({ value: undefined, revision, at })
      : Effect.map(codec.decode(entry.body, entry), (value) => ({ value, revision, at }));
  };

  const read: Register<Value, New>["read"] = (of) =>
    Effect.flatMap(
      log.last(of, kind),
      Option.match({
        onNone: () => Effect.succeed({ value: undefined, revision: 0, at: 0 }),
        onSome: heldBy,
      }),
    );

  const put = (of: Address, revision: number, { next, along = [], replaces }: {
    readonly next: New;
    readonly along?: ReadonlyArray<Message>;
    readonly replaces?: boolean;
  }) => {
    const message: Message = {
      kind,
      body: codec.encode(next),
      guard: { after: revision },
      ...(replaces === true ? { replaces } : {}),
    };
    return along.length === 0 ? log.append(of, message) : log.appendBatch(of, [message, ...along]);
  };

  return {
    read,
    revise: <A, E>(
      of: Address,
      change: (held: Held<Value>) => Effect.Effect<Revised<New, A>, E>,
    ) => {
      /** The server does not say which guard of several it was. */
      const orOvertaken = (revision: number) => <Conflict>(conflict: Conflict) =>
        Effect.flatMap(
          read(of),
          (held): Effect.Effect<never, Overtaken | Conflict> =>
            Effect.fail(held.revision === revision ? conflict : new Overtaken()),
        );
      const attempt = Effect.gen(function* () {
        const held = yield* read(of);
        const { result, next, ...rest } = yield* change(held);
        if (next !== undefined) {
          yield* put(of, held.revision, { next, ...rest }).pipe(
            Effect.catchTag("AlreadyExists", orOvertaken(held.revision)),
            Effect.catchTag("SequenceConflict", orOvertaken(held.revision)),
          );
        }
        return result;
      });
      const isOvertaken = (error: unknown): error is Overtaken => error instanceof Overtaken;
      const retried = attempt.pipe(
        Effect.retry({ schedule: betweenTries, while: isOvertaken }),
      ) as Effect.Effect<A, E | AppendError | ReadError>;
      // Within a process one after the other: each would only be in the others' way.
      const turn = (Hash.string(subjectOf(of, kind)) >>> 0) % changedAtOnce;
      return turns[turn]!.withPermit(retried);
    },
  };
};
