/**
 * Where the demo speaks: line by line, and on a terminal with a picture below that is drawn again in
 * its place. Where nobody watches it writes plain lines and nothing else.
 */
import type { Line, Style } from "./timeline.ts";

export interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

export interface ScreenOptions {
  readonly output: Output;
  /** As the environment has them. */
  readonly term?: string | undefined;
  readonly noColor?: string | undefined;
  /** The picture, for so many columns. */
  readonly picture: (columns: number) => ReadonlyArray<Line>;
}

const codes: Readonly<Record<Style, number>> = {
  red: 31,
  green: 32,
  yellow: 33,
  magenta: 35,
  cyan: 36,
  dim: 2,
};

/** The marks of a claim are seen at a glance. */
const marks: ReadonlyArray<readonly [string, Style]> = [["✓", "green"], ["✗", "red"]];

const drawEveryMs = 100;
const usualColumns = 80;

export const makeScreen = ({ output, term, noColor, picture }: ScreenOptions) => {
  const isLive = output.isTTY === true && term !== "dumb";
  const hasColor = isLive && (noColor ?? "") === "";
  const paint = (text: string, style: Style | undefined) =>
    style === undefined || !hasColor ? text : `\u001b[${codes[style]}m${text}\u001b[0m`;

  let drawn = 0;
  let isOpen = true;
  // A key that was pressed may have moved the cursor to the right.
  const erase = () => drawn === 0 ? "" : `\r\u001b[${drawn}A\u001b[J`;
  /** Puts a text where the picture was, and the picture below it. */
  const show = (above: string) => {
    const lines = picture(output.columns ?? usualColumns);
    const text = lines.map((line) =>
      line.map(({ text, style }) => paint(text, style)).join("") + "\n"
    );
    const before = erase();
    drawn = lines.length;
    output.write(`${before}${above}${text.join("")}`);
  };

  const timer = isLive ? setInterval(() => show(""), drawEveryMs) : undefined;
  if (isLive) output.write("\u001b[?25l");

  return {
    say: (line = ""): void => {
      if (!isLive || !isOpen) return void output.write(`${line}\n`);
      const mark = marks.find(([mark]) => line.includes(mark));
      show(`${mark === undefined ? line : line.replace(mark[0], paint(...mark))}\n`);
    },
    /** Leaves the last picture where it is, and the terminal as it was. */
    close: (): void => {
      if (!isLive || !isOpen) return;
      isOpen = false;
      clearInterval(timer);
      show("");
      output.write("\u001b[?25h");
    },
  };
};

export type Screen = ReturnType<typeof makeScreen>;
