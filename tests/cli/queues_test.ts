/** `weir queues`, and tasks that wait in them, on a server with a worker that keeps queues. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { actor, connect, signal, type Weir, type Worker } from "../../mod.ts";
import { leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";
import { commandsTo, objects } from "./command_line.ts";

const waits = actor("waits", (ctx) => ctx.wait(signal("go")));

describe("weir queues", () => {
  let server: ScratchServer;
  let client: Weir;
  let worker: Worker;
  let folder: string;
  const { weir, said, expect } = commandsTo(() => server.url);
  const taskOf = async (id: string) => {
    const [start] = objects((await weir("history", id, "--json")).stdout);
    return (start!["record"] as { readonly task?: { readonly queue?: unknown } }).task;
  };

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "weir-queues-"));
    server = await scratchServer({ durability: "bounded" });
    client = await connect({ servers: server.url });
    worker = await client.worker([waits], { queues: true });
  });
  after(async () => {
    await worker.close();
    await client.close();
    await server.stop();
    await rm(folder, { recursive: true });
  });

  it("says what helps where nobody keeps queues or triggers, and --unserved only where it does", async () => {
    const namespace = ["--namespace", "unkept"];
    await using other = await connect({ servers: server.url, namespace: "unkept" });
    await using _worker = await other.worker([waits]);
    const refusal = async (...words: ReadonlyArray<string>) => {
      const { exitCode, stderr } = await weir(...words, ...namespace);
      assert.equal(exitCode, 1);
      return stderr;
    };
    for (
      const words of [
        ["configure", "cards", "--concurrency", "5"],
        ["pause", "cards"],
        ["pause", "cards", "acme"],
      ]
    ) {
      const said = await refusal("queues", ...words);
      assert.match(said, /in cards\. Run a worker with \{ queues: true \} first\.\n$/);
    }
    const hint =
      /give \{ unserved: true \} .* that is --unserved, or "unserved": true in a file of tasks\.\n$/;
    const submit = ["submit", "waits", "--id", "u", "--queue", "cards"];
    assert.match(await refusal(...submit), hint);
    const create = ["triggers", "create", "--event", "paid", "--signal", "waits/u", "--name", "go"];
    assert.match(await refusal(...create), hint);
    await said(...submit, "--unserved", ...namespace);
    const file = join(folder, "unserved.json");
    const task = { actor: "waits", id: "f", queue: "cards" };
    await writeFile(file, JSON.stringify([task]));
    assert.match(await refusal("submit", "--file", file), hint);
    await writeFile(file, JSON.stringify([{ ...task, unserved: true }]));
    await said("submit", "--file", file, ...namespace);
  });

  it("submit, schedule and files of tasks name a queue", async () => {
    await said("submit", "waits", "--id", "a", "--queue", "cards", "--key", "c-1");
    assert.deepEqual((await taskOf("waits/a"))?.queue, {
      name: "cards",
      key: "c-1",
      hold: "through-retries",
    });
    const words = ["schedule", "waits", "--id", "s", "--cron", "0 0 1 1 *", "--queue", "nightly"];
    await said(...words, "--hold", "per-attempt");
    assert.deepEqual((await taskOf("waits/s"))?.queue, { name: "nightly", hold: "per-attempt" });
    const file = join(folder, "tasks.json");
    await writeFile(
      file,
      JSON.stringify([
        { actor: "waits", id: "b", queue: { name: "cards", key: "c-1" } },
        { actor: "waits", id: "c", queue: "cards" },
      ]),
    );
    assert.equal(await said("submit", "--file", file), "waits/b\tsubmitted\nwaits/c\tsubmitted\n");
    await expect(["queues", "why", "waits/b"], /the key c-1 is held by default waits\/a/);
    assert.equal(
      await said("queues", "why", "waits/c"),
      "waits/c  it does not wait in a queue\n",
    );
  });

  for (
    const [what, words, message] of [
      ["a key without a queue", ["submit", "waits", "--key", "k"], /go with --queue/],
      [
        "a way to hold none",
        ["schedule", "waits", "--cron", "@daily", "--hold", "per-attempt"],
        /go/,
      ],
      ["a queue of no name", ["submit", "waits", "--queue", "a.b"], /a queue name/],
      ["to configure nothing", ["queues", "configure", "cards"], /Say what is to change/],
      ["a rate that is none", ["queues", "configure", "cards", "--rate", "often"], /100\/1 second/],
      ["a count of 0", ["queues", "configure", "cards", "--concurrency", "0"], /1 or more/],
      ["a weight of 0", ["queues", "configure", "cards", "--weight", "a=0"], /acme=10, not "a=0"/],
    ] as const
  ) {
    it(`refuses ${what}`, async () => {
      const ran = await weir(...words);
      assert.deepEqual([ran.exitCode, ran.stdout], [2, ""]);
      assert.match(ran.stderr, message);
    });
  }

  it("configure, pause and resume change what a queue allows", async () => {
    const words = ["--concurrency", "50", "--per-tenant", "10", "--rate", "100/1 second"];
    assert.equal(
      await said("queues", "configure", "q", ...words, "--weight", "acme=10"),
      "q  configured  concurrency 50, per key 1, per tenant 10, rate 100/1s, weights acme=10, ageing 1m\n",
    );
    await said("queues", "configure", "q", "--per-tenant", "none", "--ageing", "1 hour");
    await said("queues", "pause", "q");
    await said("queues", "pause", "q", "acme", "umbrella");
    await expect(["queues", "describe", "q"], /paused for +acme umbrella\n/);
    await said("queues", "resume", "q", "acme");
    await expect(["queues", "describe", "q"], /paused for +umbrella\n/);
    assert.equal(
      await said("queues", "describe", "q"),
      [
        "queue        q",
        "state        paused",
        "concurrency  50",
        "per key      1",
        "rate         100/1s",
        "weights      acme=10",
        "ageing       1h",
        "paused for   umbrella",
        "waiting      0",
        "running      0",
        "",
      ].join("\n"),
    );
    await said("queues", "resume", "q");
    await expect(["queues", "describe", "q"], /state +open\n/);
  });

  it("pauses one tenant after another, though nobody keeps the queue now", async () => {
    const there = ["--namespace", "later"];
    await using late = await connect({ servers: server.url, namespace: "later" });
    await (await late.worker([waits], { queues: true })).close();
    await said("queues", "pause", "q", "acme", ...there);
    await said("queues", "pause", "q", "umbrella", "hooli", ...there);
    await said("queues", "resume", "q", "hooli", ...there);
    await late.worker([waits], { queues: true });
    await expect(["queues", "describe", "q", ...there], /paused for +acme umbrella\n/);
    const none = await weir("queues", "pause", "q", "", ...there);
    assert.equal(none.exitCode, 2);
    assert.match(none.stderr, /tenant "" is refused/);
  });

  it("ls and describe show who waits and who runs", async () => {
    await expect(["queues", "ls"], /^cards\topen\t1\t2\tconcurrency 100, .*\nq\topen\t0\t0\t/);
    assert.match(
      await said("queues", "describe", "cards"),
      /tenant +default: 1 waiting, 2 running/,
    );
    const [cards] = objects((await weir("queues", "ls", "--json")).stdout);
    assert.deepEqual([cards!["name"], cards!["waiting"], cards!["running"]], ["cards", 1, 2]);
    const [b] = objects((await weir("queues", "why", "waits/b", "--json")).stdout);
    assert.deepEqual(b, {
      execution: "waits/b",
      queue: "cards",
      why: "the key c-1 is held by default waits/a",
    });
  });
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
