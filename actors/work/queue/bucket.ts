/**
 * So many in so much time: a bucket of leave to begin, which fills evenly. One that is new begins
 * empty but for one, so that a queue which changes hands is never faster than it may be.
 */

export interface Rate {
  readonly count: number;
  readonly perMs: number;
}

export class Bucket {
  readonly #rate: Rate;
  #left: number;
  #at: number | undefined;

  private constructor(rate: Rate, left: number, at: number | undefined) {
    this.#rate = rate;
    this.#left = left;
    this.#at = at;
  }

  /** A bucket for a rate, which goes on from another; none for none. */
  static of(rate: Rate | undefined, before?: Bucket): Bucket | undefined {
    if (rate === undefined) return undefined;
    return before === undefined
      ? new Bucket(rate, 1, undefined)
      : new Bucket(rate, Math.min(before.#left, rate.count), before.#at);
  }

  /** A bucket that begins full. */
  static full(rate: Rate): Bucket {
    return new Bucket(rate, rate.count, undefined);
  }

  has(now: number): boolean {
    return this.#fill(now) >= 1;
  }

  isFull(now: number): boolean {
    return this.#fill(now) === this.#rate.count;
  }

  take(now: number): void {
    this.#left = this.#fill(now) - 1;
    this.#at = Math.max(now, this.#at ?? now);
  }

  readyAt(now: number): number {
    const missing = Math.max(1 - this.#fill(now), 0);
    return now + Math.ceil(missing * this.#rate.perMs / this.#rate.count);
  }

  #fill(now: number): number {
    const { count, perMs } = this.#rate;
    this.#at ??= now;
    const passed = Math.max(now - this.#at, 0);
    return Math.min(this.#left + passed * count / perMs, count);
  }
}
