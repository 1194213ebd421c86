/** A greeting that survives: run it, kill it in the middle, run it again. */
import { actor, connect } from "@weir/weir";

const greeting = actor("greeting", async (ctx, name: string) => {
  const begun = await ctx.run("begin", () => `process ${Deno.pid}`);
  await ctx.sleep("a moment", "1 second");
  await ctx.run("greet", () => console.log(`Hello, ${name}!`));
  return `${name} was greeted; it was begun by ${begun}`;
});

await using weir = await connect(); // NATS_URL, or the embedded server
await using _worker = await weir.worker([greeting]);
const run = await weir.start(greeting, "Ana", { id: Deno.args[0] ?? "g-1" });
if (!run.created) console.log(`${run.id} is there already; this is what becomes of it.`);
console.log(await run.result());

// prints: Ana was greeted
