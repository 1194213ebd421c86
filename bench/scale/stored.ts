/** The same beside so many executions that have ended, each on a server of its own. */
import { say } from "../report.ts";
import { storeExecutions, tenant } from "../stored_executions.ts";
import { type Contestant, type Seen, takeTurns, type Window } from "./contest.ts";
import { openFilled } from "./filled.ts";

export interface Stored {
  readonly count: number;
  /** Of the server, before anything was measured. */
  readonly serverMiB: number;
  readonly diskBytes: number;
}

const nameOf = (count: number): string => `beside ${count.toLocaleString("en")}`;

export const measureStored = async (
  counts: ReadonlyArray<number>,
  window: Window,
): Promise<{ readonly seen: ReadonlyArray<Seen>; readonly stored: ReadonlyArray<Stored> }> => {
  const contestants: Array<Contestant> = [];
  const stored: Array<Stored> = [];
  for (const count of counts) {
    const contestant = await openFilled({
      name: nameOf(count),
      fill: storeExecutions(count),
      last: { tenant, status: "completed", name: `o-${count - 1}` },
    });
    const { diskBytes, serverMiB } = contestant;
    stored.push({ count, serverMiB: serverMiB(), diskBytes });
    say(`${count} are stored`);
    contestants.push(contestant);
  }
  const seen = await takeTurns(contestants, [1, 64], window);
  for (const { stop } of contestants) await stop();
  return { seen, stored };
};
