/**
 * A clock that stands still until it is told to move, for programs whose only delays are Effect's.
 * Between two moments it lets the program run until nothing happens any more, so that each sleep ends
 * at its very time and in order. What waits for the outside world, it does not wait for, but for
 * Web Crypto, by which Effect names a workflow's executions.
 */
import { setImmediate, setTimeout } from "node:timers/promises";
import * as Clock from "effect/Clock";
import * as Context from "effect/Context";
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import type * as Fiber from "effect/Fiber";
import * as Scheduler from "effect/Scheduler";
import { turnsTaken } from "../actors/engine/next_turn.ts";
import * as WebCrypto from "effect/crypto/WebCrypto";

interface Sleep {
  readonly at: number;
  readonly lengthMs: number;
  readonly fiber: object;
  /** Whether its fiber did nothing but sleep as long just before: it looks after something. */
  readonly repeats: boolean;
  readonly end: () => void;
}

/** Only what repeats as often as this, at least, may be passed over. */
const longestRepeatedMs = 10_000;

/** Turns of the event loop without a sign of life after which nothing is taken to happen. */
const quietTurns = 12;

/** How long the outside world has to answer what asks it; later is too late, whatever the time. */
const patienceMs = 100;

type Crypto = typeof globalThis.crypto;

/** An object whose methods are its own, each replaced by what is made of it. */
const replaced = <A extends object>(
  object: A,
  replace: (member: unknown, name: string | symbol) => unknown,
): A =>
  new Proxy(object, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name, target);
      return replace(typeof member === "function" ? member.bind(target) : member, name);
    },
  });

export class VirtualClock implements Clock.Clock {
  #now: number;
  /** Those that end first come last. */
  readonly #sleeps: Array<Sleep> = [];
  /** What each fiber slept for when it last woke. */
  readonly #woken = new WeakMap<object, { readonly at: number; readonly lengthMs: number }>();
  #signsOfLife = 0;
  /** How much Web Crypto, which works on threads of its own, has to do. */
  #computing = 0;
  /** When the last thing that is under way, and may wait for the outside world, has begun. */
  readonly #askedAt: () => number;

  constructor(startMs: number, askedAt: () => number = () => -Infinity) {
    this.#now = startMs;
    this.#askedAt = askedAt;
  }

  readonly currentTimeMillis: Effect.Effect<number> = Effect.sync(() => this.#now);
  readonly currentTimeNanos: Effect.Effect<bigint> = Effect.sync(() =>
    this.currentTimeNanosUnsafe()
  );
  readonly monotonicTimeNanos: Effect.Effect<bigint> = this.currentTimeNanos;

  currentTimeMillisUnsafe(): number {
    return this.#now;
  }

  currentTimeNanosUnsafe(): bigint {
    return BigInt(Math.round(this.#now * 1e6));
  }

  monotonicTimeNanosUnsafe(): bigint {
    return this.currentTimeNanosUnsafe();
  }

  sleep(duration: Duration.Duration): Effect.Effect<void> {
    const lengthMs = Duration.toMillis(duration);
    if (lengthMs <= 0) return Effect.yieldNow;
    return Effect.withFiber((fiber) =>
      Effect.callback<void>((resume) => {
        const sleep = this.#fallAsleep(fiber, lengthMs, () => resume(Effect.void));
        return Effect.sync(() => this.#forget(sleep));
      })
    );
  }

  /** What a program must be given to live by this clock. */
  get context(): Context.Context<never> {
    const parent = new Scheduler.MixedScheduler();
    const scheduler: Scheduler.Scheduler = {
      executionMode: parent.executionMode,
      shouldYield: (fiber) => parent.shouldYield(fiber),
      makeDispatcher: () => {
        const dispatcher = parent.makeDispatcher();
        return {
          scheduleTask: (task, priority) => {
            this.#signsOfLife++;
            dispatcher.scheduleTask(task, priority);
          },
          flush: () => dispatcher.flush(),
        };
      },
    };
    return Context.make(Clock.Clock, this).pipe(
      Context.add(Scheduler.Scheduler, scheduler),
      Context.add(WebCrypto.WebCrypto, this.#crypto()),
    );
  }

  /** Web Crypto, of which it is known whether it is at work. */
  #crypto(): Crypto {
    const subtle = replaced(
      globalThis.crypto.subtle,
      (member) =>
        typeof member !== "function" ? member : async (...args: ReadonlyArray<unknown>) => {
          this.#computing++;
          try {
            return await (member(...args) as Promise<unknown>);
          } finally {
            this.#computing--;
            this.#signsOfLife++;
          }
        },
    );
    return replaced(globalThis.crypto, (member, name) => name === "subtle" ? subtle : member);
  }

  /** Lets everything happen that needs no time. */
  async settle(): Promise<void> {
    const signsOfLife = () => this.#signsOfLife + turnsTaken();
    let seen = signsOfLife();
    for (let quiet = 0; quiet < quietTurns; quiet++) {
      await setImmediate();
      if (seen !== signsOfLife()) {
        seen = signsOfLife();
        quiet = 0;
      } else if (this.#computing > 0) {
        quiet = 0;
      } else if (performance.now() < this.#askedAt() + patienceMs) {
        await setTimeout(1);
        quiet = 0;
      }
    }
  }

  /**
   * Lets time pass. Of what only looks after something every few seconds one turn is taken for many,
   * so that a year costs no more than what happens in it.
   */
  async advance(duration: Duration.Input): Promise<void> {
    const end = this.#now + Duration.toMillis(Duration.fromInputUnsafe(duration));
    while (await this.#reachNext(end));
    this.#moveTo(end);
    await this.settle();
  }

  /** Lets time pass until it is enough; says whether it ever was, by something that was to happen. */
  async advanceUntil(isEnough: () => boolean, atMost: Duration.Input): Promise<boolean> {
    const end = this.#now + Duration.toMillis(Duration.fromInputUnsafe(atMost));
    await this.settle();
    while (!isEnough()) {
      if (!await this.#reachNext(end)) return isEnough();
      await this.settle();
    }
    return true;
  }

  /** Goes to the next moment at which something is to happen that is not mere routine. */
  async #reachNext(end: number): Promise<boolean> {
    await this.settle();
    const next = this.#sleeps.findLast(({ at, repeats }) => !repeats && at <= end);
    if (next !== undefined) this.#moveTo(next.at);
    return next !== undefined;
  }

  /** Runs a program to its end; whenever nothing happens, it is the time of the next sleep's end. */
  async run<A, E>(program: Effect.Effect<A, E>): Promise<A> {
    let isOver = false;
    const result = Effect.runPromiseWith(this.context)(program).finally(() => isOver = true);
    result.catch(() => {});
    while (!isOver) {
      await this.settle();
      const next = this.#sleeps.at(-1)?.at;
      if (!isOver && next !== undefined) this.#moveTo(next);
    }
    return result;
  }

  #fallAsleep(fiber: Fiber.Fiber<unknown, unknown>, lengthMs: number, end: () => void): Sleep {
    this.#signsOfLife++;
    const at = this.#now + lengthMs;
    const before = this.#woken.get(fiber);
    const repeats = before?.at === this.#now && before.lengthMs === lengthMs &&
      lengthMs <= longestRepeatedMs;
    const sleep = { at, lengthMs, fiber, repeats, end };
    const place = this.#sleeps.findLastIndex((other) => other.at > at) + 1;
    this.#sleeps.splice(place, 0, sleep);
    return sleep;
  }

  #forget(sleep: Sleep): void {
    const place = this.#sleeps.indexOf(sleep);
    if (place !== -1) this.#sleeps.splice(place, 1);
  }

  /** Ends the sleeps that end by then, in order. */
  #moveTo(time: number): void {
    this.#now = Math.max(this.#now, time);
    while ((this.#sleeps.at(-1)?.at ?? Infinity) <= this.#now) {
      const { fiber, lengthMs, end } = this.#sleeps.pop()!;
      this.#woken.set(fiber, { at: this.#now, lengthMs });
      end();
    }
  }
}
