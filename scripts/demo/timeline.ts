/**
 * Orders as bars over time: one line each, on which every step begins with its name, in the colour
 * of the worker that runs it. It only computes lines; `screen.ts` shows them.
 */

/** What an order does from a moment on, in milliseconds since the beginning. */
export interface Phase {
  readonly at: number;
  readonly kind: "working" | "waiting" | "lost" | "done";
  readonly text: string;
  readonly style?: Style;
}

export interface Row {
  readonly name: string;
  /** Who has it, for the end of its line. */
  readonly owner: string;
  readonly phases: ReadonlyArray<Phase>;
}

export type Style = "cyan" | "magenta" | "red" | "yellow" | "green" | "dim";

/** A part of a line in one style. */
export interface Piece {
  readonly text: string;
  readonly style?: Style;
}

export type Line = ReadonlyArray<Piece>;

const fill = { working: "━", waiting: "·", lost: "┄", done: " " };
const styles = { working: "cyan", waiting: "yellow", lost: "red", done: "green" } as const;

/** The scale changes only when the demo takes longer than it usually does. */
const usualMs = 17_000;
const leastBar = 12;

const bar = (phases: ReadonlyArray<Phase>, now: number, width: number): Line => {
  const cellMs = Math.max(now, usualMs) / width;
  const cellOf = (at: number) => Math.min(width, Math.floor(at / cellMs));
  const begin = cellOf(phases[0]?.at ?? now);
  const pieces = phases.map(({ at, kind, text, style }, index): Piece => {
    const next = phases[index + 1];
    // What is last of all may need more room than it has taken time.
    const end = next === undefined && kind === "done" ? width : cellOf(next?.at ?? now);
    const cells = Math.max(0, end - cellOf(at));
    return {
      text: text.slice(0, cells).padEnd(cells, fill[kind]),
      style: style ?? styles[kind],
    };
  });
  const length = pieces.reduce((sum, { text }) => sum + text.length, begin);
  return [{ text: " ".repeat(begin) }, ...pieces, { text: " ".repeat(width - length) }];
};

/** The lines of all orders, none longer than the terminal is wide. */
export const timeline = (
  rows: ReadonlyArray<Row>,
  now: number,
  columns: number,
): ReadonlyArray<Line> => {
  const widest = (texts: ReadonlyArray<string>) =>
    Math.max(0, ...texts.map(({ length }) => length));
  const names = widest(rows.map(({ name }) => name));
  const owners = widest(rows.map(({ owner }) => owner));
  const room = columns - names - owners - 5;
  const width = room >= leastBar ? room : Math.max(leastBar, columns - names - 3);
  return rows.map(({ name, owner, phases }) =>
    fit([
      { text: ` ${name.padEnd(names)} ` },
      ...bar(phases, now, width),
      { text: ` ${owner}`, style: "dim" },
    ], columns)
  );
};

/** A line cut off where the terminal ends: one that breaks cannot be drawn again in its place. */
export const fit = (line: Line, columns: number): Line => {
  let room = columns - 1;
  return line.flatMap(({ text, ...rest }) => {
    const fitting = text.slice(0, Math.max(0, room));
    room -= text.length;
    return fitting === "" ? [] : [{ text: fitting, ...rest }];
  });
};
