/** An order that survives: run it, kill it in the middle, run it again. */
import process from "node:process";
import { actor, connect } from "@weir/weir";

interface Order {
  readonly item: string;
  readonly cents: number;
}

const order = actor("order", async (ctx, { item, cents }: Order) => {
  const receipt = await ctx.run("charge", ({ idempotencyKey }) => {
    console.log(`charging ${cents} cents, under the key ${idempotencyKey}`);
    return `receipt over ${cents}`;
  });
  await ctx.sleep("cool-off", "1 second"); // or 30 days
  const parcel = await ctx.run("ship", () => `a parcel with ${item}`);
  return `${receipt}, and ${parcel}`;
});

await using weir = await connect(); // NATS_URL, or the embedded server
await using _worker = await weir.worker([order]);
const run = await weir.start(order, { item: "tea", cents: 4200 }, { id: process.argv[2] ?? "o-1" });
console.log(run.created ? `${run.id} has begun` : `${run.id} is there already`);
console.log(await run.result());

// prints: receipt over 4200, and a parcel with tea
