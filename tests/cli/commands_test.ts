import assert from "node:assert/strict";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { actor, connect, signal, type Weir, type Worker } from "../../mod.ts";
import { eventually, leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";
import { golden, objects, type Ran, type RunOptions, weir as bare } from "./command_line.ts";

const approval = signal<{ by: string }>("approval");
const order = actor("order", async (ctx, input: { cents: number }) => {
  const receipt = await ctx.run("charge", () => ({ charged: input.cents }));
  const ok = await ctx.wait(approval);
  return { receipt, by: ok?.by };
});
const broken = actor("broken", async (ctx) => {
  await ctx.run("break", () => {
    throw new Error("out of\u001b[31m order");
  }, { retry: { attempts: 1 } });
});

describe("weir", () => {
  let server: ScratchServer;
  let client: Weir;
  let worker: Worker;
  const weir = (words: ReadonlyArray<string>, options?: RunOptions): Promise<Ran> =>
    bare([...words, "--server", server.url], options);

  /** Runs it until its standard output is as expected, for what a worker or projector brings. */
  const expect = (words: ReadonlyArray<string>, stdout: string | RegExp, options?: RunOptions) =>
    eventually(`${words.join(" ")} says ${stdout}`, async () => {
      const ran = await weir(words, options);
      const said = golden(ran.stdout);
      const isExpected = typeof stdout === "string" ? said === stdout : stdout.test(said);
      return isExpected ? ran : undefined;
    }, 30_000).catch(async (error) => {
      assert.equal(golden((await weir(words, options)).stdout), String(stdout));
      throw error;
    });

  const refused = async (words: ReadonlyArray<string>, exitCode: number, stderr: string) => {
    const ran = await weir(words);
    assert.deepEqual({ ...ran, stderr: golden(ran.stderr) }, { exitCode, stdout: "", stderr });
  };

  before(async () => {
    server = await scratchServer({ durability: "bounded" });
    client = await connect({ servers: server.url });
    worker = await client.worker([order, broken], {
      identity: "one",
      lanes: ["default", "eu"],
      capabilities: ["gpu"],
      residentGrace: "50 millis",
    });
  });
  after(async () => {
    await worker.close();
    await client.close();
    await server.stop();
  });

  it("start says whether it has started it", async () => {
    const words = ["start", "order", `{"cents":4200}`, "--id", "o-1", "--tag", "team.name=eu"];
    const first = await weir(words);
    assert.deepEqual(first, { exitCode: 0, stdout: "order/o-1  started\n", stderr: "" });
    const again = await weir([...words, "--json"]);
    const [{ life, ...started }, ...rest] = objects(again.stdout) as [Record<string, unknown>];
    assert.equal(typeof life, "number");
    assert.deepEqual(rest, []);
    assert.deepEqual(started, { execution: "order/o-1", tenant: "default", created: false });
  });

  it("start can wait for the end, and fails if that is a failure", async () => {
    const ran = await weir(["start", "broken", "--id", "b-1", "--wait"]);
    assert.deepEqual(ran, {
      exitCode: 1,
      stdout: "",
      stderr: "weir: broken/b-1 failed with Error: out of\\u001b[31m order. " +
        "Correct the cause and run it again with retry.\n",
    });
  });

  it("start refuses an actor that nobody has served, and says how to start it all the same", async () => {
    const ran = await weir(["start", "nobody"]);
    assert.equal(ran.exitCode, 1);
    assert.match(ran.stderr, /has ever served "nobody".*/);
    assert.match(ran.stderr, /--unserved/);
    const started = await weir(
      ["start", "nobody", "--id", "n-1", "--unserved", "--delay", "1 hour", "--lane", "us"],
    );
    assert.equal(started.stdout, "nobody/n-1  started\n");
  });

  it("describe shows where an execution stands, and why", async () => {
    await expect(
      ["describe", "order/o-1"],
      `execution  order/o-1
tenant     default
status     suspended
why        it waits for the signal approval
started    TIME
attempt    0
epoch      0
reclaims   0
tag        team.name=eu
waits for  approval since TIME: signal approval
step       charge = {"charged":4200}
`,
    );
    const [described] = objects((await weir(["describe", "order/o-1", "--json"])).stdout);
    assert.equal(described!["reason"], "signal");
    assert.deepEqual(described!["tags"], { "team.name": "eu" });
    await refused(
      ["describe", "order/o-9"],
      1,
      "weir: There is no execution order/o-9. Check its id and tenant, or start it.\n",
    );
  });

  it("ls lists executions, newest first, by state, actor and tag, page by page", async () => {
    await expect(
      ["ls"],
      "nobody/n-1\tdelayed\tTIME\t-\t-\n" +
        "broken/b-1\tfailed\tTIME\tTIME\t-\n" +
        "order/o-1\tsuspended\tTIME\t-\tteam.name=eu\n",
    );
    const ids = async (...words: ReadonlyArray<string>) =>
      objects((await weir(["ls", ...words, "--json"])).stdout).map(({ execution }) => execution);
    assert.deepEqual(await ids("--status", "failed"), ["broken/b-1"]);
    assert.deepEqual(await ids("--actor", "order"), ["order/o-1"]);
    assert.deepEqual(await ids("--tag", "team.name"), ["order/o-1"]);
    assert.deepEqual(await ids("--tag", "team.name=us"), []);
    assert.deepEqual(await ids("--tenant", "acme"), []);
    const first = await weir(["ls", "--limit", "2"]);
    const cursor = /--from (\S+)/.exec(first.stderr)?.[1] ?? "";
    assert.match(first.stderr, /^There are more: go on with --from \S+\n$/);
    const [second] = objects((await weir(["ls", "--from", cursor, "--json"])).stdout);
    assert.deepEqual(Object.keys(second!), [
      "execution",
      "tenant",
      "life",
      "status",
      "startedAt",
      "actor",
      "tags",
    ]);
    for (const list of [["ls"], ["schedule", "ls"]]) {
      await refused(
        [...list, "--from", "nonsense"],
        2,
        'weir: The cursor is refused (foreign): "nonsense" was not issued by Weir. ' +
          "Leave `from` out to begin with the newest.\n",
      );
    }
    await refused(
      ["tail", "completions", "--after", "nonsense"],
      2,
      'weir: The cursor is refused (foreign): "nonsense" was not issued by Weir. ' +
        'Start again from "earliest" or "now".\n',
    );
  });

  it("ls is a table on a terminal, and coloured unless NO_COLOR is set", async () => {
    const words = ["ls", "--limit", "2", "--actor", "order"];
    const table = "EXECUTION  STATUS     STARTED                   ENDED  TAGS\n" +
      "order/o-1  suspended  TIME  -      team.name=eu\n";
    const plain = await weir(words, { isTerminal: true, env: { NO_COLOR: "1" } });
    assert.equal(golden(plain.stdout), table);
    const colored = (await weir(words, { isTerminal: true })).stdout;
    assert.notEqual(golden(colored), table);
    // deno-lint-ignore no-control-regex -- colours are control sequences
    assert.equal(golden(colored.replace(/\u001b\[\d+m/g, "")), table);
  });

  it("history prints every record", async () => {
    const { stdout } = await weir(["history", "order/o-1"]);
    assert.deepEqual(stdout.trim().split("\n").map((line) => line.split("\t")[2]), [
      "start",
      "tag",
      "step",
      "waiting",
    ]);
    const entries = objects((await weir(["history", "order/o-1", "--json"])).stdout);
    assert.deepEqual(Object.keys(entries[0]!), ["sequence", "at", "record"]);
    await refused(
      ["history", "order/o-9", "--json"],
      1,
      `{"error":{"code":"WEIR_EXECUTION_NOT_FOUND","message":"There is no execution order/o-9. ` +
        `Check its id and tenant, or start it.","retryable":false}}\n`,
    );
  });

  it("history tells of work, if it is asked to", async () => {
    const { stdout } = await weir(["history", "order/o-1", "--work"]);
    const rows = stdout.trim().split("\n").map((line) => line.split("\t"));
    assert.deepEqual(rows.slice(0, 7).map((row) => row[2]), [
      "taskCreated",
      "runCreated",
      "runStateChanged",
      "leaseAcquired",
      "runStateChanged",
      "attemptStarted",
      "runStateChanged",
    ]);
    const [sequence] = rows[0]!;
    assert.match(sequence!, /^\d+\.0$/);
    const events = objects((await weir(["history", "order/o-1", "--work", "--json"])).stdout);
    assert.deepEqual(Object.keys(events[2]!).sort(), [
      "at",
      "cursor",
      "executionId",
      "kind",
      "newState",
      "ordinal",
      "previousState",
      "runId",
      "sequence",
      "tenant",
    ]);
  });

  it("pause and resume are sent, and describe shows what came of them", async () => {
    const paused = await weir(["pause", "order/o-1", "--reason", "audit"]);
    assert.deepEqual(paused, { exitCode: 0, stdout: "order/o-1  pause sent\n", stderr: "" });
    await expect(["describe", "order/o-1"], /status +paused\nwhy +somebody paused it: audit\n/);
    const resumed = await weir(["resume", "order/o-1", "--json"]);
    assert.deepEqual(objects(resumed.stdout), [
      { execution: "order/o-1", tenant: "default", asked: "resume" },
    ]);
    await expect(["describe", "order/o-1"], /status +(suspended|active)\n/);
  });

  it("signal can wait for what becomes of the signal", async () => {
    const words = ["signal", "order/o-1", "approval", `{"by":"ana"}`, "--key", "k", "--json"];
    const [sent] = objects((await weir([...words, "--wait"])).stdout);
    assert.deepEqual({ ...sent, signalId: undefined }, {
      execution: "order/o-1",
      tenant: "default",
      signalId: undefined,
      effect: "satisfied",
    });
    await expect(["describe", "order/o-1"], /status +completed\n/);
    await refused(
      ["signal", "order/o-1", "approval"],
      1,
      "weir: order/o-1 has ended: success, in attempt 0. " +
        "Read its result, or start it again with retry.\n",
    );
  });

  it("tail prints what is stored, and goes on from a cursor", async () => {
    await expect(
      ["tail", "completions"],
      "broken/b-1\tTIME\toutcome=failure\tCURSOR\norder/o-1\tTIME\toutcome=success\tCURSOR\n",
    );
    const [first, second] = objects((await weir(["tail", "completions", "--json"])).stdout);
    assert.deepEqual(Object.keys(first!).sort(), [
      "at",
      "cursor",
      "executionId",
      "outcome",
      "tenant",
    ]);
    const after = await weir([
      "tail",
      "completions",
      "--after",
      String(first!["cursor"]),
      "--json",
    ]);
    assert.deepEqual(objects(after.stdout), [second]);
    const of = await weir(["tail", "instanceTags", "--execution", "order/o-1"]);
    assert.equal(
      golden(of.stdout),
      "order/o-1\tTIME\ttype=attached tag=team.name value=eu\tCURSOR\n",
    );
    const other = await weir(["tail", "completions", "--tenant", "acme"]);
    assert.deepEqual(other, { exitCode: 0, stdout: "", stderr: "" });
  });

  it("tail follows until it is ended", async () => {
    const followed = weir(["tail", "leaseHistory", "--follow", "--after", "earliest", "--json"], {
      until: (stdout) => stdout.includes("order/o-2") && stdout.includes("released"),
    });
    await weir(["start", "order", `{"cents":1}`, "--id", "o-2"]);
    const { exitCode, stdout } = await followed;
    assert.equal(exitCode, 130);
    assert.ok(objects(stdout).some(({ executionId }) => executionId === "order/o-2"));
  });

  it("cancel ends an execution, and retry runs it again", async () => {
    const early = await weir(["retry", "order/o-2"]);
    assert.equal(early.exitCode, 1);
    assert.match(early.stderr, /order\/o-2 is \w+\. Wait for its end, or cancel it first\.\n$/);
    const sent = await weir(["cancel", "order/o-2", "--reason", "out of stock"]);
    assert.equal(sent.stdout, "order/o-2  cancel sent\n");
    await expect(["describe", "order/o-2"], /status +cancelled\n/);
    const again = await weir(["retry", "order/o-2", "--from", "start"]);
    assert.equal(again.stdout, "order/o-2  retry sent\n");
    await expect(["describe", "order/o-2"], /why +it waits for the signal approval\n/);
  });

  it("events prints what the event store tells of an execution", async () => {
    const { stdout } = await weir(["events", "order/o-1", "--json"]);
    const stored = objects(stdout);
    assert.deepEqual(stored.map(({ sequence }) => sequence), stored.map((_, index) => index + 1));
    const types = stored.map(({ event }) => (event as { type: string }).type);
    assert.equal(types[0], "executionStarted");
    assert.equal(types.at(-1), "executionCompleted");
    const last = await weir(["events", "order/o-1", "--after", String(stored.length - 1)]);
    assert.match(golden(last.stdout), /^\d+\tTIME\texecutionCompleted\t\{"output":.*\}\n$/);
    assert.equal((await weir(["events", "order/o-9"])).exitCode, 1);
  });

  it("workers shows who is there", async () => {
    const { stdout } = await weir(["workers"]);
    const [name, host, seen, running, , lanes, capabilities, actors] = stdout.trim().split("\t");
    assert.equal(name, "one");
    assert.match(host!, new RegExp(`/${process.pid}$`));
    assert.equal(golden(seen!), "TIME");
    assert.match(running!, /^\d+\/\d+$/);
    assert.deepEqual([lanes, capabilities, actors], ["default,eu", "gpu", "order,broken"]);
    const [session] = objects((await weir(["workers", "--json"])).stdout);
    assert.equal(session!["worker"], "one");
  });

  it("lanes shows what workers serve, and what nobody does", async () => {
    await weir(["start", "order", `{"cents":1}`, "--id", "far", "--lane", "us"]);
    await expect(
      ["lanes"],
      "broken\tdefault\t-\tone\nbroken\teu\t-\tone\n" +
        "order\tdefault\t-\tone\norder\teu\t-\tone\norder\tus\t-\t-\n",
    );
    const last = objects((await weir(["lanes", "--json"])).stdout).at(-1);
    assert.deepEqual(last, { actor: "order", lane: "us", requires: [], workers: [] });
  });

  it("subscriptions lists, moves and forgets durable readers", async () => {
    for await (const _ of client.completions({ after: "earliest", durable: "billing" })) break;
    await expect(["subscriptions", "list"], /^completions\tbilling\t\d+\t.*\tCURSOR\n$/);
    const moved = await weir([
      "subscriptions",
      "reset",
      "completions",
      "billing",
      "--after",
      "now",
    ]);
    assert.equal(moved.stdout, "completions  billing  moved\n");
    const [listed] = objects((await weir(["subscriptions", "list", "--json"])).stdout);
    assert.equal(listed!["lag"], 0);
    const at = ["--at", "2026-01-01T00:00:00Z"];
    await weir(["subscriptions", "reset", "completions", "billing", ...at]);
    await expect(["subscriptions", "list", "--json"], /"lag":[1-9]/);
    const deleted = await weir(["subscriptions", "delete", "completions", "billing", "--json"]);
    assert.deepEqual(objects(deleted.stdout), [
      { family: "completions", name: "billing", deleted: true },
    ]);
    await refused(
      ["subscriptions", "delete", "completions", "billing"],
      1,
      "weir: completions has no subscription billing. " +
        "Check name and family, or read with `durable` to create it.\n",
    );
    await refused(
      ["subscriptions", "reset", "completions", "billing"],
      2,
      "weir: Say where to go on: either --after or --at\n" +
        "Run `weir subscriptions reset --help` for usage.\n",
    );
  });

  it("doctor says how everything is, and what waits and why", async () => {
    const ran = await expect(
      ["doctor"],
      /waits +order\/far {2}waiting: no worker that is alive and serves order is bound to the lane us/,
    );
    assert.equal(ran.exitCode, 0);
    const said = golden(ran.stdout).replace(/\d+ ms/g, "N ms").split("\n");
    assert.match(said[0]!, /^server +nats-server \d+\.\d+\.\d+ at ADDRESS$/);
    assert.ok(said.includes("namespace   weir"));
    assert.ok(said.some((line) => /^durability +unknown: a server does not tell/.test(line)));
    assert.ok(said.some((line) => /^health +answers within N ms$/.test(line)));
    assert.ok(said.some((line) => /^clock +the server's is N ms (ahead|behind)$/.test(line)));
    assert.ok(said.includes("workers     1"));
    assert.ok(said.includes("stuck       none"));
    const [found] = objects((await weir(["doctor", "--json", "--limit", "1"])).stdout);
    assert.deepEqual(Object.keys(found!), [
      "server",
      "namespace",
      "shards",
      "durability",
      "health",
      "concerns",
      "workers",
      "stuck",
      "waiting",
    ]);
    assert.equal((found!["waiting"] as ReadonlyArray<unknown>).length, 1);
  });

  it("doctor fails if less is given than is asked for, and says what to do", async () => {
    const asked = await weir([
      "doctor",
      "--quick",
      "--durability",
      "power-safe",
      "--replicas",
      "3",
    ]);
    assert.equal(asked.exitCode, 1);
    assert.match(asked.stdout, /^look +power-safe was asked for, .* does not tell/m);
    assert.match(asked.stdout, /^BAD +KV_weir has 1 of the 3 replicas/m);
    const alarm = ["doctor", "--quick", "--durability", "power-safe", "--replicas", "1"];
    assert.equal((await weir(alarm)).exitCode, 0);
  });

  it("dev says how to connect and what changes, as lines or as a table", async () => {
    const piped = await weir(["dev"], { until: (stdout) => stdout.includes("order/far") });
    assert.equal(piped.exitCode, 130);
    assert.match(golden(piped.stdout), /^server +nats-server \S+ at nats:\/\/ADDRESS\n\n/);
    assert.match(golden(piped.stdout), /order\/o-1\tcompleted\tTIME\tTIME\tteam\.name=eu\n/);
    const json = await weir(["dev", "--json"], { until: (stdout) => stdout.includes("order/far") });
    const [{ server: shown }] = objects(json.stdout) as [{ server: Record<string, unknown> }];
    assert.deepEqual([shown["url"], shown["durability"]], [server.url, "unknown"]);
    const live = await weir(["dev"], {
      isTerminal: true,
      env: { NO_COLOR: "1" },
      until: (stdout) => stdout.split("EXECUTION").length > 2,
    });
    assert.ok(live.stdout.includes("A\u001b[J"), "it is drawn over what was drawn before");
  });
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
