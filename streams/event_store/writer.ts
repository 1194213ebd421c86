/**
 * Appends events, each behind the last one: the server checks that nothing came between, so the
 * number that a record bears is right and every event id before it is known, whatever other writers
 * do. What is remembered of an execution only saves reading; if it is out of date the server refuses
 * the append, and we read and try again.
 */
import * as Cache from "effect/Cache";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
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
import { eventRecord } from "../../schema/stored_event.ts";
import { addToIndex } from "../event_index.ts";
import type { AppendError, Log, Message, ReadError } from "../log.ts";
import { type Address, subjectOf } from "../subjects.ts";
import { beginning, type History, type Position } from "./history.ts";
import { placementId } from "./placement.ts";

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

const rememberedTails = 4_096;
const turnTimeoutMs = 30_000;

const isMoved = (error: { readonly _tag: string }): error is AlreadyExists | SequenceConflict =>
  error._tag === "AlreadyExists" || error._tag === "SequenceConflict";

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

const messagesOf = ({ events, eventIds }: Append, behind: Position): ReadonlyArray<Message> =>
  events.map((event, i) => {
    const eventId = eventIds?.[i];
    return {
      kind: "event",
      body: eventRecord.encode({
        kind: "event",
        sequence: behind.sequence + 1 + i,
        event,
        ...(eventId === undefined ? {} : { eventId }),
      }),
      id: placementId({ after: behind.streamSequence, place: i }),
      ...(i === 0 ? { guard: { after: behind.streamSequence } } : {}),
    };
  });

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

  const readUpTo = (address: Address, known: Known, through: number) =>
    history.steps(address, known.position, through).pipe(
      Stream.runForEach(({ record, position }) =>
        Effect.sync(() => {
          known.position = position;
          if (record?.eventId !== undefined) known.ids?.set(record.eventId, record.sequence);
        })
      ),
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

  /** Reads what was appended since. If the log ends before what we know, it has lost that. */
  const catchUp = Effect.fnUntraced(function* (address: Address, tail: Tail, known: Known) {
    const last = Option.match(yield* history.last(address), {
      onNone: () => 0,
      onSome: ({ sequence }) => sequence,
    });
    if (last < known.position.streamSequence) tail.known = undefined;
    else yield* readUpTo(address, known, last);
  });

  /** Stores the events behind what is known; nothing if they are not the next any more. */
  const store = Effect.fnUntraced(function* (address: Address, append: Append, known: Known) {
    const { events, eventIds } = append;
    const { sequence } = known.position;
    if (sequence === 0) yield* addToIndex(log, address);
    const messages = messagesOf(append, known.position);
    const appended = yield* (messages.length === 1
      ? log.append(address, messages[0]!)
      : log.appendBatch(address, messages)).pipe(Effect.catchIf(isMoved, () =>
        Effect.undefined));
    if (appended === undefined) return undefined;
    known.position = {
      sequence: sequence + events.length,
      streamSequence: appended.sequence + events.length - 1,
    };
    eventIds?.forEach((id, i) => known.ids?.set(id, sequence + 1 + i));
    return sequence + 1;
  });

  /** What is remembered is enough to try, but only what the log says now is an answer. */
  const follow = Effect.fnUntraced(function* (address: Address, append: Append, tail: Tail) {
    for (let caughtUp = false;; caughtUp = true) {
      const known = yield* knownFor(address, tail, append.eventIds !== undefined);
      const found = verdict(address, append, known);
      if (found === undefined) {
        const first = yield* store(address, append, known);
        if (first !== undefined) return first;
      } else if (caughtUp) return typeof found === "number" ? found : yield* found;
      yield* catchUp(address, tail, known);
    }
  });

  /** Stores all of the events, or none, and gives the sequence of the first. */
  return Effect.fnUntraced(function* (address: Address, append: Append) {
    const tail = yield* Cache.get(tails, subjectOf(address, "event"));
    return yield* inTurn(address, tail, follow(address, append, tail));
  });
});
