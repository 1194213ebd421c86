/** Weir through its promise door, with its own defaults. */
import { actor, connect, signal } from "@weir/weir";
import type { Milestones, Open } from "../peer.ts";

interface Settings {
  readonly servers: string;
  readonly durability: "bounded" | "power-safe";
}

export const open: Open<Settings> = async (settings) => {
  let performed = 0;
  let milestones: Milestones;

  const steps = actor("steps", async (context, { count }: { count: number; ballast: string }) => {
    let sum = 0;
    for (let i = 1; i <= count; i++) {
      sum += await context.run(`step-${i}`, () => {
        performed++;
        return i;
      });
    }
    return sum;
  });
  const go = signal<number>("go");
  const waiter = actor("waiter", async (context) => {
    milestones.parked();
    const value = await context.wait(go);
    milestones.resumed();
    return value;
  });

  const weir = await connect({ ...settings, namespace: "peers" });
  const worker = await weir.worker([steps, waiter]);

  let cursor = "earliest";
  let ended = 0;
  return {
    steps: async (count, ballast) => await (await weir.start(steps, { count, ballast })).result(),
    wait: async (given) => {
      milestones = given;
      const run = await weir.start(waiter, undefined);
      return { send: () => run.signal(go, 1), result: run.result() };
    },
    performed: () => performed,
    completed: async () => {
      for await (const event of weir.completions({ after: cursor, ticks: "200 millis" })) {
        cursor = event.cursor;
        if ("type" in event) break;
        ended++;
      }
      return ended;
    },
    close: async () => {
      await worker.close();
      await weir.close();
    },
  };
};
