/**
 * A web service whose handlers return at once: what they begin goes on in workers, here or in other
 * processes. It is called a few times by itself and ends; with `--serve` it stays up.
 */
import process from "node:process";
import { serve } from "@hono/node-server";
import { actor, connect, ExecutionEnded, ExecutionNotFound, signal } from "@weir/weir";
import { eventStreams } from "@weir/weir/http";
import { Hono } from "hono";

const approval = signal<{ by: string }>("approval");

const order = actor("order", async (ctx, { cents }: { cents: number }) => {
  const receipt = await ctx.run("charge", () => `receipt over ${cents}`);
  const { by } = await ctx.wait(approval);
  return { receipt, by };
});

await using weir = await connect();
await using _worker = await weir.worker([order]);

const app = new Hono();
/** The caller names the order, so that a request that is sent twice begins it once. */
app.put("/orders/:id", async (context) => {
  const { id, created } = await weir.start(order, await context.req.json(), {
    id: context.req.param("id"),
  });
  return context.json({ id, created }, created ? 201 : 200);
});
app.post("/orders/:id/approval", async (context) => {
  const run = weir.get(order, context.req.param("id"));
  await run.signal(approval, await context.req.json(), {
    key: context.req.header("idempotency-key") ?? "approval",
  });
  return context.body(null, 202);
});
app.get("/orders/:id", async (context) => {
  const { status, why, outcome } = await weir.get(order, context.req.param("id")).describe();
  return context.json({ status, why, outcome });
});
/** Everything that happens, as server-sent events. */
const live = eventStreams({ weir });
app.get("/v1/streams/*", (context) => live(context.req.raw));
app.onError((error, context) => {
  if (error instanceof ExecutionNotFound) return context.json({ error: error.message }, 404);
  if (error instanceof ExecutionEnded) return context.json({ error: error.message }, 409);
  throw error;
});

const isToStay = process.argv.includes("--serve");
const server = serve({ fetch: app.fetch, port: isToStay ? 3000 : 0 });
if (!server.listening) await new Promise((resolve) => server.once("listening", resolve));
const address = server.address();
const port = typeof address === "object" ? address?.port : undefined;
console.log(`listening on http://localhost:${port}`);

if (isToStay) await new Promise((resolve) => process.once("SIGINT", resolve));
else {
  const call = async (method: string, path: string, body?: object) => {
    const answer = await fetch(`http://localhost:${port}${path}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    console.log(`${method} ${path}: ${answer.status} ${text}`);
    return text;
  };
  await call("PUT", "/orders/o-1", { cents: 4200 });
  await call("PUT", "/orders/o-1", { cents: 4200 });
  await call("GET", "/orders/nobody");
  await call("POST", "/orders/o-1/approval", { by: "ana" });
  while (!(await call("GET", "/orders/o-1")).includes("completed")) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
await new Promise((resolve) => server.close(resolve));

// prints: PUT /orders/o-1: 201
// prints: PUT /orders/o-1: 200
// prints: GET /orders/nobody: 404
// prints: "by":"ana"
