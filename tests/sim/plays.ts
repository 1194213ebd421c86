/** Simulated programs on the real engine, undisturbed: their outcomes are known beforehand. */
import * as Effect from "effect/Effect";
import * as Post from "../../actors/engine/post.ts";
import { make as makeWorker } from "../../actors/engine/worker.ts";
import { ExecutionId, WorkerInstanceId } from "../../schema/ids.ts";
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

export interface PlayOptions {
  /** So long do sleeps take, since real time passes on a server. */
  readonly longestSleepMs?: number;
  /** Whether nothing fails as a whole: how often it has, the engine does not tell its code. */
  readonly isHardy?: boolean;
}

const adapted = (
  { groups, failingAttempts }: Program,
  options: Required<PlayOptions>,
): Program => {
  const { longestSleepMs, isHardy } = options;
  const adapt = (operation: Operation): Operation => {
    switch (operation.kind) {
      case "sleep":
        return { ...operation, ms: 1 + operation.ms % longestSleepMs };
      case "call":
      case "spawn":
        return { ...operation, program: adapted(operation.program, options) };
      case "end": {
        const { of } = operation;
        return { ...operation, of: { ...of, program: adapted(of.program, options) } };
      }
      default:
        return operation;
    }
  };
  return {
    groups: groups.map((group) => group.map(adapt)),
    failingAttempts: isHardy ? 0 : failingAttempts,
  };
};

export const anyPlay = (
  seed: number,
  count: number,
  { longestSleepMs = 30, isHardy = false }: PlayOptions = {},
): Play => {
  const choices = Choices.random("play", seed);
  const options = { longestSleepMs, isHardy };
  const shared = anyProgram(choices, false);
  const programs: Record<string, Program> = { shared: adapted(shared, options) };
  const letters: Record<string, ReadonlyArray<Letter>> = {};
  for (let i = 0; i < count; i++) {
    const program = anyProgram(choices, false, shared);
    programs[i] = adapted(program, options);
    letters[i] = lettersTo(program, false, choices);
  }
  return { programs, letters };
};

export interface ServeOptions {
  readonly identity?: string;
  /** How often executions have failed before it came. */
  readonly failedBefore?: ReadonlyMap<ExecutionId, number>;
  readonly residentGrace?: number;
}

/** A worker that runs them. */
export const serve = (
  { programs }: Play,
  { identity = "worker", failedBefore = new Map(), residentGrace = 5_000 }: ServeOptions = {},
) =>
  Effect.suspend(() => {
    const byName = new Map(Object.entries(programs));
    const failures = new Map(failedBefore);
    const stage = {
      programOf: (execution: ExecutionId) => programOf(execution, byName),
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
      residentGrace,
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
