/**
 * Keeping a queue: the code of one execution per queue, which knows who waits from the seats in the
 * log, and lets in who is next. It keeps nothing but what the log has, so that whoever takes over
 * knows the same; what it appends is fenced, so that no two keep one queue.
 */
import * as Effect from "effect/Effect";
import * as FiberSet from "effect/FiberSet";
import * as Option from "effect/Option";
import * as Schema from "effect/Schema";
import * as Stream from "effect/Stream";
import { InvalidInput } from "../../../schema/errors.ts";
import { type ActorName, executionIdentity } from "../../../schema/ids.ts";
import { changed, defaultLimits, QueueLimits, QueueMessage } from "../../../schema/queue_limits.ts";
import type { SeatRecord } from "../../../schema/seat_record.ts";
import { readMoment } from "../../../streams/execution_records.ts";
import type { JournalError } from "../../../streams/journal.ts";
import {
  type AppendError,
  type Log,
  maxBatchSize,
  type ReadError,
  type RemoveError,
} from "../../../streams/log.ts";
import type { EngineControl } from "../../../streams/engine_control.ts";
import type { ServerClock } from "../../../streams/server_clock.ts";
import { queueActor, queueTenant, type SeatChange, seatId } from "../../../streams/seats.ts";
import { turnOf } from "../../core/decide.ts";
import { takeUpToReplay } from "../../core/take_up.ts";
import { readAll, unread } from "../../engine/history.ts";
import { makeHolds } from "../../engine/holds.ts";
import type { ActorCode, Operations } from "../../engine/operations.ts";
import type { Post } from "../../engine/post.ts";
import { keepOn, keptAnew } from "../keeping.ts";
import { Admission, type Seat } from "./admission.ts";

/** The signal that gives a queue other limits. */
export const limitsSignal = "weir.queue";

const decodeChange = Schema.decodeUnknownOption(QueueMessage);
const decodeLimits = Schema.decodeUnknownOption(QueueLimits);

export const seatOf = (record: SeatRecord): Seat => ({
  id: seatId(record),
  tenant: record.tenant,
  priority: record.priority,
  since: record.since,
  ...(record.key === undefined ? {} : { key: record.key }),
});

/** The limits that a queue has, of what its execution was last given. */
export const limitsOf = (input: Schema.Json | undefined): QueueLimits =>
  Option.getOrElse(decodeLimits(input), () => defaultLimits);

interface Means {
  readonly log: Log["Service"];
  readonly post: Post;
  readonly clock: ServerClock["Service"];
  readonly control: EngineControl["Service"];
}

/** Up to so many are let in by a record each, which costs less than a step for all of them. */
const fewAtOnce = 4;
/** How often it is looked whether those who run have ended without giving their seats up. */
const lookEveryMs = 60_000;

class Keeper {
  readonly #means: Means;
  readonly #operations: Operations;
  readonly #queue: string;
  readonly #admission: Admission;
  readonly #holds: ReturnType<typeof makeHolds>;
  /** The seats that are taken, by subject and by id, as the log last had them. */
  readonly #bySubject = new Map<string, SeatRecord>();
  readonly #byId = new Map<string, SeatRecord>();
  /** What the log has of each seat. */
  readonly #sequences = new Map<string, ReadonlyArray<number>>();
  /** Those whose turn it really is. */
  readonly #seen = new Set<string>();
  #lookAt = 0;
  #wake: (() => void) | undefined;
  #isAwake = false;

  constructor(means: Means, operations: Operations, limits: QueueLimits) {
    this.#means = means;
    this.#operations = operations;
    this.#queue = executionIdentity(operations.execution).name;
    this.#admission = new Admission(limits);
    this.#holds = makeHolds(means.control);
  }

  readonly run = Effect.gen({ self: this }, function* () {
    const { clock, post, control } = this.#means;
    // Rates fill from now on, and not from the beginning of time.
    this.#admission.elapse(yield* clock.now);
    yield* control.listen(() => this.#sortAnew());
    const { seats, through } = yield* post.seats.read(this.#queue);
    const beside = yield* FiberSet.make<void, LookError>();
    for (const { subject, seat, sequences } of seats) {
      this.#sequences.set(subject, sequences);
      if (seat === undefined) yield* this.#remove(subject, beside);
      else {
        this.#take(subject, seat);
        // Who was let in by whoever kept it before may not have heard of it.
        if (seat.state === "admitted") yield* FiberSet.run(beside, Effect.asVoid(post.admit(seat)));
      }
    }
    return yield* Effect.raceAllFirst([
      Stream.runForEach(
        post.seats.follow(this.#queue, through),
        (change) => this.#hear(change, beside),
      ),
      Effect.forever(this.#admitAll(beside)),
      Effect.andThen(FiberSet.join(beside), Effect.never),
    ]);
  }).pipe(Effect.scoped);

  /** What has become of a seat. */
  #hear(
    { subject, sequence, seat }: SeatChange,
    beside: Beside,
  ): Effect.Effect<unknown, AppendError> {
    const before = this.#bySubject.get(subject);
    this.#sequences.set(subject, [...this.#sequences.get(subject) ?? [], sequence]);
    if (before === undefined && seat?.state === "admitted") {
      // It was given up before it was let in.
      return this.#means.post.seats.leave(this.#queue, seat);
    }
    if (seat === undefined) this.#forget(subject);
    else this.#take(subject, seat);
    this.#isAwake = true;
    this.#wake?.();
    return seat === undefined ? this.#remove(subject, beside) : Effect.void;
  }

  /** Removes what the log has of a seat that was given up. */
  #remove(subject: string, beside: Beside): Effect.Effect<unknown> {
    const sequences = this.#sequences.get(subject) ?? [];
    this.#sequences.delete(subject);
    return FiberSet.run(beside, this.#means.post.seats.remove(this.#queue, sequences));
  }

  #take(subject: string, seat: SeatRecord): void {
    this.#bySubject.set(subject, seat);
    this.#byId.set(seatId(seat), seat);
    if (seat.state === "waiting") this.#line(seat);
    else this.#admission.resume(seatOf(seat));
  }

  /**
   * Whom a pause keeps from beginning would keep others out of the seat that he was given. Who was let
   * in already has that seat, although the log last told of him that he waits.
   */
  #line(seat: SeatRecord): void {
    const isHeld = this.#holds.known(seat, seat);
    if (isHeld === false) this.#admission.enter(seatOf(seat));
    else if (isHeld === true) this.#admission.withdraw(seatId(seat));
  }

  /** Somebody was paused, or goes on. */
  #sortAnew(): void {
    for (const seat of this.#bySubject.values()) if (seat.state === "waiting") this.#line(seat);
    this.#isAwake = true;
    this.#wake?.();
  }

  #forget(subject: string): void {
    const seat = this.#bySubject.get(subject);
    if (seat === undefined) return;
    const id = seatId(seat);
    this.#bySubject.delete(subject);
    this.#byId.delete(id);
    this.#seen.delete(id);
    this.#admission.leave(id);
  }

  /** Lets in all who may begin now; or waits until somebody may, or it is time to look around. */
  readonly #admitAll = (beside: Beside) =>
    Effect.gen({ self: this }, function* () {
      const { clock } = this.#means;
      this.#isAwake = false;
      const now = yield* clock.now;
      if (this.#lookAt <= now) {
        this.#lookAt = now + lookEveryMs;
        yield* FiberSet.run(beside, this.#lookAround);
      }
      this.#admission.elapse(now);
      const admitted: Array<SeatRecord> = [];
      while (admitted.length < maxBatchSize) {
        const next = this.#admission.admit(now);
        if (next === undefined) break;
        admitted.push(this.#byId.get(next.id)!);
      }
      if (admitted.length > 0) return yield* this.#letIn(admitted, beside);
      const at = Math.min(
        this.#admission.nextAt(now) ?? Infinity,
        this.#admission.running > 0 ? this.#lookAt : Infinity,
      );
      const woken = Effect.callback<void>((resume) => {
        if (this.#isAwake) return resume(Effect.void);
        this.#wake = () => resume(Effect.void);
      });
      yield* at === Infinity ? woken : Effect.raceFirst(woken, Effect.sleep(Math.max(at - now, 1)));
    });

  /** Nobody is told before it is stored; what is on its way to be stored is awaited in any case. */
  #letIn(
    admitted: ReadonlyArray<SeatRecord>,
    beside: Beside,
  ): Effect.Effect<void, AppendError> {
    const { post } = this.#means;
    const lots = admitted.length <= fewAtOnce ? admitted.map((seat) => [seat]) : [admitted];
    return Effect.forEach(lots, (seats) =>
      Effect.andThen(
        Effect.uninterruptible(
          this.#operations.append(seats.map((seat) => post.seats.admitted(this.#queue, seat))),
        ),
        Effect.forEach(
          seats,
          (seat) => FiberSet.run(beside, Effect.asVoid(post.admit(seat))),
          { discard: true },
        ),
      ), { discard: true });
  }

  /** Gives up the seats that nobody will: of whom is gone, or has gone on without having heard. */
  readonly #lookAround = Effect.suspend(() =>
    Effect.forEach(
      [...this.#bySubject].filter(([, { state }]) => state === "admitted"),
      ([subject, seat]) => this.#check(subject, seat),
      { concurrency: 16, discard: true },
    )
  );

  #check(subject: string, seat: SeatRecord): Effect.Effect<void, LookError> {
    return Effect.gen({ self: this }, function* () {
      const { post } = this.#means;
      if (!(yield* post.seats.isTaken(this.#queue, seat))) return this.#forget(subject);
      if (yield* this.#isOver(seat)) return yield* post.seats.leave(this.#queue, seat);
      this.#seen.add(seatId(seat));
    });
  }

  readonly #isOver = Effect.fnUntraced(
    { self: this },
    function* (this: Keeper, seat: SeatRecord) {
      const { log, post } = this.#means;
      const address = post.addressOf(seat.execution, seat.tenant);
      const last = yield* log.lastSequences(address, ["mail", "log", "done"]);
      if (!last.has("mail")) return true;
      const isEnded = (last.get("done") ?? 0) > (last.get("log") ?? 0);
      if (!isEnded && this.#seen.has(seatId(seat))) return false;
      const entries = yield* readMoment(log, address);
      const state = takeUpToReplay((yield* readAll(unread, entries)).state);
      return state.life !== seat.life || state.done !== undefined ||
        turnOf(state)?.turn !== seat.turn;
    },
  );
}

type LookError = AppendError | ReadError | RemoveError | JournalError;
/** What goes on while it is decided who is next; if any of it fails, the queue is kept anew. */
type Beside = FiberSet.FiberSet<void, LookError>;

/** The code of the executions that keep queues. */
export const queueCode = (means: Means): ActorCode => ({
  name: queueActor as ActorName,
  retry: keptAnew,
  run: (operations, input) =>
    Effect.gen(function* () {
      if (operations.tenant !== queueTenant) {
        return yield* new InvalidInput({
          what: "tenant of a queue's keeper",
          value: operations.tenant,
          rule: `queues are kept for ${queueTenant} alone`,
        });
      }
      const limits = limitsOf(input);
      yield* operations.setCell("limits", limits);
      const keeping = Effect.suspend(() => new Keeper(means, operations, limits).run);
      operations.awaitWhile("limits", () => false);
      const received = yield* Effect.raceFirst(
        operations.wait(limitsSignal, { name: "limits" }),
        keepOn(operations, keeping),
      );
      const change = Option.getOrElse(decodeChange(received?.payload), () => ({}));
      return yield* operations.continueAs(changed(limits, change) as Schema.Json, {
        taken: ["limits"],
        cleared: [],
      });
    }),
});
