/**
 * Inputs that nobody meant: good ones, changed by chance. The same seed makes the same inputs, in
 * every runtime, so that what a run finds can be found again.
 */

/** Numbers by chance, from a seed (xorshift32). */
export class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = (seed >>> 0) || 0x9e3779b9;
  }

  /** From 0 up to, and not including, so many. */
  below(count: number): number {
    let state = this.#state;
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    this.#state = state >>> 0;
    return this.#state % Math.max(1, count);
  }

  of<A>(all: ReadonlyArray<A>): A {
    return all[this.below(all.length)]!;
  }
}

const utf8 = new TextEncoder();

/** What tends to be forgotten, as text. */
const tokens = [
  "",
  "\0",
  " ",
  "\n",
  "\r\n",
  "/",
  "..",
  ".",
  "*",
  ">",
  "-",
  "--",
  "%",
  "%00",
  "%zz",
  "%ED%A0%80",
  "=",
  "==",
  "&",
  "?",
  "#",
  ",",
  ":",
  "@",
  "+ACK",
  "null",
  "true",
  "-1",
  "-0",
  "1e309",
  "0x10",
  "9007199254740993",
  "18446744073709551616",
  "NaN",
  "__proto__",
  "constructor",
  "toString",
  "\u202e",
  "\u{1f642}",
  "\\ud800",
  '"',
  "{",
  "}",
  "[",
  "]",
  '{"v":1,"kind":"__proto__"}',
  "A".repeat(300),
  "\u0001".repeat(70),
];

const deep = (open: string, close: string, depth: number): string =>
  `${open.repeat(depth)}${close.repeat(depth)}`;

/** JSON that a value may be replaced by. */
const values = [
  "null",
  "true",
  "0",
  "-1",
  "1.5",
  "1e308",
  "9007199254740993",
  '""',
  '"__proto__"',
  '"\\ud800"',
  '"\\u0000"',
  "[]",
  "{}",
  '{"__proto__":{"polluted":true}}',
  '{"constructor":{"prototype":{"polluted":true}}}',
  '{"type":"other"}',
  `"${"x".repeat(5_000)}"`,
  deep("[", "]", 60),
  deep("[", "]", 5_000),
  deep('{"a":', "}", 3_000).replace('{"a":}', '{"a":1}'),
  `[${"0,".repeat(2_000)}0]`,
];

/** A place in JSON, by chance, replaced by something else; or a field more, or one less. */
const changeJson = (chance: Chance, json: string): string => {
  const mark = `\u0000${chance.below(1_000_000)}`;
  const change = (value: unknown, depth: number): unknown => {
    if (typeof value !== "object" || value === null || depth > 50 || chance.below(4) === 0) {
      return mark;
    }
    if (Array.isArray(value)) {
      const at = chance.below(value.length + 1);
      return at === value.length ? [...value, mark] : value.with(at, change(value[at], depth + 1));
    }
    const names = Object.keys(value);
    const name = chance.of([...names, chance.of(tokens)]);
    const entries = Object.entries(value);
    if (chance.below(5) === 0) return Object.fromEntries(entries.filter(([key]) => key !== name));
    const changed = change((value as Record<string, unknown>)[name], depth + 1);
    return Object.fromEntries([...entries.filter(([key]) => key !== name), [name, changed]]);
  };
  const text = JSON.stringify(change(JSON.parse(json), 0));
  return text.replace(JSON.stringify(mark), () => chance.of(values));
};

const joined = (...parts: ReadonlyArray<Uint8Array>): Uint8Array => {
  const bytes = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
};

const changeBytes = (
  chance: Chance,
  bytes: Uint8Array,
  others: ReadonlyArray<Uint8Array>,
): Uint8Array => {
  const at = chance.below(bytes.length + 1);
  const end = Math.min(bytes.length, at + chance.below(16));
  const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)];
  switch (chance.below(8)) {
    case 0: {
      const flipped = bytes.slice();
      if (at < bytes.length) flipped[at] = flipped[at]! ^ (1 << chance.below(8));
      return flipped;
    }
    case 1:
      return joined(before, Uint8Array.of(chance.below(256)), after);
    case 2:
      return joined(before, bytes.subarray(end));
    case 3:
      return joined(before, bytes.subarray(at, end), after);
    case 4:
      return before.slice();
    case 5: {
      const other = chance.of(others);
      return joined(before, other.subarray(chance.below(other.length + 1)));
    }
    case 6:
      return joined(before, utf8.encode(chance.of(tokens)), bytes.subarray(end));
    default:
      return joined(before, utf8.encode(chance.of(tokens)), after);
  }
};

const decoder = new TextDecoder();

/** One of the inputs, changed one to four times. */
export const mutated = (chance: Chance, inputs: ReadonlyArray<Uint8Array>): Uint8Array => {
  let bytes = chance.of(inputs);
  for (let left = chance.below(4); left >= 0; left--) {
    try {
      bytes = chance.below(2) === 0
        ? utf8.encode(changeJson(chance, decoder.decode(bytes)))
        : changeBytes(chance, bytes, inputs);
    } catch {
      // It is no JSON, or none any more.
      bytes = changeBytes(chance, bytes, inputs);
    }
  }
  return bytes;
};
