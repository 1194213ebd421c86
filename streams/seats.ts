/**
 * The seats of a queue, in the log: each is the last record under its subject, and gone when its
 * execution has given it up. Who admits does so under the fence of the execution that keeps the
 * queue; nobody else does.
 */
import * as Effect from "effect/Effect";
import * as Metric from "effect/Metric";
import * as Option from "effect/Option";
import * as Stream from "effect/Stream";
import { ExecutionId, Tenant } from "../schema/ids.ts";
import { SeatRecord, seatRecord } from "../schema/seat_record.ts";
import type { AppendError, Entry, Log, Message, ReadError } from "./log.ts";
import { skippedRecords } from "./metrics.ts";
import { type Address, executionAddress, seatAddress, seatFilter } from "./subjects.ts";

/**
 * How long it is told that a seat was given up: a keeper who hears nothing for longer finds it out by
 * looking, and so does the owner who takes a seat that late for a turn which is over.
 */
const goneForSeconds = 60;

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
  readonly seat: SeatRecord | undefined;
}

/** A seat that is taken. */
export interface Taken extends SeatChange {
  readonly seat: SeatRecord;
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

  /** Gives a seat up; nothing is left of it. */
  const leave = (queue: string, turn: Turn): Effect.Effect<void, AppendError> =>
    Effect.asVoid(log.append(addressOf(queue, turn), {
      kind: "seat",
      body: new Uint8Array(),
      replaces: true,
      removes: true,
      ttlSeconds: goneForSeconds,
    }));

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
    replaces: true,
  });

  const changeOf = (entry: Entry): Effect.Effect<ReadonlyArray<SeatChange>> => {
    const { subject, removed, body } = entry;
    if (removed) return Effect.succeed([{ subject, seat: undefined }]);
    return seatRecord.decode(body, entry).pipe(
      Effect.map((seat) => [{ subject, seat }]),
      Effect.catch(() => Effect.as(Metric.update(skippedRecords, 1), [])),
    );
  };

  /** The seats that are taken, and the sequence up to which that is known. */
  const read = Effect.fnUntraced(function* (queue: string) {
    const filter = seatFilter(keeperOf(queue), queue);
    const { sequence: through } = yield* log.tail(filter.shard);
    const entries = yield* log.readThrough(filter, { through });
    const last = new Map<string, Taken>();
    for (const { subject, seat } of (yield* Effect.forEach(entries, changeOf)).flat()) {
      // What came while it was read counts as well.
      if (seat === undefined) last.delete(subject);
      else last.set(subject, { subject, seat });
    }
    return {
      seats: [...last.values()],
      through: Math.max(through, entries.at(-1)?.sequence ?? 0),
    };
  });

  const follow = (queue: string, after: number): Stream.Stream<SeatChange, ReadError> =>
    log.follow(seatFilter(keeperOf(queue), queue), { after }).pipe(
      Stream.mapEffect(changeOf),
      Stream.flatMap(Stream.fromIterable),
    );

  return { keeperOf, enter, leave, isTaken, admitted, read, follow };
};

export type Seats = ReturnType<typeof make>;
