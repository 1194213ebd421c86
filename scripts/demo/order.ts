/** The actor of the demo: an order that is charged once, whatever dies meanwhile. */
import process from "node:process";
import { actor, signal } from "@weir/weir";

export const approval = signal<{ by: string }>("approval");

/** Lets a person watch; a real step would talk to somebody. */
const takesAWhile = () => new Promise((resolve) => setTimeout(resolve, 1_000));

const say = (line: string) => console.log(`      worker ${process.pid}: ${line}`);

export const order = actor("order", async (ctx, input: { cents: number }) => {
  const stock = await ctx.run("reserve", async () => {
    say("reserving stock …");
    await takesAWhile();
    return `stock reserved by ${process.pid}`;
  });
  const receipt = await ctx.run("charge", async ({ idempotencyKey }) => {
    say(`charging ${input.cents} cents under ${idempotencyKey} …`);
    await takesAWhile();
    return `charged by ${process.pid}`;
  });
  await ctx.sleep("cool-off", "2 seconds");
  const approved = await ctx.wait(approval, { timeout: "7 days" });
  const parcel = await ctx.run("ship", () => `shipped by ${process.pid}`);
  return { stock, receipt, approvedBy: approved?.by, parcel };
});
