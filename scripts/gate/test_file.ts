/**
 * Runs one test file in one process, with a scratch folder and an outer time limit of its own, and
 * counts its tests. A file fails when a test fails or is cancelled, when it ends badly without
 * saying why, when it runs no test, overstays its limit, or leaves a process behind.
 */
import { randomUUID } from "node:crypto";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { ending, run } from "./command.ts";
import { type Counts, countTests } from "./junit.ts";
import { endLeftovers, markerName } from "./leftovers.ts";

export interface TestFile {
  readonly part: string;
  readonly name: string;
  readonly program: string;
  readonly args: (report: string) => ReadonlyArray<string>;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly limitSeconds: number;
}

export interface Result extends Counts {
  readonly part: string;
  readonly name: string;
  readonly seconds: number;
  readonly problems: ReadonlyArray<string>;
  readonly output: string;
}

/** Who is just ending may write into a folder while it is being emptied. */
const remove = async (folder: string): Promise<void> => {
  for (let tries = 1;; tries++) {
    try {
      return await rm(folder, { recursive: true, force: true });
    } catch (error) {
      if (tries === 20) throw error;
      await pause(250);
    }
  }
};

export const runTestFile = async (file: TestFile): Promise<Result> => {
  const scratch = await mkdtemp(join(tmpdir(), "weir-test-"));
  const report = join(scratch, "junit.xml");
  const marker = randomUUID();
  const finished = await run(file.program, file.args(report), {
    ...(file.cwd === undefined ? {} : { cwd: file.cwd }),
    // An embedded server that is told no store must not meet the user's own.
    env: {
      ...file.env,
      TMPDIR: scratch,
      XDG_DATA_HOME: join(scratch, "data"),
      [markerName]: marker,
    },
    limitSeconds: file.limitSeconds,
  });
  const counts = countTests(await readFile(report, "utf8").catch(() => ""));
  const leftovers = await endLeftovers(marker);
  await remove(scratch);

  const problems: Array<string> = [];
  if (finished.timedOut) {
    problems.push(`it did not end within ${file.limitSeconds} s`);
  } else {
    if (finished.exitCode !== 0 && counts.failed === 0) {
      problems.push(`it ${ending(finished)} though no test failed`);
    }
    if (finished.exitCode === 0 && counts.passed + counts.failed + counts.skipped === 0) {
      problems.push("it ran no test");
    }
    if (leftovers.length > 0) problems.push(`it left processes: ${leftovers.join("; ")}`);
  }
  return {
    part: file.part,
    name: file.name,
    passed: counts.passed,
    failed: counts.failed + problems.length,
    skipped: counts.skipped,
    seconds: finished.seconds,
    problems,
    output: finished.output,
  };
};
