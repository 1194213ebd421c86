/**
 * The seats of a queue, in the log: each is the last record under its subject, or given up if that
 * says so; then who keeps the queue removes all of them. Who admits does so under the fence of the
 * execution that keeps the queue; nobody else does.
 */
import * as Effect from "effect/Effect";
import * as Metric from "effect/Metric";
import * as Option from "effect/Option";
import * as Stream from "effect/Stream";
import { ExecutionId, Tenant } from "../schema/ids.ts";
import { SeatRecord, seatRecord } from "../schema/seat_record.ts";
import type { AppendError, Entry, Log, Message, ReadError, RemoveError } from "./log.ts";
import { skippedRecords } from "./metrics.ts";
import { type Address, executionAddress, seatAddress, seatFilter } from "./subjects.ts";

/** The actor of the executions that keep queues, and whose they are. */
export const queueActor = "weir-queue";
export const queueTenant = Tenant.make("weir");

export const queueExecution = (queue: string): ExecutionId =>
  ExecutionId.make(`${queueActor}/${queue}`);

/** A turn of an execution, which has one seat. */
export interface Turn {
  readonly tenant: Tenant;
  readonly execution: ExecutionId;
  readonly life: number;
  readonly turn: string;
}

export const seatId = ({ tenant, execution, life, turn }: Turn): string =>
  `${tenant} ${execution} ${life} ${turn}`;

/** What is known of a seat: its record, or that it was given up. */
export interface SeatChange {
  readonly subject: string;
  readonly sequence: number;
  readonly seat: SeatRecord | undefined;
}

/** A seat as the log has it, with all that the log has of it, in order. */
export interface Kept extends Omit<SeatChange, "sequence"> {
  readonly sequences: ReadonlyArray<number>;
}

export const make = (log: Log["Service"]) => {
  const keeperOf = (queue: string): Address =>
    executionAddress(log.layout, queueTenant, queueExecution(queue));
  const addressOf = (queue: string, turn: Turn): Address =>
    seatAddress(keeperOf(queue), queue, seatId(turn));

  /** Takes a seat, unless it was taken before. */
  const enter = (queue: string, seat: SeatRecord): Effect.Effect<void, AppendError> =>
    log.append(addressOf(queue, seat), {
      kind: "seat",
      body: seatRecord.encode(seat),
      guard: { after: 0 },
    }).pipe(
      Effect.asVoid,
      Effect.catchTag("AlreadyExists", () => Effect.void),
      Effect.catchTag("SequenceConflict", () => Effect.void),
    );

  /**
   * Gives a seat up. That is a record like the others: to have the server remove them in the same
   * step takes it longer, the more has been stored since the first of them.
   */
  const leave = (queue: string, turn: Turn): Effect.Effect<void, AppendError> =>
    Effect.asVoid(log.append(addressOf(queue, turn), {
      kind: "seat",
      body: new Uint8Array(),
      removes: true,
    }));

  /** Removes what the log has of a seat that was given up; the word of that last. */
  const remove = (
    queue: string,
    sequences: ReadonlyArray<number>,
  ): Effect.Effect<void, RemoveError> => {
    const { shard } = keeperOf(queue);
    return Effect.forEach(sequences, (sequence) => log.remove(shard, sequence), { discard: true });
  };

  /** Whether a seat is taken. */
  const isTaken = (queue: string, turn: Turn): Effect.Effect<boolean, ReadError> =>
    Effect.map(
      log.last(addressOf(queue, turn), "seat"),
      Option.exists(({ removed }) => !removed),
    );

  /** The record that says whose turn it is, for the keeper to append. */
  const admitted = (queue: string, seat: SeatRecord): Message => ({
    kind: "seat",
    of: addressOf(queue, seat),
    body: seatRecord.encode({ ...seat, state: "admitted" }),
  });

  const changeOf = (entry: Entry): Effect.Effect<ReadonlyArray<SeatChange>> => {
    const { subject, sequence, removed, body } = entry;
    if (removed) return Effect.succeed([{ subject, sequence, seat: undefined }]);
    return seatRecord.decode(body, entry).pipe(
      Effect.map((seat) => [{ subject, sequence, seat }]),
      Effect.catch(() => Effect.as(Metric.update(skippedRecords, 1), [])),
    );
  };

  /** The seats, those that were given up as well, and the sequence up to which that is known. */
  const read = Effect.fnUntraced(function* (queue: string) {
    const filter = seatFilter(keeperOf(queue), queue);
    const { sequence: through } = yield* log.tail(filter.shard);
    const entries = yield* log.readThrough(filter, { through });
    const last = new Map<string, Kept>();
    for (const change of (yield* Effect.forEach(entries, changeOf)).flat()) {
      const { subject, sequence, seat } = change;
      const sequences = [...last.get(subject)?.sequences ?? [], sequence];
      last.set(subject, { subject, seat, sequences });
    }
    return {
      seats: [...last.values()],
      // What came while it was read counts as well.
      through: Math.max(through, entries.at(-1)?.sequence ?? 0),
    };
  });

  /** The seats that are taken. */
  const taken = (queue: string): Effect.Effect<ReadonlyArray<SeatRecord>, ReadError> =>
    Effect.map(
      read(queue),
      ({ seats }) => seats.flatMap(({ seat }) => seat === undefined ? [] : [seat]),
    );

  const follow = (queue: string, after: number): Stream.Stream<SeatChange, ReadError> =>
    log.follow(seatFilter(keeperOf(queue), queue), { after }).pipe(
      Stream.mapEffect(changeOf),
      Stream.flatMap(Stream.fromIterable),
    );

  return { keeperOf, enter, leave, remove, isTaken, admitted, read, taken, follow };
};

export type Seats = ReturnType<typeof make>;
