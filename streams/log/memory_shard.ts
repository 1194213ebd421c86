/**
 * The records of one shard in memory, in the order of the log: found by subject, by execution and by
 * kind without a look at any others. It keeps what it is given and decides nothing.
 */
import { firstWhere } from "../../schema/first_where.ts";
import type { Entry } from "../log.ts";
import { matches } from "../subjects.ts";

/** Tokens of an execution behind the kind: partition, actor, tenant and name. */
const placeSize = 4;

interface Tokens {
  readonly kind: string;
  /** Whose record it is; everything that an execution has is in one place. */
  readonly place: string;
}

const tokensOf = (subject: string): Tokens => {
  const tokens = subject.split(".");
  const start = tokens[0] === "$KV" ? 3 : 2;
  return {
    kind: tokens[start - 1] ?? "",
    place: tokens.slice(start, start + placeSize).join("."),
  };
};

const isLiteral = (tokens: string): boolean => tokens !== "" && !/(^|\.)[*>](\.|$)/.test(tokens);

/** Where the first entry behind a sequence is. */
const indexAfter = (entries: ReadonlyArray<Entry>, after: number): number =>
  firstWhere(entries, ({ sequence }) => sequence > after);

const add = (index: Map<string, Array<Entry>>, key: string, entry: Entry) => {
  const entries = index.get(key);
  if (entries === undefined) index.set(key, [entry]);
  else entries.push(entry);
};

const remove = (index: Map<string, Array<Entry>>, key: string, { sequence }: Entry) => {
  const entries = index.get(key)!;
  entries.splice(indexAfter(entries, sequence - 1), 1);
  if (entries.length === 0) index.delete(key);
};

export class MemoryShard {
  /** In the order of insertion, which is that of the log. */
  readonly #bySequence = new Map<number, Entry>();
  readonly #byPlace = new Map<string, Array<Entry>>();
  readonly #byKind = new Map<string, Array<Entry>>();
  readonly #last = new Map<string, Entry>();

  /** Takes an entry whose sequence is above all others. */
  add(entry: Entry): void {
    const { kind, place } = tokensOf(entry.subject);
    this.#bySequence.set(entry.sequence, entry);
    add(this.#byPlace, place, entry);
    add(this.#byKind, kind, entry);
    this.#last.set(entry.subject, entry);
  }

  remove(entry: Entry): void {
    const { subject, sequence } = entry;
    const { kind, place } = tokensOf(subject);
    this.#bySequence.delete(sequence);
    remove(this.#byPlace, place, entry);
    remove(this.#byKind, kind, entry);
    if (this.#last.get(subject) !== entry) return;
    const entries = this.#byPlace.get(place) ?? [];
    let i = indexAfter(entries, sequence) - 1;
    while (i >= 0 && entries[i]!.subject !== subject) i--;
    if (i >= 0) this.#last.set(subject, entries[i]!);
    else this.#last.delete(subject);
  }

  at(sequence: number): Entry | undefined {
    return this.#bySequence.get(sequence);
  }

  last(subject: string): Entry | undefined {
    return this.#last.get(subject);
  }

  first(subject: string): Entry | undefined {
    return this.#byPlace.get(tokensOf(subject).place)?.find((entry) => entry.subject === subject);
  }

  /** What lies under a filter behind one sequence, up to another, in order. */
  under(filter: string, after: number, upTo: number): Array<Entry> {
    const entries = this.#candidates(filter);
    const found: Array<Entry> = [];
    for (let i = indexAfter(entries, after); i < entries.length; i++) {
      const entry = entries[i]!;
      if (!(entry.sequence <= upTo)) break;
      if (matches(filter, entry.subject)) found.push(entry);
    }
    return found;
  }

  #candidates(filter: string): ReadonlyArray<Entry> {
    const { kind, place } = tokensOf(filter);
    if (isLiteral(place)) return this.#byPlace.get(place) ?? [];
    if (isLiteral(kind)) return this.#byKind.get(kind) ?? [];
    return [...this.#bySequence.values()];
  }
}
