/**
 * Actors as data: groups of operations, each group awaited as a whole before the next begins. What an
 * actor does next follows from its state alone, and what it must give in the end is known before.
 */
import { endOf, type ExecutionState, operation, type Result } from "../../actors/core/state.ts";
import { ExecutionId } from "../../schema/ids.ts";
import type { OutcomeRecord } from "../../schema/outcome_record.ts";
import type { Choices } from "./choices.ts";

export type Operation =
  & { readonly key: string }
  & (
    /** Fails so often, and then succeeds, or fails for good and is caught. */
    | { readonly kind: "run"; readonly failures: number; readonly isHopeless: boolean }
    | { readonly kind: "sleep"; readonly ms: number }
    | { readonly kind: "wait"; readonly signal: string; readonly timeoutMs?: number }
    | {
      readonly kind: "call" | "spawn";
      readonly program: Program;
      readonly isLeftAlone: boolean;
      /** Whether others may call the same child. */
      readonly isShared: boolean;
    }
    /** The end of what was spawned under the key before. */
    | { readonly kind: "end"; readonly of: Operation & { readonly kind: "spawn" } }
    | { readonly kind: "cell" | "tag" | "note" }
    /** Goes on with what comes first; only the engine runs these. */
    | { readonly kind: "race"; readonly among: ReadonlyArray<Operation> }
  );

export interface Program {
  readonly groups: ReadonlyArray<ReadonlyArray<Operation>>;
  /** Attempts that fail before one is let through. */
  readonly failingAttempts: number;
}

/** What the code of an actor does next. */
export type Turn =
  | { readonly type: "perform"; readonly pending: ReadonlyArray<Operation> }
  | { readonly type: "fail" }
  | { readonly type: "end"; readonly outcome: OutcomeRecord };

/** The child that everybody calls who shares one. */
export const sharedChild = ExecutionId.make("child/shared");

export const valueOf = (key: string): string => `value of ${key}`;
const undo: Operation = { kind: "run", key: "undo", failures: 0, isHopeless: false };

const shownResult = (result: Result): string => {
  switch (result.type) {
    case "value":
      return JSON.stringify(result.value ?? null);
    case "failure":
      return `failed: ${result.failure.name}`;
    case "ended": {
      const { outcome } = result;
      return outcome.type === "success" ? `child: ${JSON.stringify(outcome.value)}` : outcome.type;
    }
    default:
      return result.type;
  }
};

export const next = ({ groups, failingAttempts }: Program, state: ExecutionState): Turn => {
  const results: Array<string> = [];
  for (const group of groups) {
    const settled = group.map(({ key }) => operation(state, key)?.settled?.result);
    const isCancelled = settled.some((result) => result?.type === "cancelled");
    if (isCancelled || (state.cancel !== undefined && settled.includes(undefined))) {
      return operation(state, undo.key)?.settled === undefined
        ? { type: "perform", pending: [undo] }
        : { type: "end", outcome: { type: "cancelled" } };
    }
    const pending = group.filter((_, i) => settled[i] === undefined);
    if (pending.length > 0) return { type: "perform", pending };
    for (const result of settled) results.push(shownResult(result!));
  }
  return state.failures < failingAttempts && state.cancel === undefined
    ? { type: "fail" }
    : { type: "end", outcome: { type: "success", value: results } };
};

/** The signals that the waits of a program take, in their order. */
export const signalsFor = ({ groups }: Program): ReadonlyArray<string> =>
  groups.flat().flatMap((operation) => operation.kind === "race" ? operation.among : [operation])
    .flatMap((operation) => operation.kind === "wait" ? [operation.signal] : []);

/** What an undisturbed run gives: the waits for a name take its signals in the order of sending. */
export const expected = (program: Program): OutcomeRecord => {
  const taken = new Map<string, number>();
  const value = program.groups.flat().map((operation): string => {
    switch (operation.kind) {
      case "run":
        return operation.isHopeless ? "failed: Hopeless" : JSON.stringify(valueOf(operation.key));
      case "wait": {
        const count = taken.get(operation.signal) ?? 0;
        taken.set(operation.signal, count + 1);
        return JSON.stringify(`${operation.signal} ${count}`);
      }
      case "call":
        return childResult(operation.program);
      case "end":
        return childResult(operation.of.program);
      case "note":
        return JSON.stringify(valueOf(operation.key));
      default:
        return "null";
    }
  });
  return { type: "success", value };
};

/** Whether a run that anything could happen to may give this. */
export const isPossible = (program: Program, results: ReadonlyArray<string>): boolean => {
  const undisturbed = expected(program);
  const usual = undisturbed.type === "success" ? undisturbed.value as ReadonlyArray<string> : [];
  return results.length === usual.length &&
    program.groups.flat().every((operation, i) =>
      results[i] === usual[i] || isPossibleOf(operation, results[i]!)
    );
};

const isPossibleOf = (operation: Operation, result: string): boolean => {
  switch (operation.kind) {
    case "race":
      return operation.among.some((each) => isPossibleOf(each, result));
    case "run":
      return !operation.isHopeless && result === JSON.stringify(valueOf(operation.key));
    case "sleep":
      return result === "null";
    case "wait":
      return result.startsWith(`"${operation.signal} `) ||
        (result === "timeout" && operation.timeoutMs !== undefined);
    case "call":
    case "spawn":
      // Another may have cancelled a child that is its own, perhaps as an attempt of it failed.
      return operation.isShared &&
        (result === "cancelled" ||
          (result === "failure" && operation.program.failingAttempts > 0));
    case "end":
      return isPossibleOf(operation.of, result);
    default:
      return false;
  }
};

const childResult = (program: Program): string => {
  const outcome = expected(program);
  return `child: ${JSON.stringify(outcome.type === "success" ? outcome.value : undefined)}`;
};

/** The ends of what a program spawns. */
export const spawnedBy = ({ groups }: Program): ReadonlyArray<Operation> =>
  groups.flat().filter(({ kind }) => kind === "end");

/** Ids of children without what differs between two runs, as the first release named them. */
export const plainly = (text: string): string =>
  text.replaceAll(/(?:child\/)+root\//g, "child/").replaceAll(/\.\d+\//g, "/");

/** What an execution runs, which its id says: the names of those who called it, down to its own. */
export const programOf = (
  execution: string,
  roots: ReadonlyMap<string, Program>,
): Program => {
  const [, root, ...keys] = plainly(execution).split("/");
  let program = roots.get(root!)!;
  for (const numbered of keys) {
    const key = numbered.replace(/~\d+$/, "");
    const called = program.groups.flat().find((operation) => operation.key === key);
    if (called?.kind !== "call" && called?.kind !== "spawn") {
      throw new Error(`who is ${execution}?`);
    }
    program = called.program;
  }
  return program;
};

const kinds = ["run", "run", "wait", "sleep", "call", "spawn", "note", "cell", "tag"] as const;
const childKinds = ["run", "run", "sleep", "note"] as const;

const race = (key: string, choices: Choices): Operation => ({
  kind: "race",
  key,
  among: [
    { kind: "wait", key: `${key} wait`, signal: choices.of(["go", "stop"]) },
    choices.oneIn(2)
      ? { kind: "run", key: `${key} run`, failures: 0, isHopeless: false }
      : { kind: "sleep", key: `${key} sleep`, ms: 1 + choices.below(20_000) },
  ],
});

/**
 * A program of a few groups; one that is racy has waits that may come to nothing, and races, if its
 * runner knows them. Without a child to share it is one that calls nobody.
 */
export const anyProgram = (
  choices: Choices,
  isRacy: boolean,
  shared?: Program,
  hasRaces = false,
): Program => {
  const isChild = shared === undefined;
  const groups: Array<Array<Operation>> = [];
  const spawned: Array<Operation> = [];
  const groupCount = 1 + choices.below(isChild ? 2 : 3);
  for (let g = 0; g < groupCount; g++) {
    const group: Array<Operation> = [];
    const size = 1 + choices.below(isChild ? 2 : 3);
    for (let i = 0; i < size; i++) {
      const key = `${g}.${i}`;
      if (isRacy && hasRaces && choices.oneIn(8)) {
        group.push(race(key, choices));
        continue;
      }
      const kind = choices.of(isChild ? childKinds : kinds);
      switch (kind) {
        case "run":
          group.push({
            kind,
            key,
            failures: choices.oneIn(3) ? 1 + choices.below(2) : 0,
            isHopeless: choices.oneIn(6),
          });
          break;
        case "sleep":
          group.push({ kind, key, ms: 1 + choices.below(30_000) });
          break;
        case "wait":
          group.push({
            kind,
            key,
            signal: choices.of(["go", "stop"]),
            ...(isRacy && choices.oneIn(2) ? { timeoutMs: 1 + choices.below(20_000) } : {}),
          });
          break;
        case "call":
        case "spawn": {
          const isShared = shared !== undefined && choices.oneIn(4);
          const program = isShared ? shared : anyProgram(choices, isRacy);
          const child = { kind, key, program, isLeftAlone: choices.oneIn(4), isShared };
          group.push(child);
          if (child.kind === "spawn") {
            spawned.push({ kind: "end", key: endOf(key), of: { ...child, kind: "spawn" } });
          }
          break;
        }
        default:
          group.push({ kind, key });
      }
    }
    groups.push(group);
  }
  if (spawned.length > 0) groups.push(spawned);
  return { groups, failingAttempts: choices.oneIn(4) ? 1 + choices.below(2) : 0 };
};
