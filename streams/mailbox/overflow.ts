/**
 * What a full worker was offered because nobody had room, and declined. A little of it stays at hand;
 * the rest goes back to the server for a while, and is called back when there is room again: whatever
 * lies behind it in the stream, a signal for a resident execution perhaps, can come through. Whether
 * others have room it learns by giving a few back: what they have no room for comes here again.
 */
import { ackWaitMs } from "../mailbox.ts";

/** One message, not settled. */
export interface Declined {
  /** Whether it came by a lane; if not, it is for anybody. */
  readonly byLane: boolean;
  /** Offers it to the handler again. */
  readonly offer: () => void;
  /** Lets the server offer it to anyone, now or after a while. */
  readonly giveBack: (afterMs?: number) => void;
}

const heldAtMost = 64;
/** So many a second come back by themselves at most, or declining them would be all that is done. */
const returnsPerMs = 1;
/** Beyond this the worker fetches no more than it is made to. */
const manyReturned = 10_000;
const fewestProbes = 16;
const mostProbes = 4_096;

export class Overflow {
  /**
   * In the order in which they came. What only few can do does not wait behind what everybody can:
   * one of each is next in turn.
   */
  readonly #held = { plain: new Set<Declined>(), byLane: new Set<Declined>() };
  #laneIsNext = true;
  /** In the order in which they came, with when each comes by itself. */
  readonly #returned = new Map<Declined, number>();
  #probes = fewestProbes;
  #given = 0;
  #takenSince = 0;
  /** How many of those called back are on their way, if nobody else gets them. */
  #coming = 0;

  get isEmpty(): boolean {
    const { plain, byLane } = this.#held;
    return plain.size === 0 && byLane.size === 0 && this.#returned.size === 0;
  }

  get isLarge(): boolean {
    return this.#returned.size >= manyReturned;
  }

  take(declined: Declined, now: number): void {
    this.#takenSince++;
    const held = declined.byLane ? this.#held.byLane : this.#held.plain;
    if (held.size < heldAtMost) {
      held.add(declined);
      return;
    }
    const afterMs = Math.max(ackWaitMs, Math.ceil(this.#returned.size / returnsPerMs));
    declined.giveBack(afterMs);
    this.#returned.set(declined, now + afterMs);
  }

  /** A message came, which may be one that was called back. */
  arrived(): void {
    if (this.#coming > 0) this.#coming--;
  }

  /** Offers again what is held, while there is room. */
  offer(hasRoom: () => boolean): void {
    // What is declined once more goes to the end.
    let remaining = this.#held.plain.size + this.#held.byLane.size;
    while (remaining-- > 0 && hasRoom()) this.#next()?.offer();
  }

  /** Calls some back, for a worker that has room. */
  refill(): void {
    if (this.#coming === 0) this.#coming = this.#callBack(heldAtMost);
  }

  /** Gives some back: more than before if little of that returned, since somebody took it. */
  probe(now: number): void {
    for (const [declined, until] of this.#returned) {
      if (until > now) break;
      this.#returned.delete(declined);
    }
    const wereTaken = this.#takenSince < this.#given / 2;
    this.#probes = wereTaken ? Math.min(this.#probes * 2, mostProbes) : fewestProbes;
    this.#takenSince = 0;
    this.#coming = 0;
    this.#given = this.#giveBack(this.#probes);
  }

  /** Leaves everything to others. */
  clear(): void {
    this.#giveBack(Infinity);
  }

  #giveBack(count: number): number {
    let given = 0;
    for (; given < count; given++) {
      const declined = this.#next();
      if (declined === undefined) break;
      declined.giveBack();
    }
    return given + this.#callBack(count - given);
  }

  /** Takes out whose turn it is. */
  #next(): Declined | undefined {
    const { plain, byLane } = this.#held;
    const from = this.#laneIsNext && byLane.size > 0 || plain.size === 0 ? byLane : plain;
    this.#laneIsNext = from === plain;
    const [first] = from;
    if (first !== undefined) from.delete(first);
    return first;
  }

  #callBack(count: number): number {
    let called = 0;
    for (const declined of this.#returned.keys()) {
      if (called === count) break;
      called++;
      this.#returned.delete(declined);
      declined.giveBack();
    }
    return called;
  }
}
