/**
 * Who is next, of many who wait: the one of the highest score whose key is free, as a heap of keys
 * that each have a heap of their own. No operation costs more than the logarithm of how many wait.
 * Whether a key is free is said from outside.
 */

/** A binary heap, its greatest first. */
export class Heap<A> {
  readonly #items: Array<A> = [];
  readonly #isBefore: (a: A, b: A) => boolean;

  constructor(isBefore: (a: A, b: A) => boolean) {
    this.#isBefore = isBefore;
  }

  get size(): number {
    return this.#items.length;
  }

  peek(): A | undefined {
    return this.#items[0];
  }

  push(item: A): void {
    const items = this.#items;
    let place = items.push(item) - 1;
    while (place > 0) {
      const above = (place - 1) >> 1;
      if (!this.#isBefore(item, items[above]!)) break;
      items[place] = items[above]!;
      place = above;
    }
    items[place] = item;
  }

  pop(): A | undefined {
    const items = this.#items;
    const [first] = items;
    const last = items.pop();
    if (items.length === 0 || last === undefined) return first;
    let place = 0;
    for (;;) {
      let below = 2 * place + 1;
      if (below >= items.length) break;
      if (below + 1 < items.length && this.#isBefore(items[below + 1]!, items[below]!)) below++;
      if (!this.#isBefore(items[below]!, last)) break;
      items[place] = items[below]!;
      place = below;
    }
    items[place] = last;
    return first;
  }
}

/** One who waits. */
export interface Waiter {
  readonly id: string;
  /** What no more than so many may hold at once; none, if left out. */
  readonly key?: string;
  /** The greater comes first. */
  readonly score: number;
}

interface Line {
  readonly key: string | undefined;
  readonly waiters: Heap<Waiter>;
  /** Whether it is among those that may be next. */
  isOffered: boolean;
}

const isBefore = (a: Waiter, b: Waiter): boolean =>
  a.score > b.score || (a.score === b.score && a.id < b.id);

const noHeads = () =>
  new Heap<{ readonly line: Line; readonly first: Waiter }>((a, b) => isBefore(a.first, b.first));

/** So many places may be kept for nobody before it is worth while to line up anew. */
const placesSpared = 64;

export class WaitingLine {
  readonly #lines = new Map<string | undefined, Line>();
  /** The lines whose keys are free, by their first; some may have become empty or changed. */
  #heads = noHeads();
  /** Those who wait; the lines have such as do not any more as well, until these would be next. */
  readonly #waiters = new Map<string, Waiter>();
  readonly #isFree: (key: string) => boolean;
  #inLines = 0;

  constructor(isFree: (key: string) => boolean) {
    this.#isFree = isFree;
  }

  get size(): number {
    return this.#waiters.size;
  }

  /** How many places are kept, those of who waits no more among them. */
  get places(): number {
    return this.#inLines + this.#heads.size;
  }

  add(waiter: Waiter): void {
    this.#waiters.set(waiter.id, waiter);
    let line = this.#lines.get(waiter.key);
    if (line === undefined) {
      line = { key: waiter.key, waiters: new Heap(isBefore), isOffered: false };
      this.#lines.set(waiter.key, line);
    }
    line.waiters.push(waiter);
    this.#inLines++;
    if (line.waiters.peek() === waiter) line.isOffered = false;
    this.#offer(line);
  }

  /** Takes out one who waits no more; to be called for none that does not wait. */
  remove(id: string): void {
    this.#waiters.delete(id);
    // While nobody may be next, nobody comes upon those who have gone.
    if (this.places > 3 * this.size + placesSpared) this.#lineUpAnew();
  }

  /** A key may be free again. */
  freed(key: string): void {
    const line = this.#lines.get(key);
    if (line !== undefined) this.#offer(line);
  }

  /** Who would be next. */
  peek(): Waiter | undefined {
    for (let head = this.#heads.peek(); head !== undefined; head = this.#heads.peek()) {
      const { line, first } = head;
      const isCurrent = line.isOffered && this.#firstOf(line) === first &&
        (line.key === undefined || this.#isFree(line.key));
      if (isCurrent) return first;
      this.#heads.pop();
      if (line.isOffered) {
        line.isOffered = false;
        this.#offer(line);
      }
    }
    return undefined;
  }

  /** Takes out who is next. */
  take(): Waiter | undefined {
    const next = this.peek();
    if (next === undefined) return undefined;
    const { line } = this.#heads.pop()!;
    line.waiters.pop();
    this.#inLines--;
    this.#waiters.delete(next.id);
    line.isOffered = false;
    this.#offer(line);
    return next;
  }

  #firstOf(line: Line): Waiter | undefined {
    for (;;) {
      const first = line.waiters.peek();
      // Who has come again since stands there twice.
      if (first === undefined || this.#waiters.get(first.id) === first) return first;
      line.waiters.pop();
      this.#inLines--;
    }
  }

  #lineUpAnew(): void {
    this.#lines.clear();
    this.#heads = noHeads();
    this.#inLines = 0;
    for (const waiter of this.#waiters.values()) this.add(waiter);
  }

  #offer(line: Line): void {
    if (line.isOffered) return;
    const first = this.#firstOf(line);
    if (first === undefined) {
      this.#lines.delete(line.key);
      return;
    }
    if (line.key !== undefined && !this.#isFree(line.key)) return;
    line.isOffered = true;
    this.#heads.push({ line, first });
  }
}
