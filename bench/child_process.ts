/**
 * A part of a benchmark in a process of its own, whose processor time is its own: it is asked and
 * answers line by line, in JSON. It ends when its parent closes it or ends.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export interface Child<Question> {
  readonly pid: number;
  readonly ask: <Answer>(question: Question) => Promise<Answer>;
  readonly close: () => Promise<void>;
}

const living = new Set<ChildProcess>();
process.on("exit", () => living.forEach((each) => each.kill("SIGKILL")));

const thisRuntime: ReadonlyArray<string> = [process.execPath, "run", "-A", "--no-check"];

/** Starts a module that answers, in this runtime or another; `script` is its `import.meta.url`. */
export const startChild = async <Question>(
  script: string,
  options: unknown,
  [program, ...args]: ReadonlyArray<string> = thisRuntime,
): Promise<Child<Question>> => {
  const running = spawn(
    program!,
    [...args, fileURLToPath(script), JSON.stringify(options)],
    { stdio: ["pipe", "pipe", "inherit"] },
  );
  living.add(running);
  running.once("exit", () => living.delete(running));
  const lines = createInterface({ input: running.stdout })[Symbol.asyncIterator]();
  const said = async () => {
    const { done, value } = await lines.next();
    if (done === true) throw new Error(`${script} has ended`);
    return JSON.parse(value);
  };
  await said();
  return {
    pid: running.pid!,
    ask: async (question) => {
      running.stdin.write(`${JSON.stringify(question)}\n`);
      return await said();
    },
    close: async () => {
      const ended = once(running, "exit");
      running.stdin.end();
      await ended;
    },
  };
};

/** What such a module does when it was started as a process: answers until nobody asks any more. */
export const answering = async <Options, Question>(
  script: string,
  open: (options: Options) => Promise<{
    readonly answer: (question: Question) => Promise<unknown>;
    readonly close: () => Promise<void>;
  }>,
): Promise<void> => {
  if (process.argv[1] !== fileURLToPath(script)) return;
  const { answer, close } = await open(JSON.parse(process.argv[2]!) as Options);
  const say = (value: unknown) => process.stdout.write(`${JSON.stringify(value ?? null)}\n`);
  say("ready");
  for await (const line of createInterface({ input: process.stdin })) {
    say(await answer(JSON.parse(line) as Question));
  }
  await close();
  process.exit(0);
};
