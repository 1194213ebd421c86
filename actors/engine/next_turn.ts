/**
 * The next turn of the event loop, shared by all who wait for it: what many executions do in one turn
 * leaves the process in one write. Whoever is called lets microtasks run before its next turn comes.
 */
import { setImmediate } from "node:timers";
import * as Scheduler from "effect/Scheduler";

let waiting: Array<() => void> = [];
let taken = 0;

/** How many turns were taken so far: who replays takes one for each result, and waits for nothing. */
export const turnsTaken = (): number => taken;

const run = (): void => {
  const due = waiting;
  taken++;
  waiting = [];
  let next = 0;
  try {
    while (next < due.length) due[next++]!();
  } finally {
    // One that throws takes nobody else along.
    for (const each of due.slice(next)) nextTurn(each);
  }
};

/** Calls back in the next turn of the event loop; the result takes that back. */
export const nextTurn = (callback: () => void): () => void => {
  if (waiting.length === 0) setImmediate(run);
  waiting.push(callback);
  return () => {
    waiting = waiting.filter((each) => each !== callback);
  };
};

/** Takes the next turn at once, for who drives everything himself; says whether anybody waited for it. */
export const takeTurn = (): boolean => {
  if (waiting.length === 0) return false;
  run();
  return true;
};

/** Has fibers of many executions go on in one turn, and not each in its own. */
export const scheduler: Scheduler.Scheduler = new Scheduler.MixedScheduler("async", nextTurn);
