/**
 * The outputs of one execution in the hands of its owner: frames on their way into the log, in the
 * order in which they were given, under the owner's fence and before whatever is recorded next. What
 * the actor's own code has given before, it gives again in a replay, and is not stored again. Of each
 * output only the newest frames are kept.
 */
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Option from "effect/Option";
import * as Queue from "effect/Queue";
import * as Stream from "effect/Stream";
import { type FrameRecord, frameRecord } from "../../schema/frame_record.ts";
import type { Fence } from "../../streams/fence.ts";
import type { AppendError, Entry, Log, Message } from "../../streams/log.ts";
import { frameOf } from "../../streams/output.ts";
import { type Address, keyedFilter } from "../../streams/subjects.ts";
import type { ExecutionState } from "../core/state.ts";
import { type Emitted, sizeOf } from "./emit.ts";

/** How many frames wait for the log at most; whoever gives more waits for room. */
const maxWaiting = 256;
/** What an output keeps. */
const maxFrames = 10_000;
const maxBytes = 16 * 1024 * 1024;
/** How many frames more there may be before the oldest are removed, and how many at once. */
const slack = 64;

export interface OutputsOptions {
  readonly log: Log["Service"];
  readonly address: Address;
  readonly fence: Fence;
  readonly state: () => ExecutionState;
  readonly fork: (effect: Effect.Effect<void>) => void;
  /** A frame could not be stored; none behind it will be. */
  readonly onFailure: (error: AppendError) => void;
}

/** A frame, and the run of the code that gave it. */
interface Given extends Emitted {
  readonly attempt: number;
  readonly replays: number;
  readonly failures: number;
}

/** Everything before it is stored. */
interface Mark {
  readonly reached: Deferred.Deferred<void>;
}

/** How far an output has come. */
interface Progress {
  readonly number: number;
  readonly total: number;
  readonly replays: number;
  readonly failures: number;
  readonly own: number;
  /** Of the last frame that was removed. */
  readonly removed: { readonly number: number; readonly total: number };
}

const nothing: Progress = {
  number: 0,
  total: 0,
  replays: 0,
  failures: 0,
  own: 0,
  removed: { number: 0, total: 0 },
};

const isMark = (item: Given | Mark): item is Mark => "reached" in item;

export class Outputs {
  readonly #options: OutputsOptions;
  readonly #progress = new Map<string, Progress>();
  readonly #failed = Deferred.makeUnsafe<never, AppendError>();
  /** None as long as nothing was given. */
  #queue: Queue.Queue<Given | Mark> | undefined;

  constructor(options: OutputsOptions) {
    this.#options = options;
  }

  /**
   * Takes a frame as soon as there is room, to be stored behind those that were given before; says
   * whether it does.
   */
  emit(emitted: Emitted): Effect.Effect<boolean> {
    return Effect.suspend(() => {
      const { attempt, replays, failures } = this.#options.state();
      const queue = this.#queue ??= this.#open();
      return Queue.offer(queue, { ...emitted, attempt, replays, failures });
    });
  }

  /** Returns when all that was given before is stored. */
  get stored(): Effect.Effect<void, AppendError> {
    const queue = this.#queue;
    if (queue === undefined) return Effect.void;
    return Effect.suspend(() => {
      const reached = Deferred.makeUnsafe<void>();
      return Effect.raceFirst(
        Effect.andThen(Queue.offer(queue, { reached }), Deferred.await(reached)),
        Deferred.await(this.#failed),
      );
    });
  }

  #open(): Queue.Queue<Given | Mark> {
    const queue = Effect.runSync(Queue.bounded<Given | Mark>(maxWaiting));
    const { fork, onFailure } = this.#options;
    fork(
      Queue.takeBetween(queue, 1, maxWaiting).pipe(
        Effect.flatMap((items) => this.#store(items)),
        Effect.forever,
        Effect.onError((cause) => {
          Deferred.doneUnsafe(this.#failed, Exit.failCause(cause));
          return Queue.shutdown(queue);
        }),
        Effect.catch((error) => Effect.sync(() => onFailure(error))),
      ),
    );
    return queue;
  }

  /** Stores what has come meanwhile at once. */
  #store(items: ReadonlyArray<Given | Mark>): Effect.Effect<void, AppendError> {
    return Effect.gen({ self: this }, function* () {
      const { log, address } = this.#options;
      const messages: Array<Message> = [];
      const outputs = new Set<string>();
      for (const item of items) {
        if (isMark(item)) continue;
        const { output } = item;
        if (!this.#progress.has(output)) this.#progress.set(output, yield* this.#recall(output));
        const body = this.#next(item);
        if (body === undefined) continue;
        outputs.add(output);
        messages.push({ kind: "out", key: output, body, guard: this.#options.fence });
      }
      if (messages.length > 0) yield* log.appendBatch(address, messages);
      for (const item of items) {
        if (isMark(item)) Deferred.doneUnsafe(item.reached, Exit.void);
      }
      for (const output of outputs) yield* this.#removeOldest(output);
    });
  }

  /** The next record of an output, unless a run before this one has stored it. */
  #next(given: Given): Uint8Array | undefined {
    const { output, frame, index, step, attempt, replays, failures } = given;
    const known = this.#progress.get(output)!;
    const isSameRun = known.replays === replays && known.failures === failures;
    const before = isSameRun ? known.own : 0;
    if (step === undefined && index < before) return undefined;
    const { life, epoch } = this.#options.state();
    const progress: Progress = {
      number: known.number + 1,
      total: known.total + sizeOf(frame),
      replays,
      failures,
      own: step === undefined ? index + 1 : before,
      removed: known.removed,
    };
    this.#progress.set(output, progress);
    const { removed: _, ...place } = progress;
    return frameRecord.encode({
      kind: "frame",
      life,
      attempt,
      epoch,
      ...place,
      ...(step === undefined ? {} : { step: step.key, try: step.try }),
      index,
      frame,
    });
  }

  /** How far the owners before this one have come with an output. */
  #recall(output: string): Effect.Effect<Progress, AppendError> {
    const { log, address, state } = this.#options;
    const { epoch, life } = state();
    if (epoch <= 1) return Effect.succeed(nothing);
    /** The first frame among these that an owner in this life has stored. */
    const frameAmong = Effect.fnUntraced(function* (entries: Iterable<Entry>) {
      for (const entry of entries) {
        const record = yield* frameOf(entry);
        if (record?.life === life) return record;
      }
    });
    return Effect.gen(function* () {
      const found = yield* log.last(address, "out", output);
      if (Option.isNone(found)) return nothing;
      const { sequence: through } = found.value;
      const filter = keyedFilter(address, "out", output);
      // Others may publish there, too.
      const last = (yield* frameAmong([found.value])) ??
        (yield* frameAmong([...yield* log.readThrough(filter, { through })].reverse()));
      if (last === undefined) return nothing;
      const first = (yield* frameAmong(Option.toArray(yield* log.first(address, "out", output)))) ??
        last;
      const { number, total, replays, failures, own } = last;
      return {
        number,
        total,
        replays,
        failures,
        own,
        removed: { number: first.number - 1, total: first.total - sizeOf(first.frame) },
      };
    }).pipe(
      // What cannot be read is not continued: its frames are given again.
      Effect.catchTags({
        CorruptRecord: () => Effect.succeed(nothing),
        UnsupportedRecordVersion: () => Effect.succeed(nothing),
      }),
    );
  }

  /** A frame that stays too long does no harm, so what fails is tried again with the next. */
  #removeOldest(output: string): Effect.Effect<void> {
    const known = this.#progress.get(output)!;
    const { number, total, removed } = known;
    const isDue = number - removed.number > maxFrames + slack ||
      total - removed.total > maxBytes * 1.125;
    if (!isDue) return Effect.void;
    const { log, address, state } = this.#options;
    const { life } = state();
    const isSurplus = (record: FrameRecord) =>
      record.life === life &&
      (record.number <= number - maxFrames || record.total <= total - maxBytes);
    return log.read(keyedFilter(address, "out", output)).pipe(
      Stream.mapEffect((entry) => Effect.map(frameOf(entry), (record) => ({ entry, record }))),
      Stream.takeWhile(({ record }) => record === undefined || isSurplus(record)),
      Stream.mapEffect(
        ({ entry, record }) => Effect.as(log.remove(entry.shard, entry.sequence), record),
        { concurrency: slack },
      ),
      Stream.runForEach((record) =>
        Effect.sync(() => {
          if (record === undefined) return;
          const { number, total } = record;
          this.#progress.set(output, {
            ...this.#progress.get(output)!,
            removed: { number, total },
          });
        })
      ),
      Effect.ignore,
    );
  }
}
