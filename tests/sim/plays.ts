/** Simulated programs on the real engine, undisturbed: their outcomes are known beforehand. */
import * as Effect from "effect/Effect";
import * as Post from "../../actors/engine/post.ts";
import { make as makeWorker } from "../../actors/engine/worker.ts";
import { ExecutionId, executionIdentity, WorkerInstanceId } from "../../schema/ids.ts";
import { Log } from "../../streams/log.ts";
import { actorCode } from "./actor_code.ts";
import { Choices } from "./choices.ts";
import { type Letter, lettersTo } from "./letters.ts";
import { anyProgram, type Operation, type Program, programOf } from "./programs.ts";
import { tenant } from "./world.ts";

/** Programs by the names of their executions, and what clients send these. */
export interface Play {
  readonly programs: Readonly<Record<string, Program>>;
  readonly letters: Readonly<Record<string, ReadonlyArray<Letter>>>;
}

/** Real time passes on a server. */
const brief = (operation: Operation): Operation =>
  operation.kind === "sleep"
    ? { ...operation, ms: 1 + operation.ms % 30 }
    : operation.kind === "call" || operation.kind === "spawn"
    ? { ...operation, program: briefly(operation.program) }
    : operation;

const briefly = (program: Program): Program => ({
  ...program,
  groups: program.groups.map((group) => group.map(brief)),
});

export const anyPlay = (seed: number, count: number): Play => {
  const choices = Choices.random("play", seed);
  const shared = briefly(anyProgram(choices, false));
  const programs: Record<string, Program> = { shared };
  const letters: Record<string, ReadonlyArray<Letter>> = {};
  for (let i = 0; i < count; i++) {
    const program = programs[i] = briefly(anyProgram(choices, false, shared));
    letters[i] = lettersTo(program, false, choices);
  }
  return { programs, letters };
};

/** A worker that runs them, and what it must know of how often they have failed before it came. */
export const serve = (
  { programs }: Play,
  identity = "worker",
  failedBefore: ReadonlyMap<ExecutionId, number> = new Map(),
) =>
  Effect.suspend(() => {
    const byName = new Map(Object.entries(programs));
    const failures = new Map(failedBefore);
    const stage = {
      programOf: (execution: ExecutionId) => programOf(executionIdentity(execution), byName),
      /** Asked once by each attempt that comes to its end. */
      failuresOf: (execution: ExecutionId) => {
        const before = failures.get(execution) ?? 0;
        failures.set(execution, before + 1);
        return before;
      },
    };
    return makeWorker({
      actors: [actorCode("root", stage), actorCode("child", stage)],
      identity: WorkerInstanceId.make(identity),
      keep: { default: "forever" },
    });
  });

/** Starts them all, and sends what clients have not sent yet. */
export const send = (
  { letters }: Play,
  sentTo: (execution: ExecutionId) => number = () => 0,
) =>
  Effect.gen(function* () {
    const post = Post.make(yield* Log);
    yield* Effect.forEach(Object.entries(letters), ([name, letters]) => {
      const execution = ExecutionId.make(`root/${name}`);
      const to = post.addressOf(execution, tenant);
      return Effect.andThen(
        post.start(to, { kind: "start", seed: "seed" }),
        Effect.forEach(letters.slice(sentTo(execution)), (letter) => post.send(to, letter), {
          discard: true,
        }),
      );
    }, { concurrency: "unbounded", discard: true });
  });
