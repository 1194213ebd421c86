/** A benchmark of several parts, each of which can be run by itself. */
import { keep } from "./report.ts";

/** Each measures something, tells of it, and gives what is to be kept. */
export type Measures<Options> = Readonly<Record<string, (options: Options) => Promise<object>>>;

/** Runs what is chosen, or all; what is not all must not replace what was measured whole. */
export const reportParts = async <Options>(
  topic: string,
  measures: Measures<Options>,
  chosen: ReadonlyArray<string>,
  options: Options,
): Promise<void> => {
  const parts = Object.keys(measures);
  const isWhole = parts.every((part) => chosen.includes(part));
  const kept: Array<object> = [];
  for (const part of chosen) kept.push(await measures[part]!(options));
  const name = isWhole ? topic : `${topic}-part-${chosen.join("-")}`;
  await keep(name, Object.assign({ options }, ...kept));
};
