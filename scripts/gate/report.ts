/**
 * What the gate prints: one line for each finished piece, the output of what failed, and at the end
 * the failures again and the totals. A check counts as one test. In CI a skipped test has failed,
 * since nobody is there to wonder why.
 */
import process from "node:process";
import type { Result } from "./test_file.ts";

const inCi = process.env["CI"] !== undefined && process.env["CI"] !== "false";
const results: Array<Result> = [];

const failuresOf = (result: Result): number => result.failed + (inCi ? result.skipped : 0);

const lastLines = (output: string, count = 200): string => {
  const lines = output.trimEnd().split("\n");
  return lines.length <= count ? lines.join("\n") : `[…]\n${lines.slice(-count).join("\n")}`;
};

export const announce = (part: string): void => console.log(`\n${part}`);

export const record = (result: Result): void => {
  results.push(result);
  const failed = failuresOf(result) > 0;
  const counts = [
    `${result.passed} passed`,
    ...(result.failed > 0 ? [`${result.failed} failed`] : []),
    ...(result.skipped > 0 ? [`${result.skipped} skipped`] : []),
  ];
  console.log(
    failed ? "FAIL" : "ok  ",
    `${result.seconds.toFixed(1)} s`.padStart(7),
    ` ${result.part}: ${result.name}  ${counts.join(", ")}`,
  );
  if (!failed) return;
  console.log(lastLines(result.output).replaceAll(/^/gm, "      | "));
  for (const problem of result.problems) console.log(`      ${problem}`);
};

/** Records a piece of work that either succeeds or fails as a whole, and returns what it made. */
export const attempt = async <A>(
  part: string,
  name: string,
  work: () => Promise<A>,
): Promise<A | undefined> => {
  const startedAt = performance.now();
  const result = { part, name, skipped: 0 };
  const seconds = () => (performance.now() - startedAt) / 1000;
  try {
    const made = await work();
    record({ ...result, passed: 1, failed: 0, problems: [], output: "", seconds: seconds() });
    return made;
  } catch (cause) {
    const output = cause instanceof Error ? cause.message : String(cause);
    record({ ...result, passed: 0, failed: 1, problems: [], output, seconds: seconds() });
    return undefined;
  }
};

/** Prints the totals, in the form that CI reads, and returns whether all is well. */
export const conclude = (): boolean => {
  const sum = (count: (result: Result) => number) =>
    results.reduce((total, result) => total + count(result), 0);
  const failures = results.filter((result) => failuresOf(result) > 0);
  if (failures.length > 0) console.log("\nFailed:");
  for (const { part, name } of failures) console.log(`  ${part}: ${name}`);
  const failed = sum(failuresOf);
  const skipped = inCi ? 0 : sum((result) => result.skipped);
  console.log(
    `\n${sum((result) => result.passed)} passed, ${failed} failed, ${skipped} skipped`,
  );
  return failed === 0 && results.length > 0;
};
