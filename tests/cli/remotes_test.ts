/** `weir remotes`, with a worker that is nothing but requests. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { connect as connectNats, type NatsConnection } from "@nats-io/transport-node";
import { connect, remoteActor, type Weir } from "../../mod.ts";
import { eventually, leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";
import { commandsTo, objects } from "./command_line.ts";

const resize = remoteActor("resize", { capabilities: ["image", "gpu"] });

describe("weir remotes", () => {
  let server: ScratchServer;
  let client: Weir;
  let nats: NatsConnection;
  const { weir, said, expect } = commandsTo(() => server.url);

  before(async () => {
    server = await scratchServer({ durability: "bounded" });
    client = await connect({ servers: server.url });
    nats = await connectNats({ servers: server.url });
    await client.worker([resize], { residentGrace: "0 millis" });
  });
  after(async () => {
    await nats.close();
    await client.close();
    await server.stop();
  });

  const say = (verb: string, body: object) =>
    eventually(`an answer to ${verb}`, async () => {
      const asked = nats.request(`weir-remote.default.${verb}`, JSON.stringify(body), {
        timeout: 5_000,
      });
      const answer = (await asked.catch(() => undefined))?.json<{ readonly ok: boolean }>();
      return answer?.ok === true ? answer as never as Record<string, never> : undefined;
    }, 30_000);

  it("lists and describes who is registered, and removes one", async () => {
    assert.equal(await said("remotes", "ls"), "");
    const run = await client.start(resize, 1, { id: "r-1" });
    await eventually(
      "it says what is missing",
      async () => (await run.describe()).reason === "capability" || undefined,
    );
    await expect(["describe", "resize/r-1"], /no remote worker is registered/);
    const registered = await say("register", {
      identity: "w-1",
      capabilities: ["gpu", "image"],
      department: "lab",
      heartbeatMs: 60_000,
    });
    await say("claim", { session: registered["session"], waitMs: 10_000 });
    const [worker] = objects((await weir("remotes", "ls", "--json")).stdout);
    assert.equal(worker!["identity"], "w-1");
    await expect(["remotes", "ls"], /^w-1\t.*\t60000 ms\tlab\tgpu,image$/m);
    await expect(["remotes", "describe", "w-1"], /has resize\/r-1 \(fence 1\) until /);
    await expect(["describe", "resize/r-1"], /the remote worker w-1 has it/);
    assert.equal(await said("remotes", "deregister", "w-1"), "w-1  deregistered\n");
    assert.equal(await said("remotes", "deregister", "w-1"), "w-1  was not registered\n");
    assert.equal(await said("remotes", "ls"), "");
    const gone = await weir("remotes", "describe", "w-1");
    assert.notEqual(gone.exitCode, 0);
    assert.match(gone.stderr, /no remote worker of the tenant is registered under it/);
    await run.cancel();
  });

  it("nothing is left behind", async () => {
    await nats.close();
    await client.close();
    await server.stop();
    assert.deepEqual(await leftovers(), []);
  });
});
