/** The processor time of processes and of all that they have started, as Linux counts it. */
import { readdirSync, readFileSync } from "node:fs";

const ticksPerSecond = 100;

interface Counted {
  readonly parent: number;
  /** Its own and that of its children which have ended. */
  readonly ticks: number;
}

const count = (pid: number): Counted | undefined => {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ").map(Number);
    return { parent: fields[1]!, ticks: fields.slice(11, 15).reduce((sum, each) => sum + each) };
  } catch {
    return undefined; // It has ended meanwhile.
  }
};

/** Of each process with its descendants, the seconds that they had a processor so far. */
export const processorSeconds = (roots: ReadonlyArray<number>): ReadonlyArray<number> => {
  const all = new Map<number, Counted>();
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    const counted = pid > 0 ? count(pid) : undefined;
    if (counted !== undefined) all.set(pid, counted);
  }
  const sums = new Map(roots.map((root) => [root, 0]));
  for (const [pid, { ticks }] of all) {
    let at: number | undefined = pid;
    while (at !== undefined && !sums.has(at)) at = all.get(at)?.parent;
    if (at !== undefined) sums.set(at, sums.get(at)! + ticks / ticksPerSecond);
  }
  return roots.map((root) => sums.get(root)!);
};
