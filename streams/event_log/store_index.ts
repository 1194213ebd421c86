/**
 * What a process knows of one store: which entries it has, under which numbers, and where in the log
 * they lie. It is a fold over what is written, and so the same in every process that has read as far;
 * payloads are not in it. An id counts where it was stored first.
 */
import type { EventLogIndexRecord } from "../../schema/event_log_record.ts";

/** Where entries are that were written at once. */
export interface Place {
  /** The number of the first. */
  readonly first: number;
  /** The sequence of their record in the log. */
  readonly sequence: number;
}

/** Which entries those are. */
export interface Written {
  readonly first: number;
  readonly ids: ReadonlyArray<string>;
  /** What each is about, where that can be said. */
  readonly topics?: ReadonlyArray<string>;
}

export class StoreIndex {
  readonly #numbers = new Map<string, number>();
  readonly #ofTopic = new Map<string, Array<number>>();
  /** In the order of their numbers, as are the topics and the places. */
  readonly #ids: Array<string> = [];
  readonly #topics: Array<string> = [];
  readonly #places: Array<Place> = [];
  #sequence = 0;

  /** How many entries the store has, and the number of the last. */
  get head(): number {
    return this.#ids.length;
  }

  /** Up to where in the log this has been read. */
  get sequence(): number {
    return this.#sequence;
  }

  /** Passes over a record that says nothing. */
  skip(sequence: number): void {
    this.#sequence = sequence;
  }

  /** Takes the next record; says whether its numbers follow. */
  add({ first, ids, topics = [] }: Written, sequence: number): boolean {
    this.#sequence = sequence;
    if (first !== this.head + 1 || ids.length === 0) return false;
    this.#places.push({ first, sequence });
    ids.forEach((id, i) => {
      this.#ids.push(id);
      if (!this.#numbers.has(id)) this.#numbers.set(id, first + i);
      const topic = topics[i];
      if (topic === undefined) return;
      this.#topics.push(topic);
      const known = this.#ofTopic.get(topic);
      if (known === undefined) this.#ofTopic.set(topic, [first + i]);
      else known.push(first + i);
    });
    return true;
  }

  /** Takes what another process has read, as far as this one has not. */
  addRead({ first, ids, topics, places }: EventLogIndexRecord): void {
    places.forEach(([number, sequence], i) => {
      if (number <= this.head) return;
      const [from, to] = [number - first, (places[i + 1]?.[0] ?? first + ids.length) - first];
      this.add({
        first: number,
        ids: ids.slice(from, to),
        ...(topics === undefined ? {} : { topics: topics.slice(from, to) }),
      }, sequence);
    });
  }

  /** What this has read behind a number. */
  readAfter(number: number): Omit<EventLogIndexRecord, "kind"> {
    const places = this.#places.filter(({ first }) => first > number);
    return {
      first: number + 1,
      ids: this.#ids.slice(number),
      ...(this.#topics.length === 0 ? {} : { topics: this.#topics.slice(number) }),
      places: places.map(({ first, sequence }) => [first, sequence] as const),
    };
  }

  numberOf(id: string): number | undefined {
    return this.#numbers.get(id);
  }

  /** The entries about a topic, or of the whole store, whose ids are not before one. */
  from(id: string, topic?: string): ReadonlyArray<number> {
    const isFrom = (number: number) => this.#ids[number - 1]! >= id;
    return topic === undefined
      ? this.#ids.flatMap((_, i) => isFrom(i + 1) ? [i + 1] : [])
      : (this.#ofTopic.get(topic) ?? []).filter(isFrom);
  }

  /** Where an entry is, if it is there. */
  placeOf(number: number): Place | undefined {
    if (number < 1 || number > this.head) return undefined;
    let low = 0;
    let high = this.#places.length;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (this.#places[middle]!.first <= number) low = middle;
      else high = middle;
    }
    return this.#places[low];
  }
}
