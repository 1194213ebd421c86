/**
 * How results look: a line for each thing, with tabs for programs like `cut`, aligned and titled on
 * a terminal, or as JSON with the names of the public API. A result looks the same whatever command
 * shows it. What went wrong is told in `failure.ts`.
 */
import * as Effect from "effect/Effect";
import { styleText } from "node:util";
import { root } from "./root.ts";
import { harmless, Screen } from "./screen.ts";

export type Color = "green" | "red" | "yellow" | "cyan" | "dim";

/** One property of the things in a list. */
export interface Column<A> {
  readonly title: string;
  readonly of: (thing: A) => string;
  readonly color?: (thing: A) => Color | undefined;
}

export const json = (value: unknown): string => JSON.stringify(value);

/** Rows under each other; a column is as wide as its widest cell so far. */
export const makeTable = <A>(
  columns: ReadonlyArray<Column<A>>,
  { isTerminal, hasColor }: Pick<Screen["Service"], "isTerminal" | "hasColor">,
) => {
  const widths = columns.map(({ title }) => title.length);
  const last = columns.length - 1;
  const pad = (text: string, column: number) =>
    column === last ? text : text.padEnd(widths[column]!);
  const paint = (color: Color | undefined, text: string) =>
    hasColor && color !== undefined ? styleText(color, text, { validateStream: false }) : text;
  return {
    head: (): string =>
      paint("dim", columns.map(({ title }, column) => pad(title, column)).join("  ")),
    rows: (things: ReadonlyArray<A>): ReadonlyArray<string> => {
      const cells = things.map((thing) => columns.map(({ of }) => harmless(of(thing))));
      if (!isTerminal) return cells.map((row) => row.join("\t"));
      for (const row of cells) {
        row.forEach((cell, column) => widths[column] = Math.max(widths[column]!, cell.length));
      }
      return cells.map((row, index) =>
        row.map((cell, column) =>
          paint(columns[column]!.color?.(things[index]!), pad(cell, column))
        )
          .join("  ").trimEnd()
      );
    },
  };
};

const lines = (texts: ReadonlyArray<string>): string => texts.map((text) => `${text}\n`).join("");

/** Prints the things of a list as they come, some at a time. */
export const makeList = Effect.fnUntraced(function* <A>(columns: ReadonlyArray<Column<A>>) {
  const screen = yield* Screen;
  const flags = yield* root;
  const table = makeTable(columns, screen);
  let hasHead = false;
  return Effect.fnUntraced(function* (things: ReadonlyArray<A>) {
    if (things.length === 0) return;
    if (flags.json) return yield* screen.write(lines(things.map(json)));
    const rows = table.rows(things);
    const head = screen.isTerminal && !hasHead ? [table.head()] : [];
    hasHead = true;
    yield* screen.write(lines([...head, ...rows]));
  });
});

/** Prints all things of a list that is at hand. */
export const printList = Effect.fnUntraced(function* <A>(
  columns: ReadonlyArray<Column<A>>,
  things: ReadonlyArray<A>,
) {
  const print = yield* makeList(columns);
  yield* print(things);
});

/** Prints one thing: as it is for programs, as lines for people. */
export const printOne = Effect.fnUntraced(function* (value: unknown, plain: ReadonlyArray<string>) {
  const screen = yield* Screen;
  const flags = yield* root;
  yield* screen.write(flags.json ? `${json(value)}\n` : lines(plain.map(harmless)));
});

/** Names and values, with the values under each other. */
export const fields = (
  pairs: ReadonlyArray<readonly [name: string, value: string | number | undefined]>,
): ReadonlyArray<string> => {
  const known = pairs.filter(([, value]) => value !== undefined);
  const width = Math.max(0, ...known.map(([name]) => name.length));
  return known.map(([name, value]) => `${name.padEnd(width)}  ${value}`);
};
