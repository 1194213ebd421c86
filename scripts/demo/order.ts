/** The actor of the demo: an order that is charged once, whatever dies meanwhile. */
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { actor, signal } from "@weir/weir";

export const approval = signal<{ by: string }>("approval");

export const order = actor("order", async (ctx, { cents }: { cents: number }) => {
  /** Stands for a call to somebody; the worker tells the demo that it has begun. */
  const work = (step: string, millis: number) =>
    ctx.run(step, async ({ idempotencyKey }) => {
      console.log(JSON.stringify({ execution: ctx.executionId, step, idempotencyKey }));
      await sleep(millis);
      return process.env["DEMO_WORKER"] ?? "somebody";
    });

  const pickedBy = await work("pick", 1_200);
  // The first time there is time enough to be killed in.
  const chargedBy = await work("charge", ctx.attempt === 0 ? 6_000 : 2_000);
  await ctx.tag("order.charged", `${cents}`);
  const { by: approvedBy } = await ctx.wait(approval);
  const shippedBy = await work("ship", 1_200);
  return { pickedBy, chargedBy, approvedBy, shippedBy };
});
