/**
 * The events of an execution as the log holds them, and the position behind the last of them. Where
 * the store's own events are missing or cannot be read, reading fails, so that no history is cut short
 * in silence. It writes nothing.
 */
import * as Cache from "effect/Cache";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Schedule from "effect/Schedule";
import * as Stream from "effect/Stream";
import { Unavailable } from "../../schema/errors.ts";
import { ExecutionId, executionIdentity } from "../../schema/ids.ts";
import { eventRecord } from "../../schema/stored_event.ts";
import type { Entry, Log, ReadError } from "../log.ts";
import { type Address, executionFilter, subjectOf } from "../subjects.ts";
import { placementOf } from "./placement.ts";
import { after, beginning, type Position, type Step } from "./position.ts";

/** The kinds whose records tell events. */
const tellingKinds = ["event", "mail", "log", "signal", "tag", "done"] as const;

/** Whether the engine may run it; an execution without an actor has no mailbox. */
export const hasActor = ({ label }: Address): boolean =>
  executionIdentity(ExecutionId.make(label)).actor !== undefined;

const sequenceOf = (entry: Option.Option<Entry>): number =>
  Option.match(entry, { onNone: () => 0, onSome: ({ sequence }) => sequence });

/** With replicas the one that answers may lag behind the leader, and is asked again. */
const readAgain = Schedule.spaced("10 millis").pipe(Schedule.upTo({ duration: "10 seconds" }));

const rememberedPositions = 4_096;

export const make = Effect.fnUntraced(function* (log: Log["Service"]) {
  /** How far executions of the engine were read, whose events have no number in store. */
  const remembered = yield* Cache.make({
    capacity: rememberedPositions,
    lookup: (_subject: string) => Effect.sync(() => ({ position: beginning })),
  });

  /** The records of an execution behind one, at least up to another that its leader has. */
  const readThrough = (
    address: Address,
    after: number,
    through: number,
  ): Stream.Stream<Entry, ReadError> => {
    const lagging = new Unavailable({
      operation: `read the events of ${address.label}`,
      reason: "the replica that answers lags behind",
      landed: "no",
    });
    return Stream.suspend(() => {
      let reached = after;
      return Stream.suspend(() => log.read(executionFilter(address), { after: reached }))
        .pipe(
          Stream.mapArray((entries) => {
            reached = entries[entries.length - 1]!.sequence;
            return entries;
          }),
          Stream.concat(
            Stream.suspend(() => reached < through ? Stream.fail(lagging) : Stream.empty),
          ),
          Stream.retry(readAgain.pipe(Schedule.while(({ input }) => input === lagging))),
        );
    });
  };

  /** Whether anything has come for the engine; if not now, then not before now. */
  const hasMail = (address: Address) =>
    hasActor(address)
      ? Effect.map(log.last(address, "mail"), Option.isSome)
      : Effect.succeed(false);

  /** The sequence of the last record that can tell an event, as the leader has it. */
  const tail = (address: Address) =>
    Effect.map(
      log.lastOfEach(address, hasActor(address) ? tellingKinds : ["event"]),
      (last) => Math.max(0, ...[...last.values()].map(({ sequence }) => sequence)),
    );

  /** What stands behind a position, at least up to a record that the leader has. */
  const steps = (
    address: Address,
    from: Position,
    through: number,
  ): Stream.Stream<Step, ReadError> =>
    readThrough(address, from.streamSequence, through).pipe(
      Stream.mapAccumArrayEffect(() => from, (behind, entries) => {
        let position = behind;
        const step = (entry: Entry) =>
          Effect.map(after(position, entry), (step) => {
            position = step.position;
            return step;
          });
        return Effect.map(Effect.forEach(entries, step), (steps) => [position, steps] as const);
      }),
    );

  /** Everything that the leader has, and perhaps more. */
  const all = (address: Address): Stream.Stream<Step, ReadError> =>
    Stream.unwrap(Effect.map(
      tail(address),
      (through) => through === 0 ? Stream.empty : steps(address, beginning, through),
    ));

  /** The position behind everything up to a record, given one before it. */
  const readOn = (address: Address, from: Position, through: number) =>
    Effect.map(
      Stream.runLast(steps(address, from, through)),
      Option.match({ onNone: () => from, onSome: ({ position }) => position }),
    );

  /** Whether the log still has what a position was read from, as far as that can be told. */
  const continues = Effect.fnUntraced(function* (address: Address, position: Position) {
    const { journal: { life }, eventSequence } = position;
    if (sequenceOf(yield* log.last(address, "event")) < eventSequence) return false;
    if (life === 0) return true;
    // Mailboxes are cleared from the front.
    const first = sequenceOf(yield* log.first(address, "mail"));
    return first > 0 && first <= life;
  });

  /** The position behind all that is stored of an execution of the engine. */
  const latestOfEngine = Effect.fnUntraced(function* (address: Address) {
    const known = yield* Cache.get(remembered, subjectOf(address, "event"));
    const through = yield* tail(address);
    const from = (yield* continues(address, known.position)) ? known.position : beginning;
    const position = yield* readOn(address, from, through);
    known.position = position.journal.life === 0 ? beginning : position;
    return position;
  });

  /** Whether a record stands where the store says that it put it, so that its number is right. */
  const isInPlace = Effect.fnUntraced(function* (address: Address, entry: Entry) {
    const placement = placementOf(entry);
    if (placement === undefined) return false;
    const following = yield* log.read(executionFilter(address, "event"), {
      after: placement.after,
      upTo: entry.sequence,
    }).pipe(Stream.runHead);
    const start = entry.sequence - placement.place;
    return Option.exists(following, ({ sequence }) => sequence === start);
  });

  /** The position behind all that is stored, from the last record alone if that can be trusted. */
  const latest = Effect.fnUntraced(function* (address: Address) {
    const found = yield* log.last(address, "event");
    if (yield* hasMail(address)) return yield* latestOfEngine(address);
    if (Option.isNone(found)) return beginning;
    const entry = found.value;
    const record = yield* Effect.catchTag(
      eventRecord.decode(entry.body, entry),
      "CorruptRecord",
      () => Effect.undefined,
    );
    if (record?.kind === "event" && (yield* isInPlace(address, entry))) {
      const { sequence } = entry;
      const at = { sequence: record.sequence, streamSequence: sequence, eventSequence: sequence };
      return { ...beginning, ...at };
    }
    return yield* readOn(address, beginning, entry.sequence);
  });

  /** Whether there is an event; none of a later number is without the first. */
  const exists = Effect.fnUntraced(function* (address: Address) {
    const found = yield* log.last(address, "event");
    if (Option.exists(found, (entry) => placementOf(entry) !== undefined)) return true;
    const first = all(address).pipe(Stream.filter(({ events }) => events.length > 0));
    return Option.isSome(yield* Stream.runHead(first));
  });

  return { hasMail, tail, steps, all, continues, latest, exists };
});

export type History = Effect.Success<ReturnType<typeof make>>;
