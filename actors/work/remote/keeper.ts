/**
 * Keeping the remote workers of a tenant: who is registered, what waits, and who has what, as the log
 * has it. Whatever is said of it was stored first, under the keeper's fence, so that of two who believe
 * to be the keeper one alone is heard. Time is the server's: no worker's clock decides anything.
 */
import { randomUUID } from "node:crypto";
import * as Deferred from "effect/Deferred";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import type * as Schema from "effect/Schema";
import * as Semaphore from "effect/Semaphore";
import * as Stream from "effect/Stream";
import { PayloadTooLarge } from "../../../schema/errors.ts";
import type { ErrandOutcome, ErrandRecord } from "../../../schema/errand_record.ts";
import { executionIdentity, type Tenant, Timestamp } from "../../../schema/ids.ts";
import {
  missedHeartbeats,
  type RemoteRequest,
  type RemoteStep,
} from "../../../schema/remote_protocol.ts";
import type { RemoteRecord } from "../../../schema/remote_record.ts";
import type { ErrandChange, KeptErrand, KeptRemote } from "../../../streams/errands.ts";
import {
  type AppendError,
  type Log,
  maxBatchSize,
  type Message,
  type ReadError,
  type RemoveError,
} from "../../../streams/log.ts";
import type { Requests } from "../../../streams/requests.ts";
import type { ServerClock } from "../../../streams/server_clock.ts";
import { sizeOf } from "../../engine/emit.ts";
import { failureOfTooLarge } from "../../engine/failure_of.ts";
import type { Operations } from "../../engine/operations.ts";
import type { Post } from "../../engine/post.ts";
import { Deadlines } from "./deadlines.ts";
import { isOver } from "./is_over.ts";
import { type Errand, isClaimed, type Registered, takenBack, withoutProgress } from "./known.ts";
import { Pool } from "./pool.ts";

export interface Means {
  readonly log: Log["Service"];
  readonly post: Post;
  readonly clock: ServerClock["Service"];
  readonly requests: Requests["Service"];
}

/** What becomes of a question: an errand, nothing in time, or that who asks is registered no more. */
export type Given = RemoteStep | "nothing" | "gone";

interface Asking {
  readonly worker: Registered;
  readonly given: Deferred.Deferred<Given>;
  isLate: boolean;
}

export type KeepError = AppendError | ReadError | RemoveError;
/** Has something go on while something else is decided; if it fails, all is read and kept anew. */
export type Beside = (effect: Effect.Effect<void, KeepError>) => unknown;

/** How often at most it is recorded that a worker is alive. */
const recordAliveEveryMs = 60_000;
/** How long what has ended is remembered, so that who was not answered may say it again. */
const rememberMs = 120_000;
/** After what time it is looked whether an errand is of an execution that has gone on. */
const lookAfterMs = 60_000;
const looksAtOnce = 16;
/** How long at most what waits is handed out behind the time of who asks: he waits two seconds more. */
const handOutRestMs = 1_000;
/** What a report leaves free in a record, for who claims it next, and in what he is given. */
const claimBytes = 4_096;
/** How late something may be done before it is clear that this process stood still. */
const stoodStillMs = 1_000;

const within = (sizeBytes: number, limitBytes: number, isFixed = true) =>
  sizeBytes <= limitBytes
    ? Effect.void
    : Effect.fail(new PayloadTooLarge({ sizeBytes, limitBytes, isFixed }));

export class Keeper {
  readonly #means: Means;
  readonly #operations: Operations;
  readonly #beside: Beside;
  readonly #tenant: Tenant;
  readonly #pool = new Pool();
  readonly #deadlines = new Deadlines<Effect.Effect<void, KeepError>>();
  /** One thing is decided and stored at a time. */
  readonly #turn = Semaphore.makeUnsafe(1);
  readonly #looks = Semaphore.makeUnsafe(looksAtOnce);
  readonly #errands = new Map<string, Errand>();
  readonly #bySession = new Map<string, Registered>();
  readonly #byName = new Map<string, Registered>();
  readonly #asking = new Map<number, Asking>();
  #questions = 0;
  #wake: (() => void) | undefined;
  #isAwake = false;

  constructor(means: Means, operations: Operations, beside: Beside) {
    this.#means = means;
    this.#operations = operations;
    this.#beside = beside;
    this.#tenant = executionIdentity(operations.execution).name as Tenant;
  }

  get tenant(): Tenant {
    return this.#tenant;
  }

  /** Takes up what the log has; `keep` goes on from there until it cannot. */
  readonly begin = Effect.gen({ self: this }, function* () {
    const { clock, post } = this.#means;
    const { errands, through } = yield* post.errands.read(this.#tenant);
    const remotes = yield* post.errands.remotes(this.#tenant);
    const now = yield* clock.now;
    for (const kept of remotes) this.#takeUpRemote(kept, now);
    for (const kept of errands) this.#takeUpErrand(kept, now);
    const hear = Stream.runForEach(
      post.errands.follow(this.#tenant, through),
      (change) => Effect.map(clock.now, (now) => this.#hear(change, now)),
    );
    return Effect.raceAllFirst([
      Effect.andThen(hear, Effect.never),
      Effect.forever(this.#goOn),
    ]);
  });

  /** Decides one thing at a time, and to its end: what is stored must be known. */
  inTurn<A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> {
    return this.#turn.withPermits(1)(Effect.uninterruptible(effect));
  }

  bySession(session: string): Registered | undefined {
    return this.#bySession.get(session);
  }

  byName(name: string): Registered | undefined {
    return this.#byName.get(name);
  }

  errand(step: string): Errand | undefined {
    return this.#errands.get(step);
  }

  #takeUpRemote({ remote, at, sequences }: KeptRemote, now: number): void {
    if (remote.state === "gone") return this.#forget(sequences, now);
    this.#join({
      record: remote,
      sequences: [...sequences],
      aliveUntil: now + missedHeartbeats * remote.heartbeatMs,
      recordedAt: at,
      has: new Set(),
    });
  }

  #join(worker: Registered): void {
    const { session, worker: name } = worker.record;
    this.#bySession.set(session, worker);
    this.#byName.set(name, worker);
    this.#pool.join({ ...worker.record, id: session });
    this.#deadlines.add({
      at: () => this.#bySession.get(session) === worker ? worker.aliveUntil : undefined,
      act: Effect.suspend(() => this.end(worker, "silent")),
    });
    this.#stir();
  }

  #takeUpErrand({ step, errand: record, isWithdrawn, sequences }: KeptErrand, now: number): void {
    const order = sequences[0]!;
    const known = { step, record, isWithdrawn, order, sequences: [...sequences], leaseUntil: 0 };
    const errand: Errand = known;
    this.#errands.set(step, errand);
    if (isWithdrawn || record === undefined) return this.#forgetErrand(errand, now);
    if (record.state === "ended") return this.#ended(errand, record.outcome!, now);
    this.#lookLater(errand, now);
    if (record.state === "waiting") return this.#wait(errand, record);
    const worker = this.#bySession.get(record.session ?? "");
    worker?.has.add(errand);
    // Who has it may have been promised a whole lease a moment ago.
    this.#lease(errand, record, worker === undefined ? now : now + record.leaseMs);
  }

  /** What others have done with an errand; what was done here is known already. */
  #hear({ step, sequence, errand: record }: ErrandChange, now: number): void {
    const known = this.#errands.get(step);
    if (known === undefined) {
      const isWithdrawn = record === undefined;
      return this.#takeUpErrand({ step, errand: record, isWithdrawn, sequences: [sequence] }, now);
    }
    // That it was withdrawn is removed last, or somebody would believe that it was not.
    if (known.isWithdrawn) return void known.sequences.splice(-1, 0, sequence);
    known.sequences.push(sequence);
    if (record !== undefined) return;
    known.isWithdrawn = true;
    this.#pool.remove(step);
    this.#ownerOf(known)?.has.delete(known);
    if (known.record?.state !== "ended") this.#forgetErrand(known, now);
  }

  #ownerOf({ record }: Errand): Registered | undefined {
    return this.#bySession.get(record?.session ?? "");
  }

  #wait(errand: Errand, { capabilities, department, priority }: ErrandRecord): void {
    const { step: id, order } = errand;
    this.#pool.enter({ id, capabilities, department, priority, order });
    this.#stir();
  }

  #stir(): void {
    this.#isAwake = true;
    this.#wake?.();
  }

  /** Does one thing that is due or possible; or waits until there is something. */
  readonly #goOn: Effect.Effect<void, KeepError> = Effect.gen({ self: this }, function* () {
    const { clock } = this.#means;
    this.#isAwake = false;
    const now = yield* clock.now;
    const isDone = yield* this.inTurn(Effect.suspend(() => {
      const due = this.#deadlines.take(now);
      return due === undefined ? this.#handOut : Effect.as(due, true);
    }));
    if (isDone) return;
    const at = this.#deadlines.nextAt ?? Infinity;
    const woken = Effect.callback<void>((resume) => {
      if (this.#isAwake) return resume(Effect.void);
      this.#wake = () => resume(Effect.void);
    });
    if (at === Infinity) return yield* woken;
    yield* Effect.raceFirst(woken, Effect.sleep(Math.max(at - now, 1)));
    // Whom this process has not heard because it stood still may speak first.
    if ((yield* clock.now) > at + stoodStillMs) yield* Effect.sleep(stoodStillMs);
  });

  /** Gives the next errand to who asks for it; says whether there was one. */
  readonly #handOut: Effect.Effect<boolean, KeepError> = Effect.gen({ self: this }, function* () {
    const match = this.#pool.match();
    if (match === undefined) return false;
    const errand = this.#errands.get(match.errand.id)!;
    const asking = this.#asking.get(match.seeker)!;
    const { worker, given } = asking;
    const step = yield* this.#give(errand, errand.record!, worker);
    if (step === undefined && !asking.isLate) {
      this.#pool.seek(worker.record.session, match.seeker);
      return true;
    }
    this.#asking.delete(match.seeker);
    yield* Deferred.succeed(given, step ?? "nothing");
    return true;
  });

  /** What a worker is given of an errand; nothing, if its execution is there no more. */
  readonly #stepOf = Effect.fnUntraced(
    { self: this },
    function* (this: Keeper, errand: Errand, record: ErrandRecord) {
      const { post } = this.#means;
      const { execution, tenant, attempt, fence, progress = null, leaseMs, life } = record;
      const start = yield* post.findStart(post.addressOf(execution, tenant));
      if (Option.isNone(start) || start.value.sequence !== life) return undefined;
      const step: RemoteStep = {
        step: errand.step,
        fence,
        name: executionIdentity(execution).actor ?? "",
        execution,
        tenant,
        attempt,
        input: start.value.record.input ?? null,
        progress,
        leaseMs,
      };
      errand.handOutBytes = sizeOf({ ok: true, step: { ...step, progress: null } });
      return step;
    },
  );

  /** Records that a worker has an errand; nothing comes of it, if nobody wants that any more. */
  readonly #give = Effect.fnUntraced(
    { self: this },
    function* (this: Keeper, errand: Errand, waiting: ErrandRecord, worker: Registered) {
      const { clock, post, requests } = this.#means;
      const { why: _, ...rest } = waiting;
      const fence = waiting.fence + 1;
      const { worker: name, session } = worker.record;
      const claimed = this.#fitting({ ...rest, state: "claimed", fence, worker: name, session });
      const step = yield* this.#stepOf(errand, claimed);
      if (step === undefined) {
        yield* post.errands.withdraw(waiting);
        return undefined;
      }
      const sizeBytes = errand.handOutBytes!;
      const limitBytes = requests.maxBytes;
      if (sizeBytes > limitBytes) {
        const large = new PayloadTooLarge({ sizeBytes, limitBytes, isFixed: true });
        yield* this.finish(errand, { type: "failure", failure: failureOfTooLarge(large) });
        return undefined;
      }
      const hasRoom = sizeBytes + sizeOf(step.progress) <= limitBytes;
      const record = hasRoom ? claimed : withoutProgress(claimed);
      yield* this.#say(errand, record);
      if (errand.isWithdrawn) return undefined;
      worker.has.add(errand);
      this.#lease(errand, record, (yield* clock.now) + record.leaseMs);
      return { ...step, progress: record.progress ?? null };
    },
  );

  /** An errand as it can be stored: rather without its progress than not at all. */
  #fitting(record: ErrandRecord): ErrandRecord {
    const hasRoom = this.#sizeOf(record) <= this.#means.log.maxMessageBytes;
    return hasRoom ? record : withoutProgress(record);
  }

  #sizeOf(record: ErrandRecord): number {
    return this.#means.post.errands.said(record).body.length;
  }

  /** Stores what has become of an errand. */
  #say(errand: Errand, record: ErrandRecord): Effect.Effect<void, AppendError> {
    return Effect.map(
      this.#operations.append([this.#means.post.errands.said(record)]),
      () => {
        errand.record = record;
      },
    );
  }

  #told(worker: Registered, record: RemoteRecord): Message {
    return {
      ...this.#means.post.errands.told(record),
      onStored: (sequence) => worker.sequences.push(sequence),
    };
  }

  /** Has an errand taken back when its lease is over. */
  #lease(errand: Errand, { fence }: ErrandRecord, until: number): void {
    errand.leaseUntil = until;
    this.#deadlines.add({
      at: () => errand.record?.fence === fence && isClaimed(errand) ? errand.leaseUntil : undefined,
      act: Effect.suspend(() => this.#takeBack([errand], "silent")),
    });
    this.#stir();
  }

  /** Has errands wait again, or gives those up that were taken back too often. */
  #takeBack(
    errands: ReadonlyArray<Errand>,
    why: NonNullable<ErrandRecord["why"]>,
    along: ReadonlyArray<Message> = [],
  ): Effect.Effect<void, KeepError> {
    return Effect.gen({ self: this }, function* () {
      const { clock, post } = this.#means;
      const next = errands.filter(isClaimed)
        .map((errand) => ({ errand, record: this.#fitting(takenBack(errand.record!, why)) }));
      const messages = [...next.map(({ record }) => post.errands.said(record)), ...along];
      for (let i = 0; i < messages.length; i += maxBatchSize) {
        const lot = messages.slice(i, i + maxBatchSize);
        yield* this.#operations.append(lot);
      }
      const now = yield* clock.now;
      for (const { errand, record } of next) {
        this.#ownerOf(errand)?.has.delete(errand);
        errand.record = record;
        if (record.state === "ended") this.#ended(errand, record.outcome!, now);
        else if (!errand.isWithdrawn) this.#wait(errand, record);
      }
    });
  }

  /** Tells an execution how its errand ended; who comes after a crash tells it again. */
  #ended(errand: Errand, outcome: ErrandOutcome, now: number): void {
    const { record } = errand;
    if (record !== undefined && !errand.isWithdrawn) {
      this.#beside(Effect.asVoid(this.#means.post.report(record, outcome)));
    }
    this.#forgetErrand(errand, now);
  }

  #forgetErrand(errand: Errand, now: number): void {
    const until = now + rememberMs;
    this.#deadlines.add({
      at: () => until,
      act: Effect.sync(() => {
        this.#errands.delete(errand.step);
        this.#remove(errand.sequences);
      }),
    });
    this.#stir();
  }

  #forget(sequences: ReadonlyArray<number>, now: number): void {
    const until = now + rememberMs;
    this.#deadlines.add({ at: () => until, act: Effect.sync(() => this.#remove(sequences)) });
    this.#stir();
  }

  #remove(sequences: ReadonlyArray<number>): void {
    this.#beside(this.#means.post.errands.remove(this.#tenant, sequences));
  }

  /** Finds an errand out that was entered late, by who stood still until its execution had gone on. */
  #lookLater(errand: Errand, now: number): void {
    const until = now + lookAfterMs;
    const { log, post } = this.#means;
    const look = Effect.gen({ self: this }, function* () {
      const { record } = errand;
      if (record !== undefined && (yield* isOver({ log, post }, record))) {
        yield* post.errands.withdraw(record);
      }
    });
    this.#deadlines.add({
      at: () => errand.isWithdrawn || errand.record?.state === "ended" ? undefined : until,
      act: Effect.sync(() => this.#beside(this.#looks.withPermits(1)(look))),
    });
  }

  /** Registers a worker, in the place of the one of that name. */
  register(
    { identity, capabilities, department, heartbeatMs, session }: RemoteRequest<"register">,
  ): Effect.Effect<Registered, KeepError> {
    return Effect.gen({ self: this }, function* () {
      const now = yield* this.#means.clock.now;
      const before = this.#byName.get(identity);
      const isSame = before !== undefined && before.record.session === session;
      const record: RemoteRecord = {
        kind: "remote",
        state: "registered",
        tenant: this.#tenant,
        worker: identity,
        session: isSame ? session! : randomUUID(),
        capabilities,
        ...(department === undefined ? {} : { department }),
        heartbeatMs,
        registeredAt: Timestamp.make(Math.round(now)),
      };
      const worker: Registered = isSame ? before : {
        record,
        sequences: [],
        aliveUntil: 0,
        recordedAt: now,
        has: new Set(),
      };
      const registered = this.#told(worker, record);
      if (before !== undefined && !isSame) yield* this.end(before, "replaced", [registered]);
      else yield* this.#operations.append([registered]);
      worker.record = record;
      worker.aliveUntil = now + missedHeartbeats * heartbeatMs;
      this.#join(worker);
      return worker;
    });
  }

  /** Ends a registration, and gives what the worker had to others, in one step. */
  end(
    worker: Registered,
    why: NonNullable<RemoteRecord["why"]>,
    along: ReadonlyArray<Message> = [],
  ): Effect.Effect<void, KeepError> {
    return Effect.gen({ self: this }, function* () {
      const { session, worker: name } = worker.record;
      if (this.#bySession.get(session) !== worker) return;
      const gone = this.#told(worker, { ...worker.record, state: "gone", why });
      const lost = why === "deregistered" ? "released" : why === "replaced" ? why : "gone";
      yield* this.#takeBack([...worker.has], lost, [gone, ...along]);
      this.#bySession.delete(session);
      this.#byName.delete(name);
      this.#pool.leave(session);
      for (const [seeker, asking] of this.#asking) {
        if (asking.worker !== worker) continue;
        this.#asking.delete(seeker);
        yield* Deferred.succeed(asking.given, "gone");
      }
      this.#forget(worker.sequences, yield* this.#means.clock.now);
    });
  }

  /** A worker has said something. */
  heard(worker: Registered, now: number): void {
    worker.aliveUntil = Math.max(
      worker.aliveUntil,
      now + missedHeartbeats * worker.record.heartbeatMs,
    );
  }

  /** Records that a worker is alive, if that was not recorded for a while. */
  noteAlive(worker: Registered, now: number): Effect.Effect<void, KeepError> {
    if (now < worker.recordedAt + recordAliveEveryMs) return Effect.void;
    return Effect.gen({ self: this }, function* () {
      worker.recordedAt = now;
      const [, earlier] = worker.sequences;
      const record: RemoteRecord = { ...worker.record, state: "alive" };
      yield* this.#operations.append([this.#told(worker, record)]);
      worker.record = record;
      if (earlier === undefined) return;
      worker.sequences.splice(1, 1);
      this.#remove([earlier]);
    });
  }

  /** Puts the end of a lease off. */
  extend(errand: Errand, now: number): void {
    if (errand.record !== undefined) errand.leaseUntil = now + errand.record.leaseMs;
  }

  /** Stores how far it has come, if that can be handed out together with its input. */
  progress(errand: Errand, progress: Schema.Json): Effect.Effect<void, KeepError> {
    return Effect.gen({ self: this }, function* () {
      const { log, requests } = this.#means;
      const record = { ...errand.record!, progress };
      if (errand.handOutBytes === undefined) yield* this.#stepOf(errand, record);
      yield* within(this.#sizeOf(record), log.maxMessageBytes - claimBytes);
      const handOutBytes = (errand.handOutBytes ?? 0) + sizeOf(progress);
      yield* within(handOutBytes, requests.maxBytes - claimBytes);
      yield* this.#say(errand, record);
    });
  }

  finish(errand: Errand, outcome: ErrandOutcome): Effect.Effect<void, KeepError> {
    return Effect.gen({ self: this }, function* () {
      const owner = this.#ownerOf(errand);
      const record = { ...withoutProgress(errand.record!), state: "ended", outcome } as const;
      // What the execution is told of it has less around it, but is no message of its own.
      yield* within(this.#sizeOf(record), this.#means.log.maxPayloadBytes, false);
      yield* this.#say(errand, record);
      owner?.has.delete(errand);
      this.#ended(errand, outcome, yield* this.#means.clock.now);
    });
  }

  release(errand: Errand): Effect.Effect<void, KeepError> {
    return this.#takeBack([errand], "released");
  }

  /**
   * Asks for something to do, for so long. Then what waits is handed out to who asked before and to
   * this one, since they may have been kept waiting by others: nothing means that there is none.
   */
  ask(worker: Registered, waitMs: number): Effect.Effect<Given, KeepError> {
    return Effect.suspend(() => {
      const { session } = worker.record;
      if (this.#bySession.get(session) !== worker) return Effect.succeed<Given>("gone");
      const seeker = ++this.#questions;
      const given = Deferred.makeUnsafe<Given>();
      const asking: Asking = { worker, given, isLate: false };
      this.#asking.set(seeker, asking);
      this.#pool.seek(session, seeker);
      this.#stir();
      const stop = () => {
        asking.isLate = true;
        return this.#pool.unseek(seeker) && this.#asking.delete(seeker);
      };
      const isGiven = Effect.sync(() => Deferred.isDoneUnsafe(given));
      const handOutRest = Effect.repeat(this.inTurn(this.#handOut), {
        while: (isDone) => Effect.map(isGiven, (isGiven) => isDone && !isGiven),
      });
      return Deferred.await(given).pipe(
        Effect.timeoutOrElse({
          duration: waitMs,
          orElse: () =>
            Effect.andThen(
              Effect.timeoutOption(handOutRest, handOutRestMs),
              Effect.suspend(() =>
                stop() ? Effect.succeed<Given>("nothing") : Deferred.await(given)
              ),
            ),
        }),
        Effect.onInterrupt(() => Effect.sync(stop)),
      );
    });
  }
}
