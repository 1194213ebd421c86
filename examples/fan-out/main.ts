/**
 * A report over many parts: each is an execution of its own, on whatever worker has room, and is
 * tried again by itself. One fails for good, and the report says so instead of failing.
 */
import { actor, ChildFailed, connect, NonRetryable } from "@weir/weir";

const parts = Array.from({ length: 20 }, (_, number) => `part ${number + 1}`);

const count = actor("count", (ctx, part: string) =>
  ctx.run("count", ({ try: number }) => {
    if (part === "part 13") throw new NonRetryable({ reason: "it is not there" });
    if (part === "part 7" && number === 1) throw new Error("the network was away");
    return part.length;
  }, { retry: { delay: "50 millis" } }));

const report = actor("report", async (ctx, of: ReadonlyArray<string>) => {
  const missing: Array<string> = [];
  const counted = await Promise.all(of.map(async (part) => {
    try {
      return await ctx.call(count, part, { name: part });
    } catch (error) {
      if (!(error instanceof ChildFailed)) throw error;
      missing.push(part);
      return 0;
    }
  }));
  return { total: counted.reduce((sum, one) => sum + one, 0), missing };
});

await using weir = await connect();
await using _one = await weir.worker([report, count], { concurrency: 10 });
await using _two = await weir.worker([report, count], { concurrency: 10 });
const run = await weir.start(report, parts, { id: "r-1" });
const { total, missing } = await run.result();
console.log(`${total} in ${parts.length - missing.length} parts; without ${missing.join(", ")}`);

// prints: 124 in 19 parts; without part 13
