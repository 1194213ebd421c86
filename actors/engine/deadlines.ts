/**
 * The deadlines of one execution: watched by its owner's clock while it is in memory, and given to
 * the server before it is let go. Both may announce the same one; the journal has it once. A deadline
 * that has lost its meaning is taken back from the server, so that nothing of it is left.
 */
import * as Effect from "effect/Effect";
import * as Schedule from "effect/Schedule";
import { Timestamp } from "../../schema/ids.ts";
import { mailRecord } from "../../schema/mail_record.ts";
import type { AppendError, Log, Message, ReadError } from "../../streams/log.ts";
import type { ServerClock } from "../../streams/server_clock.ts";
import { timers } from "../core/decide.ts";
import { beginTimer, type ExecutionState, operation } from "../core/state.ts";
import type { Ownership } from "./ownership.ts";

/** Deadlines further off than this are looked at again before they are awaited. */
const longestSleepMs = 6 * 60 * 60 * 1_000;

export interface DeadlinesOptions {
  readonly log: Log["Service"];
  readonly clock: ServerClock["Service"];
  readonly monotonicMs: () => number;
  /** Runs beside the caller, for as long as the execution is in memory. */
  readonly fork: (effect: Effect.Effect<void>) => void;
}

export class Deadlines {
  readonly #options: DeadlinesOptions;
  /** The server's time when it was last asked for. */
  #reading = { serverMs: 0, monotonicMs: 0 };
  /** What the server's clock has come to at least, since it has announced that. */
  #reachedMs = 0;
  /** The timers that the server has been given, and not taken back. */
  readonly #scheduled: Set<string>;

  constructor(options: DeadlinesOptions, state: ExecutionState) {
    this.#options = options;
    this.#scheduled = new Set(timers(state).map(({ key }) => key));
    // The time that somebody who was promoted need not wait for may still be to come.
    const begin = state.promoted === undefined ? undefined : beginTimer(state);
    if (begin !== undefined) this.#scheduled.add(begin);
  }

  /** The server's time. */
  readonly now: Effect.Effect<Timestamp, ReadError> = Effect.suspend(() => this.#options.clock.now)
    .pipe(Effect.map((read) => {
      const now = Math.max(read, this.#reachedMs);
      this.#reading = { serverMs: now, monotonicMs: this.#options.monotonicMs() };
      return Timestamp.make(Math.round(now));
    }));

  /** What `now` said last, and the time that has passed since. */
  get nowAbout(): number {
    const { serverMs, monotonicMs } = this.#reading;
    return serverMs + this.#options.monotonicMs() - monotonicMs;
  }

  /** Watches a deadline with this machine's clock, which is finer than the server's schedules. */
  watch(due: number, then: () => void): void {
    const now = Effect.retry(this.#options.clock.now, {
      while: ({ retryable }) => retryable,
      schedule: Schedule.spaced("1 second"),
    });
    const wait = Effect.gen({ self: this }, function* () {
      for (;;) {
        const rest = due - Math.max(yield* now, this.#reachedMs);
        if (rest <= 0) break;
        yield* Effect.sleep(Math.min(rest, longestSleepMs));
      }
      then();
    });
    this.#options.fork(Effect.ignore(wait));
  }

  /** Has the server deliver everything that is awaited into the mailbox, each when it is due. */
  scheduleAll(ownership: Ownership): Effect.Effect<void, AppendError> {
    return Effect.forEach(
      timers(ownership.state),
      ({ key, due }) => this.schedule(ownership, key, due),
      { discard: true },
    );
  }

  schedule(ownership: Ownership, key: string, due: Timestamp): Effect.Effect<void, AppendError> {
    this.#scheduled.add(key);
    const { life, start } = ownership.state;
    const route = start?.record.route;
    const mail = {
      kind: "timer" as const,
      life,
      key,
      due,
      ...(route === undefined ? {} : { route }),
    };
    return this.#append(ownership, key, { schedule: { at: due }, body: mailRecord.encode(mail) });
  }

  /**
   * The server has announced it, so that it is due whatever our idea of the server's time: set once
   * more, it would be announced at once, and so on until that idea is right.
   */
  announced(key: string, due: Timestamp): void {
    this.#scheduled.delete(key);
    this.#reachedMs = Math.max(this.#reachedMs, due);
  }

  /** Takes back, beside the work, what was met otherwise. */
  settled(ownership: Ownership, key: string): void {
    if (!this.#scheduled.has(key)) return;
    if (operation(ownership.state, key)?.settled === undefined) return;
    this.#options.fork(Effect.ignore(this.#takeBack(ownership, key)));
  }

  /** Takes back what has lost its meaning. */
  forget(ownership: Ownership, key: string): Effect.Effect<void, AppendError> {
    return this.#takeBack(ownership, key);
  }

  takeBackAll(ownership: Ownership): Effect.Effect<void, AppendError> {
    return Effect.forEach([...this.#scheduled], (key) => this.#takeBack(ownership, key), {
      discard: true,
    });
  }

  #takeBack(ownership: Ownership, key: string): Effect.Effect<void, AppendError> {
    if (!this.#scheduled.delete(key)) return Effect.void;
    return this.#append(ownership, key, { unschedules: true, body: new Uint8Array() });
  }

  #append(
    { address, fence }: Ownership,
    key: string,
    message: Pick<Message, "schedule" | "unschedules" | "body">,
  ): Effect.Effect<void, AppendError> {
    const { log } = this.#options;
    return Effect.asVoid(log.append(address, { kind: "timer", key, guard: fence, ...message }));
  }
}
