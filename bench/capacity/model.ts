/**
 * What executions cost, and what a namespace of so many a second needs. Everything follows from a few
 * measured costs and from three limits: a process of ours has one thread, a machine has so many
 * processors, and a power-safe stream makes one commit at a time. `docs/capacity.md` says why.
 */

/** Milliseconds of a processor for an execution: without steps, and for each step. */
export interface Cost {
  readonly base: number;
  readonly perStep: number;
}

/** The straight line through points that lies closest to them. */
export const fit = (points: ReadonlyArray<readonly [steps: number, cost: number]>): Cost => {
  const mean = (of: (point: readonly [number, number]) => number) =>
    points.reduce((sum, point) => sum + of(point), 0) / points.length;
  const [x, y] = [mean(([steps]) => steps), mean(([, cost]) => cost)];
  const perStep = mean(([steps, cost]) => (steps - x) * (cost - y)) /
    mean(([steps]) => (steps - x) ** 2);
  return { base: y - perStep * x, perStep };
};

export const costOf = ({ base, perStep }: Cost, steps: number): number => base + perStep * steps;

/** Records of an execution: start, claim, end, release and removal, and one for each step. */
export const recordsOf = (steps: number): number => steps + 5;
/** Appends of an execution that must wait for one another: start, claim, steps and end. */
export const appendsInRow = (steps: number): number => steps + 3;

/** Milliseconds of a commit that several share, by itself and for each of its records. */
export interface Commit {
  readonly base: number;
  readonly perRecord: number;
}

export interface Costs {
  /** Of client and worker together, and of the server. */
  readonly ours: Cost;
  readonly servers: Cost;
  /** None, where no commit waits for the disk. */
  readonly commit: Commit | undefined;
}

export interface Setting {
  readonly steps: number;
  readonly inFlight: number;
  /** Processes of ours that share the work. */
  readonly processes: number;
  /** Processors that these and the servers share. */
  readonly processors: number;
}

/** Executions a second, once the first limit is reached. */
export const rateOf = (
  { ours, servers, commit }: Costs,
  { steps, inFlight, processes, processors }: Setting,
): number => {
  const own = costOf(ours, steps);
  const byThreads = processes / own * 1_000;
  const byProcessors = processors / (own + costOf(servers, steps)) * 1_000;
  if (commit === undefined) return Math.min(byThreads, byProcessors);
  // What is in flight goes to the disk together, and is gone on with together.
  const atOnce = inFlight / appendsInRow(steps);
  const cycleMs = commit.base + commit.perRecord * atOnce * recordsOf(steps) +
    atOnce * own / processes;
  return Math.min(byProcessors, atOnce / cycleMs * 1_000);
};

/** How much of a processor, or of a stream's limit, is planned for: the rest is for peaks. */
export const planned = 0.6;

export interface Needs {
  readonly processes: number;
  readonly serverProcessors: number;
  readonly recordsPerSecond: number;
  readonly shards: number;
  readonly gibPerDay: number;
}

/** What so many executions a second need. */
export const needsOf = (
  { ours, servers, copies, streamLimit, bytesPerRecord }: {
    readonly ours: Cost;
    readonly servers: Cost;
    /** How many times the servers' work is done, all copies together. */
    readonly copies: number;
    /** Appends a second that one stream takes. */
    readonly streamLimit: number;
    readonly bytesPerRecord: number;
  },
  { perSecond, steps }: { readonly perSecond: number; readonly steps: number },
): Needs => {
  const recordsPerSecond = perSecond * recordsOf(steps);
  return {
    processes: Math.ceil(perSecond * costOf(ours, steps) / 1_000 / planned),
    serverProcessors: perSecond * costOf(servers, steps) * copies / 1_000 / planned,
    recordsPerSecond,
    shards: Math.ceil(recordsPerSecond / streamLimit / planned),
    gibPerDay: recordsPerSecond * bytesPerRecord * 86_400 / 2 ** 30,
  };
};
