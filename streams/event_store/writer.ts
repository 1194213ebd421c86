/**
 * Appends events, each behind the last one that was appended: the server checks that no other came
 * between, so every event id before it is known, whatever other writers do. Its number is known at
 * once, or where the engine writes too, by reading up to it. What is remembered of an execution only
 * saves reading; if it is out of date the server refuses the append, and we read and try again.
 */
import * as Cache from "effect/Cache";
import * as Effect from "effect/Effect";
import * as Semaphore from "effect/Semaphore";
import * as Stream from "effect/Stream";
import {
  type AlreadyExists,
  InvalidInput,
  SequenceConflict,
  Unavailable,
} from "../../schema/errors.ts";
import type { ExecutionEvent } from "../../schema/execution_event.ts";
import type { EventId } from "../../schema/ids.ts";
import { eventRecord, type NewEventRecord } from "../../schema/stored_event.ts";
import { addToIndex } from "../event_index.ts";
import type { AppendError, Log, Message, ReadError } from "../log.ts";
import { type Address, subjectOf } from "../subjects.ts";
import type { History } from "./history.ts";
import { placementId } from "./placement.ts";
import { beginning, type Position, type Step } from "./position.ts";

/** Events to be appended as one, and what must hold. */
export interface Append {
  readonly events: ReadonlyArray<ExecutionEvent>;
  /** One for each event. */
  readonly eventIds: ReadonlyArray<EventId> | undefined;
  readonly expectedSequence: number | undefined;
}

export type WriteError = InvalidInput | AppendError | ReadError;

/** What we know of an execution's events, complete up to its position. */
interface Known {
  position: Position;
  /** The sequence of every event that has an id, once somebody appends with one. */
  readonly ids: Map<EventId, number> | undefined;
}

/** The end of one execution's history, and the turn to append to it. */
interface Tail {
  known: Known | undefined;
  /** One append of an execution at a time: more would only refuse each other. */
  readonly turn: Semaphore.Semaphore;
}

/** The sequences of events that were stored as one. */
interface Stored {
  readonly first: number;
  readonly last: number;
}

const rememberedTails = 4_096;
const turnTimeoutMs = 30_000;

const isMoved = (error: { readonly _tag: string }): error is AlreadyExists | SequenceConflict =>
  error._tag === "AlreadyExists" || error._tag === "SequenceConflict";

/** A number that cannot be read does not mean that nothing was written. */
const mayHaveLanded = (error: ReadError): ReadError => {
  if (error._tag !== "Unavailable") return error;
  const { operation, reason, cause } = error;
  return new Unavailable({
    operation,
    reason,
    landed: "unknown",
    ...(cause === undefined ? {} : { cause }),
  });
};

/** The first sequence of events that were appended before, just so; nothing if none of them was. */
const repetition = (
  { ids }: Known,
  eventIds: ReadonlyArray<EventId>,
): number | InvalidInput | undefined => {
  const first = ids?.get(eventIds[0]!);
  if (first !== undefined && eventIds.every((id, i) => ids?.get(id) === first + i)) return first;
  const stored = eventIds.find((id) => ids?.has(id));
  return stored === undefined ? undefined : new InvalidInput({
    what: "event ids",
    value: eventIds.join(", ").slice(0, 200),
    rule: `${stored} is event ${ids?.get(stored)} already, and the others do not stand around it ` +
      `as they do here; a batch is repeated whole, or has new ids`,
  });
};

/** What an append comes to by what is known; nothing if it is to be stored. */
const verdict = (
  { label }: Address,
  { eventIds, expectedSequence }: Append,
  known: Known,
): number | InvalidInput | SequenceConflict | undefined => {
  const before = eventIds === undefined ? undefined : repetition(known, eventIds);
  if (before !== undefined) return before;
  const actual = known.position.sequence;
  return expectedSequence === undefined || expectedSequence === actual
    ? undefined
    : new SequenceConflict({ subject: label, expected: expectedSequence, actual });
};

const recordsOf = (
  { events, eventIds, expectedSequence }: Append,
  { sequence, journal: { life } }: Position,
): ReadonlyArray<NewEventRecord> =>
  events.map((event, i) => {
    const eventId = eventIds?.[i];
    const common = { event, ...(eventId === undefined ? {} : { eventId }) };
    if (life === 0) return { kind: "event", sequence: sequence + 1 + i, ...common };
    const expects = i === 0 && expectedSequence !== undefined;
    return {
      kind: "addition",
      ...(expects ? { expected: expectedSequence } : {}),
      ...common,
    };
  });

const messagesOf = (append: Append, behind: Position): ReadonlyArray<Message> =>
  recordsOf(append, behind).map((record, place) => ({
    kind: "event",
    body: eventRecord.encode(record),
    id: placementId({ after: behind.eventSequence, place }),
    ...(place === 0 ? { guard: { after: behind.eventSequence } } : {}),
  }));

export const make = Effect.fnUntraced(function* (log: Log["Service"], history: History) {
  const tails = yield* Cache.make({
    capacity: rememberedTails,
    lookup: (_subject: string) =>
      Effect.sync((): Tail => ({ known: undefined, turn: Semaphore.makeUnsafe(1) })),
  });

  const inTurn = <A, E>(address: Address, tail: Tail, effect: Effect.Effect<A, E>) =>
    Effect.scoped(Effect.andThen(
      tail.turn.takeScoped(1).pipe(Effect.timeoutOrElse({
        duration: turnTimeoutMs,
        orElse: () =>
          Effect.fail(
            new Unavailable({
              operation: `append to ${address.label}`,
              reason: "earlier appends of this execution are still waiting for an answer",
              landed: "no",
            }),
          ),
      })),
      effect,
    ));

  const learn = (known: Known, { events, position }: Step) => {
    known.position = position;
    for (const { eventId, sequence } of events) {
      if (eventId !== undefined) known.ids?.set(eventId, sequence);
    }
  };

  const readUpTo = (address: Address, known: Known, through: number) =>
    history.steps(address, known.position, through).pipe(
      Stream.runForEach((step) => Effect.sync(() => learn(known, step))),
      Effect.as(known),
    );

  /** What is known with as much as this append needs: for event ids, the whole history. */
  const knownFor = Effect.fnUntraced(function* (address: Address, tail: Tail, withIds: boolean) {
    const { known } = tail;
    if (known !== undefined && (known.ids !== undefined || !withIds)) return known;
    tail.known = withIds
      ? yield* readUpTo(address, { position: beginning, ids: new Map() }, 0)
      : { position: yield* history.latest(address), ids: undefined };
    return tail.known;
  });

  /** Reads what was recorded since. If the log ends before what we know, it has lost that. */
  const catchUp = Effect.fnUntraced(function* (address: Address, tail: Tail, known: Known) {
    const through = yield* history.tail(address);
    if (yield* history.continues(address, known.position)) yield* readUpTo(address, known, through);
    else tail.known = undefined;
  });

  /** The number of an event that was stored, by the records before it; nothing if it is void. */
  const settle = Effect.fnUntraced(function* (
    address: Address,
    tail: Tail,
    known: Known,
    { first, last }: Stored,
  ) {
    // Where nothing was appended before, the server's check does not show that the life is the same.
    const isSame = known.position.eventSequence > 0 ||
      (yield* history.continues(address, known.position));
    const from = isSame ? known : { position: beginning, ids: known.ids && new Map() };
    let number: number | undefined;
    yield* history.steps(address, from.position, last).pipe(
      Stream.runForEach((step) =>
        Effect.sync(() => {
          learn(from, step);
          if (step.entry.sequence === first) number = step.events[0]?.sequence;
        })
      ),
    );
    tail.known = from;
    return number;
  });

  /** The number of the first of events that were just stored; nothing if they are void. */
  const numberOf = Effect.fnUntraced(function* (
    address: Address,
    tail: Tail,
    known: Known,
    stored: Stored,
  ) {
    const { position } = known;
    const { first, last } = stored;
    // A start that came between has taken a number.
    if (position.journal.life !== 0 || (yield* history.hasMail(address))) {
      return yield* settle(address, tail, known, stored);
    }
    const sequence = position.sequence + 1 + last - first;
    known.position = { ...position, sequence, streamSequence: last, eventSequence: last };
    return position.sequence + 1;
  }, Effect.mapError(mayHaveLanded));

  /** Stores the events behind what is known; nothing if they are not the next any more. */
  const store = Effect.fnUntraced(function* (
    address: Address,
    append: Append,
    tail: Tail,
    known: Known,
  ) {
    const { events, eventIds } = append;
    if (known.position.sequence === 0) yield* addToIndex(log, address);
    const messages = messagesOf(append, known.position);
    const appended = yield* (messages.length === 1
      ? log.append(address, messages[0]!)
      : log.appendBatch(address, messages)).pipe(Effect.catchIf(isMoved, () =>
        Effect.undefined));
    if (appended === undefined) return undefined;
    const stored = { first: appended.sequence, last: appended.sequence + events.length - 1 };
    const number = yield* numberOf(address, tail, known, stored);
    if (number !== undefined) eventIds?.forEach((id, i) => tail.known?.ids?.set(id, number + i));
    return number;
  });

  /** What is remembered is enough to try, but only what the log says now is an answer. */
  const follow = Effect.fnUntraced(function* (address: Address, append: Append, tail: Tail) {
    for (let caughtUp = false;; caughtUp = true) {
      const known = yield* knownFor(address, tail, append.eventIds !== undefined);
      const found = verdict(address, append, known);
      if (found === undefined) {
        const first = yield* store(address, append, tail, known);
        if (first !== undefined) return first;
      } else if (caughtUp) return typeof found === "number" ? found : yield* found;
      yield* catchUp(address, tail, tail.known ?? known);
    }
  });

  /** Stores all of the events, or none, and gives the sequence of the first. */
  return Effect.fnUntraced(function* (address: Address, append: Append) {
    const tail = yield* Cache.get(tails, subjectOf(address, "event"));
    return yield* inTurn(address, tail, follow(address, append, tail));
  });
});
