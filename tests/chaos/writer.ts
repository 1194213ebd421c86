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
  let dying = false;
  const dieAt = (moment: Point["moment"]) => (count: number): void => {
    if (end === undefined || dying || moment !== end.moment || count < end.count) return;
    dying = true;
    void (async () => {
      for (let turn = 0; turn < end.turns; turn++) await setImmediate();
      process.kill(process.pid, "SIGKILL");
    })();
  };
  const client = openClient({ servers: url, durability });
  await client.runPromise(work({
    appends,
    takeOver,
    report: tell,
    // Another life may have written this far already.
    resumed: (count) => end !== undefined && dieAt(end.moment)(count),
    handed: dieAt("handed"),
    acked: dieAt("acked"),
  }));
  await client.dispose();
};

await live(JSON.parse(process.argv[2]!) as Life);
