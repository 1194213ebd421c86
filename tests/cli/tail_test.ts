/** `weir tail` without `--follow`: all that is stored, however far away it is, and then an end. */
import assert from "node:assert/strict";
import { setTimeout } from "node:timers";
import { after, before, describe, it } from "node:test";
import { actor, connect } from "../../mod.ts";
import { type Proxy, startProxy } from "../fixtures/proxy.ts";
import { leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";
import { objects, type RunOptions, weir } from "./command_line.ts";

const order = actor("order", (ctx) => ctx.run("charge", () => "receipt"));
const names = ["order/o-1", "order/o-2", "order/o-3"];

describe("weir tail", () => {
  let server: ScratchServer;
  let proxy: Proxy;

  const ended = async (words: ReadonlyArray<string>, options?: RunOptions) => {
    const { exitCode, stdout, stderr } = await weir(
      ["tail", "completions", "--json", ...words],
      options,
    );
    assert.deepEqual([exitCode, stderr], [0, ""]);
    return objects(stdout).map(({ executionId }) => executionId).toSorted();
  };

  before(async () => {
    server = await scratchServer({ durability: "bounded" });
    proxy = await startProxy(server.port);
    await using client = await connect({ servers: server.url, shards: 2 });
    await client.worker([order]);
    for (const name of names) {
      const run = await client.start(order, undefined, { id: name.slice("order/".length) });
      await run.result();
    }
  });
  after(async () => {
    await proxy.stop();
    await server.stop();
  });

  it("prints all that is stored, however slowly it comes", async () => {
    proxy.toClient = () => {
      setTimeout(proxy.release, 120);
      return "hold";
    };
    const through = ["--server", proxy.url];
    assert.deepEqual(await ended(through), names);
    assert.deepEqual(await ended([...through, "--execution", "order/o-2"]), ["order/o-2"]);
    assert.deepEqual(await ended([...through, "--after", "now"]), []);
  });

  it("prints all that is stored, whatever this machine takes for the time", async () => {
    const options = { behindMs: 10 * 60_000 };
    assert.deepEqual(await ended(["--server", server.url], options), names);
  });
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
