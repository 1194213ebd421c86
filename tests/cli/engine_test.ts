/** `weir engine` on a server, and what a worker does of it. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { actor, connect, type Weir, type Worker } from "../../mod.ts";
import { leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";
import { commandsTo, objects } from "./command_line.ts";

const echo = actor("echo", (_, n: number) => n);

describe("weir engine", () => {
  let server: ScratchServer;
  let client: Weir;
  let worker: Worker;
  const { weir, said, expect } = commandsTo(() => server.url);

  before(async () => {
    server = await scratchServer({ durability: "bounded" });
    client = await connect({ servers: server.url });
    worker = await client.worker([echo]);
  });
  after(async () => {
    await worker.close();
    await client.close();
    await server.stop();
  });

  it("pauses and resumes a tenant", async () => {
    const words = ["engine", "pause", "--reason", "audit", "--by", "ana"];
    assert.equal(await said(...words), "tenant default  paused\n");
    assert.equal(await said("engine", "pause"), "tenant default  was paused already\n");
    const run = await client.start(echo, 7, { id: "kept" });
    await expect(["describe", "echo/kept"], /tenant default is paused by ana since .*: audit/);
    assert.equal(await said("engine", "resume"), "tenant default  open\n");
    assert.equal(await run.result(), 7);
    // What kept it back is no lane that somebody asked for.
    assert.doesNotMatch(await said("lanes"), /!/);
  });

  it("drains a lane of all, and lists what is not open", async () => {
    await said("engine", "disable", "--tenant", "acme");
    await said("engine", "drain", "--all-tenants", "--lane", "gpu");
    const listed = objects((await weir("engine", "status", "--all-tenants", "--json")).stdout);
    assert.deepEqual(
      listed.map(({ tenant, lane, state }) => [tenant, lane, state]),
      [[undefined, "gpu", "draining"], ["acme", undefined, "disabled"]],
    );
    const { exitCode, stderr } = await weir("start", "echo", "1", "--lane", "gpu");
    assert.equal(exitCode, 1);
    assert.match(stderr, /lane gpu is draining since .* nothing was stored/);
    const [changed] = objects(
      (await weir("engine", "resume", "--all-tenants", "--lane", "gpu", "--json")).stdout,
    );
    assert.deepEqual([changed!["state"], changed!["changed"]], ["open", true]);
    await said("engine", "resume", "--tenant", "acme");
    assert.equal(await said("engine", "status", "--all-tenants"), "");
  });
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
