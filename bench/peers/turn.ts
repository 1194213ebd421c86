/**
 * One contestant runs one workload. It counts once its effects are found: every result was right, every
 * step has run, and the peer has stored that as many executions have ended as were started.
 */
import { setTimeout as pause } from "node:timers/promises";
import { eventually } from "../../tests/fixtures/server.ts";
import type { Contestant, Running } from "./contestants.ts";
import type { Window } from "./load.ts";
import type { Ran } from "./peer_process.ts";
import { processorSeconds } from "./process_tree.ts";
import type { Workload } from "./workloads.ts";

export interface Taking {
  readonly contestant: Contestant;
  readonly running: Running;
  /** How many executions it has ended so far. */
  completed: number;
}

/** Seconds of a processor that were taken during a turn. */
export interface Processor {
  readonly process: number;
  readonly servers: number;
  /** By all who had no turn. */
  readonly others: number;
}

export interface Turn extends Ran {
  readonly elapsedSeconds: number;
  readonly processor: Processor;
  /** Steps that ran again although nothing had failed. */
  readonly repeated: number;
}

const storedDeadlineMs = 30_000;
/** Beyond this it does not end any more. */
const deadlineMs = 300_000;

const orDeadline = async <A>(running: Promise<A>): Promise<A> => {
  const over = new AbortController();
  const late = async () => {
    await pause(deadlineMs, undefined, { signal: over.signal });
    throw new Error(`it did not end within ${deadlineMs / 1_000} s`);
  };
  try {
    return await Promise.race([running, late()]);
  } finally {
    over.abort();
  }
};

const sum = (values: ReadonlyArray<number>): number =>
  values.reduce((total, each) => total + each, 0);

/** Waits until the peer has stored what was run, and fails if it has stored anything else. */
const findStored = async (taking: Taking, { ended }: Ran): Promise<void> => {
  const expected = taking.completed + ended;
  await eventually(
    `${expected} executions are stored as ended`,
    async () => {
      taking.completed = await taking.running.process.ask<number>({ what: "completed" });
      return taking.completed >= expected ? true : undefined;
    },
    storedDeadlineMs,
  );
  if (taking.completed > expected) {
    throw new Error(`${taking.completed} executions are stored as ended, and not ${expected}`);
  }
};

export const takeTurn = async (
  taking: Taking,
  among: ReadonlyArray<Taking>,
  workload: Workload,
  window: Window,
): Promise<Turn> => {
  const own = taking.running;
  const others = among.map(({ running }) => running).filter((running) => running !== own);
  const processes = [own.process.pid, ...own.servers];
  const all = [
    ...processes,
    ...others.flatMap(({ process, servers }) => [process.pid, ...servers]),
  ];

  const before = processorSeconds(all);
  const begun = performance.now();
  const ran = await orDeadline(own.process.ask<Ran>({ what: "run", workload, window }));
  const elapsedSeconds = (performance.now() - begun) / 1_000;
  const took = processorSeconds(all).map((each, i) => each - before[i]!);

  await findStored(taking, ran);
  const steps = workload.work.kind === "steps" ? workload.work.steps : 0;
  const repeated = ran.performed - ran.ended * steps;
  if (repeated < 0) throw new Error(`${-repeated} steps did not run`);
  const processor = {
    process: took[0]!,
    servers: sum(took.slice(1, processes.length)),
    others: sum(took.slice(processes.length)),
  };
  return { ...ran, elapsedSeconds, processor, repeated };
};
