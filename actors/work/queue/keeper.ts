/**
 * Keeping a queue: the code of one execution per queue, which knows who waits from the seats in the
 * log, and lets in who is next. It keeps nothing but what the log has, so that whoever takes over
 * knows the same; what it appends is fenced, so that no two keep one queue.
 */
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Schedule from "effect/Schedule";
import * as Schema from "effect/Schema";
import * as Stream from "effect/Stream";
import { type ActorName, executionIdentity } from "../../../schema/ids.ts";
import { defaultLimits, QueueLimits } from "../../../schema/queue_limits.ts";
import type { SeatRecord } from "../../../schema/seat_record.ts";
import { type AppendError, type Log, maxBatchSize } from "../../../streams/log.ts";
import type { ServerClock } from "../../../streams/server_clock.ts";
import { queueActor, type SeatChange, seatId } from "../../../streams/seats.ts";
import type { ActorCode, Operations } from "../../engine/operations.ts";
import type { Post } from "../../engine/post.ts";
import { Admission, type Seat } from "./admission.ts";

/** The signal that gives a queue other limits. */
export const limitsSignal = "weir.queue";

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
}

class Keeper {
  readonly #means: Means;
  readonly #operations: Operations;
  readonly #queue: string;
  readonly #admission: Admission;
  /** The seats that are taken, by subject and by id, as the log last had them. */
  readonly #bySubject = new Map<string, SeatRecord>();
  readonly #byId = new Map<string, SeatRecord>();
  #wake: (() => void) | undefined;
  #isAwake = false;

  constructor(means: Means, operations: Operations, limits: QueueLimits) {
    this.#means = means;
    this.#operations = operations;
    this.#queue = executionIdentity(operations.execution).name;
    this.#admission = new Admission(limits);
  }

  readonly run = Effect.gen({ self: this }, function* () {
    const { log, post } = this.#means;
    const { sequence } = yield* log.tail(post.seats.keeperOf(this.#queue).shard);
    const taken = yield* post.seats.read(this.#queue);
    for (const change of taken) this.#take(change);
    yield* Effect.forEach(taken, this.#welcomeAgain, { concurrency: 64, discard: true });
    const behind = Math.max(sequence, ...taken.map((change) => change.sequence));
    const follow = Stream.runForEach(post.seats.follow(this.#queue, behind), this.#hear);
    return yield* Effect.raceFirst(follow, Effect.forever(this.#admitAll));
  });

  /** What has become of a seat. */
  readonly #hear = (change: SeatChange): Effect.Effect<void, AppendError> => {
    const { subject, seat } = change;
    const before = this.#bySubject.get(subject);
    if (before === undefined && seat?.state === "admitted") {
      // It was given up before it was let in.
      return this.#means.post.seats.leave(this.#queue, seat);
    }
    if (seat === undefined) {
      this.#bySubject.delete(subject);
      if (before !== undefined) {
        this.#byId.delete(seatId(before));
        this.#admission.leave(seatId(before));
      }
    } else this.#take(change);
    this.#isAwake = true;
    this.#wake?.();
    return Effect.void;
  };

  #take({ subject, seat }: SeatChange): void {
    if (seat === undefined) return;
    this.#bySubject.set(subject, seat);
    this.#byId.set(seatId(seat), seat);
    if (seat.state === "waiting") this.#admission.enter(seatOf(seat));
    else this.#admission.resume(seatOf(seat));
  }

  /** Who was let in by whoever kept it before may not have heard of it, or has ended since. */
  readonly #welcomeAgain = ({ seat }: SeatChange) =>
    Effect.gen({ self: this }, function* () {
      if (seat?.state !== "admitted") return;
      const { log, post } = this.#means;
      const address = post.addressOf(seat.execution, seat.tenant);
      yield* post.admit(seat);
      const found = yield* log.lastSequences(address, ["mail", "done"]);
      const isGone = !found.has("mail") || (found.get("done") ?? 0) > seat.life;
      if (isGone) yield* post.seats.leave(this.#queue, seat);
    });

  readonly #admitAll = Effect.gen({ self: this }, function* () {
    const { clock, post } = this.#means;
    this.#isAwake = false;
    const now = yield* clock.now;
    this.#admission.elapse(now);
    const admitted: Array<SeatRecord> = [];
    while (admitted.length < maxBatchSize) {
      const next = this.#admission.admit(now);
      if (next === undefined) break;
      admitted.push(this.#byId.get(next.id)!);
    }
    if (admitted.length > 0) {
      yield* this.#operations.append(
        admitted.map((seat) => post.seats.admitted(this.#queue, seat)),
      );
      yield* Effect.forEach(admitted, post.admit, { concurrency: 64, discard: true });
      return;
    }
    const at = this.#admission.nextAt(now);
    const woken = Effect.callback<void>((resume) => {
      if (this.#isAwake) return resume(Effect.void);
      this.#wake = () => resume(Effect.void);
    });
    yield* at === undefined ? woken : Effect.raceFirst(woken, Effect.sleep(Math.max(at - now, 1)));
  });
}

/** The code of the executions that keep queues. */
export const queueCode = (means: Means): ActorCode => ({
  name: queueActor as ActorName,
  run: (operations, input) =>
    Effect.gen(function* () {
      const limits = limitsOf(input);
      yield* operations.setCell("limits", limits);
      const keeper = new Keeper(means, operations, limits);
      const keeping = keeper.run.pipe(
        Effect.retry({
          while: (error) => error.retryable,
          schedule: Schedule.spaced("1 second"),
        }),
      );
      const changes = operations.wait(limitsSignal, { name: "limits" }).pipe(
        Effect.flatMap((received) =>
          operations.continueAs(received?.payload ?? null, { taken: ["limits"], cleared: [] })
        ),
      );
      operations.awaitWhile("limits", () => false);
      // What is not an operation would go on when this execution is somebody else's.
      const givenUp = Effect.callback<void>((resume) => {
        const end = () => resume(Effect.void);
        if (operations.cancelled.aborted) return end();
        operations.cancelled.addEventListener("abort", end, { once: true });
        return Effect.sync(() => operations.cancelled.removeEventListener("abort", end));
      });
      return yield* Effect.raceFirst(
        changes,
        Effect.andThen(Effect.raceFirst(keeping, givenUp), Effect.never),
      );
    }),
});
