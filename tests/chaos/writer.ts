/**
 * A process that writes the workload and kills itself, as nothing in it can see coming, at the point
 * that its argument names. It tells the outcome of each call in one line of JSON, which has left the
 * process before the chain goes on.
 */
import { writeSync } from "node:fs";
import process from "node:process";
import { setImmediate } from "node:timers/promises";
import type { Durability } from "../../streams/server.ts";
import { openClient } from "../fixtures/log_client.ts";
import type { Report } from "./ledger.ts";
import type { Point } from "./seed.ts";
import { type TakeOver, work } from "./workload.ts";

/** One life of the writer. */
export interface Life {
  readonly url: string;
  readonly durability: Durability;
  readonly appends: number;
  readonly takeOver: TakeOver;
  /** Where it ends; left out, when all is written. */
  readonly end?: Point;
}

const standardOutput = 1;
const tell = (report: Report) => void writeSync(standardOutput, `${JSON.stringify(report)}\n`);

const live = async ({ url, durability, appends, takeOver, end }: Life): Promise<void> => {
  let isDying = false;
  const die = async ({ moment, turns }: Point) => {
    isDying = true;
    for (let turn = 0; turn < turns; turn++) await setImmediate();
    // Time for the server to store what it was sent, and none for us to learn of it.
    if (moment === "landed") Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10);
    process.kill(process.pid, "SIGKILL");
  };
  const reached = (isAcked: boolean) => (count: number): void => {
    if (end === undefined || isDying || count < end.count) return;
    if (isAcked === (end.moment === "acked")) void die(end);
  };
  const client = openClient({ servers: url, durability });
  await client.runPromise(work({
    appends,
    takeOver,
    report: tell,
    // Another life may have written this far already.
    resumed: (count) => reached(end?.moment === "acked")(count),
    handed: reached(false),
    acked: reached(true),
  }));
  await client.dispose();
};

await live(JSON.parse(process.argv[2]!) as Life);
