/**
 * What a process leaves open when it ends of its own will: told on standard error, since the
 * executions of a worker that was not closed wait until it is taken for dead. A process that is
 * killed tells nothing, and one that stays alive because something is open is not told either.
 */
import { writeSync } from "node:fs";
import process from "node:process";

const standardError = 2;
const open = new Set<string>();
let isWatched = false;

const tell = (): void => {
  if (open.size === 0) return;
  const workers = [...open].join(", ");
  try {
    writeSync(
      standardError,
      `weir: this process ends and has not closed its worker ${workers}. What it runs has to wait ` +
        "for its lease to lapse. Write `await using worker = await weir.worker(…)`, or " +
        "`await worker.close()` before the end.\n",
    );
  } catch {
    // Nobody listens.
  }
};

/** A worker is open until the result is called. */
export const opened = (worker: string): () => void => {
  if (!isWatched) process.on("exit", tell);
  isWatched = true;
  open.add(worker);
  return () => open.delete(worker);
};
