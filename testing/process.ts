/**
 * A process that can die: what a worker sees of the log, the mail, the other workers and the clock.
 * After its end nothing that it asks for returns, so it writes nothing, renews nothing and answers
 * nobody, as after kill -9; what it had said before stands. Code that is no Effect runs on unheard.
 */
import * as Clock from "effect/Clock";
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Exit from "effect/Exit";
import * as Option from "effect/Option";
import * as Scope from "effect/Scope";
import * as Stream from "effect/Stream";
import { journalRecord } from "../schema/journal_record.ts";
import { HandOver } from "../streams/hand_over.ts";
import { Log, type Message } from "../streams/log.ts";
import { type Delivery, Mailboxes } from "../streams/mailbox.ts";
import { Requests } from "../streams/requests.ts";

/** Whether what was done shows in the log when the process dies. */
export type Moment = "before" | "after";

/** Where it dies: at a step by name, or at the nth record that it writes about executions, from 1. */
export type Place = string | { readonly append: number };

interface CrashPoint {
  readonly place: Place;
  readonly moment: Moment;
  readonly reached: () => void;
}

type Mortal = HandOver | Log | Mailboxes | Requests;

/** The key under which a message records something, if it does. */
const keyOf = ({ kind, body }: Message): string | undefined => {
  if (kind !== "log" && kind !== "signal" && kind !== "tag") return undefined;
  const record = Option.getOrUndefined(
    Effect.runSync(Effect.option(journalRecord.decode(body, { subject: "", sequence: 0 }))),
  );
  return record !== undefined && "key" in record ? record.key : undefined;
};

export class MortalProcess {
  /** The services that die with it. */
  readonly services: Context.Context<Mortal>;
  #isDead = false;
  readonly #withdrawals: Array<Effect.Effect<void>> = [];
  #crashPoints: ReadonlyArray<CrashPoint> = [];
  #appends = 0;

  constructor(shared: Context.Context<Mortal>) {
    this.services = Context.empty().pipe(
      Context.add(Clock.Clock, this.#clock(Context.get(shared, Clock.Clock))),
      Context.add(HandOver, this.#handOver(Context.get(shared, HandOver))),
      Context.add(Log, this.#log(Context.get(shared, Log))),
      Context.add(Mailboxes, this.#mailboxes(Context.get(shared, Mailboxes))),
      Context.add(Requests, this.#requests(Context.get(shared, Requests))),
    );
  }

  get isDead(): boolean {
    return this.#isDead;
  }

  kill(): void {
    this.#isDead = true;
    for (const withdrawal of this.#withdrawals) Effect.runSync(withdrawal);
  }

  /** How often it has written about executions. */
  get appends(): number {
    return this.#appends;
  }

  /** Dies when it records something at a place; gives word of it. */
  killAt(place: Place, moment: Moment): Promise<void> {
    return new Promise((reached) => {
      this.#crashPoints = [...this.#crashPoints, { place, moment, reached }];
    });
  }

  /** Has something end when it dies, or now, if it died while it began. */
  #withdraw(end: Effect.Effect<void>): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.#isDead) return end;
      this.#withdrawals.push(end);
      return Effect.void;
    });
  }

  /** What it asks of others; never answered once it is dead. */
  #alive<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.suspend(() =>
      this.#isDead ? Effect.never : Effect.flatMap(
        Effect.exit(effect),
        (exit) => this.#isDead ? Effect.never : exit,
      )
    );
  }

  #flowing<A, E, R>(stream: Stream.Stream<A, E, R>): Stream.Stream<A, E, R> {
    return Stream.mapEffect(stream, (element) => this.#alive(Effect.succeed(element)));
  }

  #clock(clock: Clock.Clock): Clock.Clock {
    return {
      currentTimeMillis: clock.currentTimeMillis,
      currentTimeNanos: clock.currentTimeNanos,
      monotonicTimeNanos: clock.monotonicTimeNanos,
      currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe(),
      currentTimeNanosUnsafe: () => clock.currentTimeNanosUnsafe(),
      monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe(),
      sleep: (duration) => this.#alive(clock.sleep(duration)),
    };
  }

  #log(log: Log["Service"]): Log["Service"] {
    return Log.of({
      ...log,
      append: (to, message) =>
        this.#crashing([message], this.#alive(Effect.suspend(() => log.append(to, message)))),
      appendBatch: (to, messages) =>
        this.#crashing(
          messages,
          this.#alive(Effect.suspend(() => log.appendBatch(to, messages))),
        ),
      first: (of, kind, key) => this.#alive(log.first(of, kind, key)),
      last: (of, kind, key) => this.#alive(log.last(of, kind, key)),
      lastOfEach: (of, kinds) => this.#alive(log.lastOfEach(of, kinds)),
      lastSequences: (of, kinds) => this.#alive(log.lastSequences(of, kinds)),
      next: (filter, after) => this.#alive(log.next(filter, after)),
      read: (filter, options) => this.#flowing(log.read(filter, options)),
      follow: (filter, options) => this.#flowing(log.follow(filter, options)),
      readThrough: (filter, options) => this.#alive(log.readThrough(filter, options)),
      tail: (shard) => this.#alive(log.tail(shard)),
      purge: (filter, options) => this.#alive(log.purge(filter, options)),
      healSchedules: this.#alive(log.healSchedules),
      dropPayloads: (of) => this.#alive(log.dropPayloads(of)),
      remove: (shard, sequence) => this.#alive(log.remove(shard, sequence)),
    });
  }

  /** An append, and the end that it may bring. */
  #crashing<A, E>(
    messages: ReadonlyArray<Message>,
    append: Effect.Effect<A, E>,
  ): Effect.Effect<A, E> {
    return Effect.suspend(() => {
      if (this.#isDead) return append;
      // What it says of itself, it says by the clock.
      if (messages.some(({ kind }) => kind !== "worker")) this.#appends++;
      if (this.#crashPoints.length === 0) return append;
      const keys = messages.map(keyOf);
      const point = this.#crashPoints.find(({ place }) =>
        typeof place === "string" ? keys.includes(place) : place.append === this.#appends
      );
      if (point === undefined) return append;
      const crash = Effect.suspend(() => {
        this.kill();
        point.reached();
        return Effect.never;
      });
      return point.moment === "before" ? crash : Effect.flatMap(append, () => crash);
    });
  }

  #mailboxes(mailboxes: Mailboxes["Service"]): Mailboxes["Service"] {
    const whileAlive = (settle: () => void) => () => {
      if (!this.#isDead) settle();
    };
    const mortal = (delivery: Delivery): Delivery => ({
      ...delivery,
      ack: whileAlive(delivery.ack),
      decline: whileAlive(delivery.decline),
      working: whileAlive(delivery.working),
      retry: (afterMs) => whileAlive(() => delivery.retry(afterMs))(),
    });
    return Mailboxes.of({
      ...mailboxes,
      serve: (options, handle) =>
        Effect.tap(
          mailboxes.serve(options, (delivery) => handle(mortal(delivery))),
          ({ stop }) => this.#withdraw(stop),
        ),
      forward: (...args) => this.#alive(mailboxes.forward(...args)),
    });
  }

  #handOver({ serve, send }: HandOver["Service"]): HandOver["Service"] {
    return HandOver.of({
      serve: (worker, answer) =>
        Effect.gen({ self: this }, function* () {
          const scope = yield* Scope.fork(yield* Effect.scope);
          yield* Scope.provide(serve(worker, answer), scope);
          yield* this.#withdraw(Scope.close(scope, Exit.void));
        }),
      send: (worker, delivery) => this.#alive(send(worker, delivery)),
    });
  }

  #requests({ maxBytes, serve, ask }: Requests["Service"]): Requests["Service"] {
    return Requests.of({
      maxBytes,
      serve: (subject, answer, options) =>
        Effect.gen({ self: this }, function* () {
          const scope = yield* Scope.fork(yield* Effect.scope);
          const served = serve(subject, (asked) => this.#alive(answer(asked)), options);
          yield* Scope.provide(served, scope);
          // What was being answered never ends.
          yield* this.#withdraw(Effect.asVoid(Effect.forkDetach(Scope.close(scope, Exit.void))));
        }),
      ask: (asked, withinMs) => this.#alive(ask(asked, withinMs)),
    });
  }
}
