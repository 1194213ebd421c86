/**
 * When an execution that only waits goes out of memory: at once if nothing is to come for a while, or
 * else when nothing has come for as long as it may stay.
 */
import * as Effect from "effect/Effect";

export interface SuspensionOptions {
  /** How long it stays in memory when it only waits. */
  readonly residentMs: number;
  /** Whether it does nothing until something comes. */
  readonly isIdle: () => boolean;
  /** Whether nothing that could come would have it go on soon. */
  readonly isAsleep: () => boolean;
  /** It only waits from now on; somebody else may need its place. */
  readonly onIdle: () => void;
  readonly suspend: () => void;
  readonly fork: (effect: Effect.Effect<void>) => void;
}

export class Suspension {
  readonly #options: SuspensionOptions;
  /** Counts what happened; and after which of it a suspension is due. */
  #generation = 0;
  #waitsSince = -1;

  constructor(options: SuspensionOptions) {
    this.#options = options;
  }

  /** Something happened, and it is as if it had just begun to wait. */
  postpone(): void {
    this.#generation++;
  }

  consider(): void {
    const { residentMs, isIdle, isAsleep, onIdle, suspend, fork } = this.#options;
    if (!isIdle()) return;
    const generation = this.#generation;
    if (this.#waitsSince === generation) return;
    this.#waitsSince = generation;
    if (isAsleep()) return suspend();
    onIdle();
    fork(
      Effect.sleep(residentMs).pipe(
        Effect.andThen(Effect.sync(() => {
          if (this.#generation === generation) suspend();
        })),
      ),
    );
  }
}
