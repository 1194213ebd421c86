/**
 * A process of a simulated machine: its fibers run when it is told to, by a clock that may be wrong
 * about the date, and stop for ever when it dies. It shares nothing with others but the network.
 */
import * as Clock from "effect/Clock";
import * as Context from "effect/Context";
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Logger from "effect/Logger";
import * as Random from "effect/Random";
import * as Scheduler from "effect/Scheduler";
import type { Choices } from "./choices.ts";

import { Wrong } from "./wrong.ts";

/** What every process lives by. */
export interface Time {
  readonly now: number;
  say(what: string | (() => string)): void;
}

interface Sleeper {
  readonly at: number;
  readonly wake: () => void;
}

const maxOpsBeforeYield = 2048;
/** Who has something to do after so many rounds, at one moment, will always have. */
const mostRounds = 10_000;

export class Process {
  readonly name: string;
  readonly context: Context.Context<never>;
  isFrozen = false;
  isDead = false;
  /** How far its wall clock is off. */
  skewMs = 0;
  readonly #time: Time;
  readonly #began: number;
  #tasks: Array<() => void> = [];
  readonly #sleepers = new Set<Sleeper>();

  constructor(time: Time, name: string, random: number) {
    this.#time = time;
    this.name = name;
    this.#began = time.now;
    let drawn = random;
    const nextIntUnsafe = () => drawn = (Math.imul(drawn, 1_103_515_245) + 12_345) & 0x7fffffff;
    this.context = Context.make(Clock.Clock, this.#clock()).pipe(
      Context.add(Scheduler.Scheduler, {
        executionMode: "async",
        shouldYield: (fiber) => fiber.currentOpCount >= maxOpsBeforeYield,
        makeDispatcher: () => ({
          scheduleTask: (task) => this.post(task),
          flush: () => {},
        }),
      }),
      Context.add(
        Logger.CurrentLoggers,
        new Set([
          Logger.make(({ message }) => time.say(() => `${name} warns: ${String(message)}`)),
        ]),
      ),
      Context.add(Random.Random, {
        nextIntUnsafe,
        nextDoubleUnsafe: () => nextIntUnsafe() / 2 ** 31,
      }),
    );
  }

  get runs(): boolean {
    return !this.isFrozen && !this.isDead;
  }

  /** Has something done in its next turn. */
  post(task: () => void): void {
    if (!this.isDead) this.#tasks.push(task);
  }

  /** When it goes on by itself; now, if it has something to do. */
  get nextTime(): number {
    if (!this.runs) return Infinity;
    let next = Infinity;
    if (this.#tasks.length > 0) return this.#time.now;
    for (const { at } of this.#sleepers) next = Math.min(next, at);
    return next;
  }

  /** Does all that there is to do; says whether there was anything. Fibers may overtake each other. */
  run(choices?: Choices): boolean {
    if (!this.runs) return false;
    const { now } = this.#time;
    for (const sleeper of this.#sleepers) {
      if (sleeper.at > now) continue;
      this.#sleepers.delete(sleeper);
      this.#tasks.push(sleeper.wake);
    }
    const did = this.#tasks.length > 0;
    let rounds = 0;
    while (this.#tasks.length > 0 && !this.isDead) {
      if (rounds++ > mostRounds) throw new Wrong(`${this.name} never rests`);
      const tasks = this.#tasks;
      this.#tasks = [];
      if (tasks.length > 1 && choices?.oneIn(4) === true) tasks.push(tasks.shift()!);
      for (const task of tasks) task();
    }
    return did;
  }

  die(): void {
    this.isDead = true;
    this.#tasks = [];
    this.#sleepers.clear();
  }

  #clock(): Clock.Clock {
    const millis = () => this.#time.now + this.skewMs;
    const nanos = () => BigInt(this.#time.now - this.#began) * 1_000_000n;
    return {
      currentTimeMillisUnsafe: millis,
      currentTimeMillis: Effect.sync(millis),
      currentTimeNanosUnsafe: () => BigInt(millis()) * 1_000_000n,
      currentTimeNanos: Effect.sync(() => BigInt(millis()) * 1_000_000n),
      monotonicTimeNanosUnsafe: nanos,
      monotonicTimeNanos: Effect.sync(nanos),
      sleep: (duration) => this.#sleep(Math.ceil(Duration.toMillis(duration))),
    };
  }

  #sleep(ms: number): Effect.Effect<void> {
    if (ms <= 0) return Effect.yieldNow;
    return Effect.callback((resume) => {
      const sleeper = { at: this.#time.now + ms, wake: () => resume(Effect.void) };
      if (!this.isDead) this.#sleepers.add(sleeper);
      return Effect.sync(() => this.#sleepers.delete(sleeper));
    });
  }
}
