/** `weir triggers`, `weir emit` and `weir promote`, on a server with a worker that keeps triggers. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { actor, connect, signal, type Weir, type Worker } from "../../mod.ts";
import { eventually, leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";
import { commandsTo, objects } from "./command_line.ts";

const waits = actor("waits", (ctx) => ctx.wait(signal("go")));
const brief = actor("brief", (_, input) => input);

describe("weir triggers", () => {
  let server: ScratchServer;
  let client: Weir;
  let worker: Worker;
  const { weir, said, expect } = commandsTo(() => server.url);

  before(async () => {
    server = await scratchServer({ durability: "bounded" });
    client = await connect({ servers: server.url });
    worker = await client.worker([waits, brief], { triggers: true });
  });
  after(async () => {
    await worker.close();
    await client.close();
    await server.stop();
  });

  const fired = (id: string) =>
    eventually(`${id} has fired`, async () => {
      const { fired, acting } = await client.triggers.describe(id);
      return fired > 0 && acting === undefined || undefined;
    });

  it("create, describe, list and cancel triggers, and emit what they wait for", async () => {
    await client.start(waits, undefined, { id: "w" });
    const words = ["triggers", "create", "--id", "paid", "--event", "paid", "--signal", "waits/w"];
    assert.equal(await said(...words, "--name", "go"), "paid  created\n");
    assert.equal(await said(...words, "--name", "go"), "paid  was there before\n");
    const emitted = ["emit", "paid", `{"cents":4200}`, "--id", "i-7"];
    assert.equal(await said(...emitted), "paid  emitted\n");
    assert.equal(await said(...emitted), "paid  was emitted before\n");
    assert.deepEqual(await client.get(waits, "w").result(), { cents: 4200 });
    await fired("paid");
    await expect(["triggers", "describe", "paid"], /^state +over$/m);
    await expect(["triggers", "describe", "paid"], /^last .*{"cents":4200}$/m);
    const [row] = objects((await weir("triggers", "ls", "--json")).stdout);
    assert.deepEqual([row!["id"], row!["state"], row!["fired"]], ["paid", "over", 1]);

    const usage = ["--budget", "b", "--dimension", "token", "--percent", "80"];
    await said("triggers", "create", "--id", "most", ...usage, "--submit", "brief", "--standing");
    await expect(["triggers", "ls"], /most\tactive\t0\t-\t80% of token of b\tsubmit brief/);
    assert.equal(await said("triggers", "cancel", "most"), "most  cancelled\n");
    const failed = ["--completed", "brief", "--outcome", "failure"];
    await said("triggers", "create", "--id", "any", ...failed, "--promote", "waits/w");
    await expect(["triggers", "ls"], /any\tactive\t0\t-\tany brief failure\tpromote waits\/w/);
  });

  it("promote has what waits for its time begin", async () => {
    const late = await client.start(brief, 7, { id: "late", delay: "1 day" });
    assert.equal(await said("promote", "brief/late"), "brief/late  promote sent\n");
    assert.equal(await late.result(), 7);
  });

  it("say what is missing, and refuse nonsense", async () => {
    for (
      const words of [
        ["--event", "e"],
        ["--promote", "waits/w"],
        ["--event", "e", "--state", "waits/w", "--promote", "waits/w"],
      ]
    ) {
      const { exitCode, stderr } = await weir("triggers", "create", ...words);
      assert.notEqual(exitCode, 0);
      assert.match(stderr, /Say one thing that it waits for/);
    }
    const { exitCode, stderr } = await weir("triggers", "describe", "none");
    assert.notEqual(exitCode, 0);
    assert.match(stderr, /There is no trigger "none"/);
  });
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
