/**
 * What is due when, if nobody puts it off: each thing is in here once, and is asked for its time again
 * when that has come, so that to put it off costs nothing.
 */
import { Heap } from "../queue/waiting_line.ts";

export interface Due<A> {
  /** When it is due; nothing, if it is not to be done any more. */
  readonly at: () => number | undefined;
  readonly act: A;
}

export class Deadlines<A> {
  readonly #all = new Heap<{ readonly at: number; readonly due: Due<A> }>((a, b) => a.at < b.at);

  add(due: Due<A>): void {
    const at = due.at();
    if (at !== undefined) this.#all.push({ at, due });
  }

  /** The earliest time at which something may be due. */
  get nextAt(): number | undefined {
    return this.#all.peek()?.at;
  }

  /** Takes out one thing that is due. */
  take(now: number): A | undefined {
    for (let next = this.#all.peek(); next !== undefined; next = this.#all.peek()) {
      if (next.at > now) return undefined;
      this.#all.pop();
      const at = next.due.at();
      if (at === undefined) continue;
      if (at <= now) return next.due.act;
      this.#all.push({ at, due: next.due });
    }
    return undefined;
  }
}
