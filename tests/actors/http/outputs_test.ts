/** What the readers of outputs leave at the server when they go. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { weirHandler } from "../../../http.ts";
import { actor, connect, signal, type Weir } from "../../../mod.ts";
import { readersOf } from "../../fixtures/readers.ts";
import { eventually, leftovers, type ScratchServer, scratchServer } from "../../fixtures/server.ts";

const go = signal<string>("go");
const talks = actor("talks", async (ctx) => {
  for (;;) await ctx.emit("words", await ctx.wait(go));
});

describe("the outputs on a server", () => {
  let server: ScratchServer;
  let weir: Weir;
  let handler: (request: Request) => Promise<Response>;
  before(async () => {
    server = await scratchServer({ durability: "bounded" });
    weir = await connect({ servers: server.url });
    await weir.worker([talks]);
    handler = weirHandler({ weir, open: true });
  });
  after(async () => {
    await weir.close();
    await server.stop();
  });

  const untilReaders = (count: number) =>
    eventually(
      `${count} read at the server`,
      async () => await readersOf(server.url, ".out.") === count || undefined,
    );

  it("a client that goes away leaves no consumer, however it goes", async () => {
    const run = await weir.start(talks, undefined, { id: "a" });
    const visit = async () => {
      const gone = new AbortController();
      const path = `/api/v1/runs/${encodeURIComponent(run.id)}/outputs/words`;
      const request = new Request(`http://weir.test${path}`, { signal: gone.signal });
      const reader = (await handler(request)).body!.getReader();
      await reader.read();
      return { gone, reader, rest: reader.read() };
    };
    const aborted = [await visit(), await visit(), await visit()];
    const cancelled = await visit();
    await untilReaders(4);
    const cancelling = cancelled.reader.cancel();
    await untilReaders(3);
    await cancelling;
    for (const { gone } of aborted) gone.abort();
    await untilReaders(0);
    for (const { rest } of [cancelled, ...aborted]) assert.equal((await rest).done, true);
  });

  it("a loop that waits can be left from outside", async () => {
    const frames = weir.get(talks, "a").output("words")[Symbol.asyncIterator]();
    const next = frames.next();
    await untilReaders(1);
    const left = frames.return!();
    await untilReaders(0);
    assert.deepEqual(await left, { done: true, value: undefined });
    assert.equal((await next).done, true);
  });
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
