/**
 * One of many is enough, and the rest is cancelled: an execution spawns so many, and ends when the
 * first of them has, which cancels the others. From the message that satisfies the one until the last
 * of the others has ended as cancelled, of which each is looked at.
 */
import { actor, connect } from "@weir/weir";
import { eventually, scratchServer } from "../../tests/fixtures/server.ts";
import { go, waiter } from "../engine/actors.ts";
import { say } from "../report.ts";

const first = actor("first", async (context, count: number) => {
  const children = await Promise.all(
    Array.from(
      { length: count },
      (_, n) =>
        context.spawn(waiter, undefined, { name: `${n}`, id: `${context.executionId}-${n}` }),
    ),
  );
  return await Promise.race(children.map((child) => child.result()));
});

export interface Quorum {
  readonly count: number;
  /** Milliseconds of each round. */
  readonly cancelledMs: Array<number>;
}

export const measureQuorum = async (
  { counts, rounds }: { readonly counts: ReadonlyArray<number>; readonly rounds: number },
): Promise<ReadonlyArray<Quorum>> => {
  const server = await scratchServer({ durability: "bounded" });
  const weir = await connect({ servers: server.url, durability: "bounded" });
  const worker = await weir.worker([first, waiter], { concurrency: 10_000 });
  const seen = counts.map((count): Quorum => ({ count, cancelledMs: [] }));
  for (const { count, cancelledMs } of seen) {
    for (let round = 0; round <= rounds; round++) {
      const run = await weir.start(first, count, { id: `q-${count}-${round}` });
      const children = Array.from(
        { length: count },
        (_, n) => weir.get(waiter, `${run.id}-${n}`),
      );
      // One after another: to look at all of them at once would take the time that they need.
      for (const child of children) {
        await eventually("it waits", async () => {
          const { reason } = await child.describe().catch(() => ({ reason: undefined }));
          return reason === "signal" || undefined;
        }, 120_000);
      }
      const [one, ...others] = children;
      const outcomes = Promise.all(others.map((other) => other.outcome()));
      const begun = performance.now();
      await one!.signal(go, 1);
      const cancelled = (await outcomes).filter(({ type }) => type === "cancelled").length;
      const tookMs = performance.now() - begun;
      if (cancelled !== count - 1 || await run.result() !== 1) {
        throw new Error(`${cancelled} of ${count - 1} were cancelled`);
      }
      say(`quorum of ${count}: round ${round} of ${rounds}`);
      if (round > 0) cancelledMs.push(tookMs); // The first is a warm-up.
    }
  }
  await worker.close();
  await weir.close();
  await server.stop();
  return seen;
};
