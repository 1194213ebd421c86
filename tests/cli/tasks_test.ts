/** `weir submit` and `weir schedule`, on a server with a worker. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { actor, connect, signal, type Weir, type Worker } from "../../mod.ts";
import { leftovers, type ScratchServer, scratchServer } from "../fixtures/server.ts";
import { commandsTo, objects } from "./command_line.ts";

const go = signal("go");
const extract = actor("extract", (_, rows: number) => rows * 2);
const load = actor(
  "load",
  (ctx, table: string) => `${table}: ${Object.values(ctx.results).join(", ")}`,
);
const waits = actor("waits", (ctx) => ctx.wait(go));

describe("weir submit and schedule", () => {
  let server: ScratchServer;
  let client: Weir;
  let worker: Worker;
  let folder: string;
  const { weir, said, expect } = commandsTo(() => server.url);
  const file = async (name: string, text: string) => {
    await writeFile(join(folder, name), text);
    return join(folder, name);
  };

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "weir-tasks-"));
    server = await scratchServer({ durability: "bounded" });
    client = await connect({ servers: server.url });
    worker = await client.worker([extract, load, waits], { lanes: ["default", "eu"] });
  });
  after(async () => {
    await worker.close();
    await client.close();
    await server.stop();
    await rm(folder, { recursive: true });
  });

  it("submit starts a task behind others, and can wait for its result", async () => {
    assert.equal(await said("submit", "extract", "21", "--id", "e-1"), "extract/e-1  submitted\n");
    const words = ["submit", "load", `"sales"`, "--id", "l-1", "--after", "extract/e-1"];
    const more = ["--attempts", "5", "--retry-delay", "2 seconds", "--timeout", "1 hour"];
    const rest = ["--lane", "eu", "--tag", "a.b=c", "--priority", "3", "--description", "nightly"];
    assert.equal(await said(...words, ...more, ...rest, "--wait"), `"sales: 42"\n`);
    assert.equal(await said(...words), "load/l-1  was there already\n");
    const [start] = objects((await weir("history", "load/l-1", "--json")).stdout);
    const { task, route, tags, priority } = start!["record"] as Record<string, unknown>;
    assert.deepEqual({ task, route, tags, priority }, {
      task: {
        after: ["extract/e-1"],
        retry: { attempts: 5, delayMs: 2_000 },
        timeoutMs: 3_600_000,
        description: "nightly",
      },
      route: "@eu",
      tags: { "a.b": "c" },
      priority: 3,
    });
  });

  it("submit puts a task below an execution under way, and below nothing else", async () => {
    await said("submit", "extract", "1", "--id", "above", "--delay", "1 day");
    await said("submit", "extract", "2", "--id", "below", "--parent", "extract/above");
    const [start] = objects((await weir("history", "extract/below", "--json")).stdout);
    const { parent } = start!["record"] as { readonly parent: { readonly execution: string } };
    assert.equal(parent.execution, "extract/above");
    await said("cancel", "extract/above");
    for (const id of ["extract/e-1", "extract/nobody"]) {
      const { exitCode, stderr } = await weir("submit", "load", "--parent", id);
      assert.equal(exitCode, 1);
      assert.match(stderr, id.endsWith("nobody") ? /There is no execution/ : /has ended/);
    }
  });

  it("submit refuses what comes after nothing that is there", async () => {
    const { exitCode, stderr } = await weir("submit", "load", "--after", "extract/nobody");
    assert.equal(exitCode, 1);
    assert.match(stderr, /There is no execution extract\/nobody/);
  });

  it("submit --file starts all tasks of a file, and can wait for all", async () => {
    const tasks = await file(
      "tasks.json",
      JSON.stringify([
        { actor: "load", input: "b", id: "f-2", after: ["load/f-1"], timeout: "5 minutes" },
        { actor: "load", input: "a", id: "f-1", after: ["extract/f-0"], retry: { attempts: 2 } },
        { actor: "extract", input: 1, id: "f-0", tags: { "a.b": "c" } },
      ]),
    );
    assert.equal(
      await said("submit", "--file", tasks),
      "load/f-2\tsubmitted\nload/f-1\tsubmitted\nextract/f-0\tsubmitted\n",
    );
    assert.equal(
      await said("submit", "--file", tasks, "--wait"),
      `load/f-2\t"b: a: 2"\nload/f-1\t"a: 2"\nextract/f-0\t2\n`,
    );
    const again = objects((await weir("submit", "--file", tasks, "--json")).stdout);
    assert.deepEqual(
      again.map(({ execution, created }) => [execution, created]),
      [["load/f-2", false], ["load/f-1", false], ["extract/f-0", false]],
    );
  });

  for (
    const [what, text, exitCode, message] of [
      ["no JSON", "[{", 2, /^weir: tasks ".*tasks\.json" is refused: expected JSON/],
      ["no array", "{}", 2, /is refused: Expected array/],
      ["a word that nobody knows", `[{"actor":"load","afterwards":[]}]`, 2, /afterwards/],
      [
        "a word that nobody knows, further in",
        `[{"actor":"load","retry":{"tries":1}}]`,
        2,
        /tries/,
      ],
      ["a duration that is none", `[{"actor":"load","timeout":"soon"}]`, 2, /timeout/],
      [
        "a circle",
        `[{"actor":"load","id":"x","after":["load/y"]},{"actor":"load","id":"y","after":["load/x"]}]`,
        1,
        /load\/x waits for load\/y waits for load\/x/,
      ],
    ] as const
  ) {
    it(`submit --file refuses ${what}`, async () => {
      const ran = await weir("submit", "--file", await file("tasks.json", text));
      assert.deepEqual([ran.exitCode, ran.stdout], [exitCode, ""]);
      assert.match(ran.stderr, message);
    });
  }

  it("schedule runs a task by a count, and tells of it", async () => {
    const words = ["schedule", "extract", "4", "--id", "s", "--every", "1 second", "--count", "2"];
    assert.equal(await said(...words), "extract/s  scheduled\n");
    assert.equal(await said(...words), "extract/s  was there already\n");
    await expect(
      ["schedule", "show", "extract/s"],
      /^schedule +extract\/s\nstatus +completed\nwhy .*\nruns +2 times, every 1s\nmisfire +fire-once\noverlap +allow\nrunning +0\ncreated +2\ncompleted +2\nfailed +0\n/,
    );
    await expect(
      ["schedule", "runs", "extract/s"],
      /^extract\/s~2\tcompleted\tTIME\tTIME\tweir\.schedule=extract\/s\nextract\/s~1\t/,
    );
    const listed = objects((await weir("schedule", "runs", "extract/s", "--json")).stdout);
    assert.deepEqual(listed.map(({ execution }) => execution), ["extract/s~2", "extract/s~1"]);
  });

  it("schedule runs a task by a calendar, and is steered by further words", async () => {
    const calendar = ["--cron", "0 0 6 1 jan * 2099", "--time-zone", "Europe/Berlin", "--max", "3"];
    const policies = ["--misfire", "fire-all", "--overlap", "skip", "--grace", "5 minutes"];
    await said("schedule", "waits", "--id", "c", ...calendar, ...policies, "--timeout", "1 hour");
    const [start] = objects((await weir("history", "waits/c", "--json")).stdout);
    const { task } = start!["record"] as {
      readonly task: { readonly schedule: { readonly since: number } };
    };
    const { since, ...schedule } = task.schedule;
    assert.ok(since > 0);
    assert.deepEqual({ ...task, schedule }, {
      timeoutMs: 3_600_000,
      schedule: {
        graceMs: 300_000,
        policy: {
          type: "cron",
          expression: "0 0 6 1 jan * 2099",
          timeZone: "Europe/Berlin",
          maxOccurrences: 3,
        },
        misfire: { type: "fire-all", limit: 100 },
        overlap: "skip",
      },
    });
    const show = ["schedule", "show", "waits/c"];
    await expect(show, /next +TIME\nrunning +0\ncreated +0\n/);
    assert.equal(
      await said("schedule", "trigger", "waits/c", "--id", "x"),
      "waits/c~now-x  asked for\n",
    );
    await expect(show, /running +1\ncreated +1\n/);
    assert.equal(await said("schedule", "pause", "waits/c"), "waits/c  pause sent\n");
    await expect(show, /status +paused\n/);
    const changed = ["--cron", "0 6 1 1 *", "--time-zone", "UTC"];
    assert.equal(
      await said("schedule", "change", "waits/c", ...changed),
      "waits/c  change sent\n",
    );
    assert.equal(await said("schedule", "resume", "waits/c"), "waits/c  resume sent\n");
    await expect(show, /next +TIME\nrunning +1\n/);
    const time = ["--from", "2025-01-01T00:00:00Z", "--to", "2026-01-01T06:00:00Z"];
    const [asked] = objects(await said("schedule", "backfill", "waits/c", ...time, "--json"));
    assert.deepEqual(asked!["asked"], "backfill");
    await expect(show, /running +3\ncreated +3\n/);
    const [shown] = objects((await weir(...show, "--json")).stdout);
    assert.deepEqual((shown!["schedule"] as { readonly running: number }).running, 3);
    assert.equal(
      await said("schedule", "cancel", "waits/c", "--reason", "enough"),
      "waits/c  cancel sent\n",
    );
    await expect(show, /status +cancelled\n/);
    await expect(["describe", "waits/c~now-x"], /status +cancelled\n/);
  });

  it("schedule finish ends it with its last run", async () => {
    await said("schedule", "waits", "--id", "f", "--cron", "0 6 * * *");
    assert.equal(await said("schedule", "finish", "waits/f"), "waits/f  finish sent\n");
    await expect(["schedule", "show", "waits/f"], /status +completed\n/);
  });

  it("schedule ls lists schedules, and neither their runs nor what runs once", async () => {
    await said("schedule", "waits", "--id", "y", "--cron", "0 6 1 1 *", "--tenant", "yearly");
    await said("schedule", "load", `"x"`, "--id", "y", "--cron", "0 6 1 1 *", "--tenant", "yearly");
    await said("schedule", "trigger", "waits/y", "--id", "x", "--tenant", "yearly");
    await said("start", "waits", "--id", "w", "--tenant", "yearly");
    await expect(["ls", "--tenant", "yearly"], /waits\/y~now-x\tsuspended/);
    const words = ["schedule", "ls", "--tenant", "yearly"];
    await expect(
      words,
      /^load\/y\tsuspended\tTIME\t-\tweir\.kind=schedule\nwaits\/y\tsuspended\tTIME\t-\tweir\.kind=schedule\n$/,
    );
    const page = objects((await weir(...words, "--json", "--limit", "1")).stdout);
    assert.deepEqual(page.map(({ execution }) => execution), ["load/y"]);
    const waiting = objects((await weir(...words, "--json", "--actor", "waits")).stdout);
    assert.deepEqual(waiting.map(({ execution }) => execution), ["waits/y"]);
    assert.equal(await said(...words, "--status", "completed"), "");
  });

  it("schedule steers nothing that is no schedule", async () => {
    await said("start", "waits", "--id", "w-1");
    const ran = await weir("schedule", "pause", "waits/w-1");
    assert.equal(ran.exitCode, 2);
    assert.match(ran.stderr, /^weir: schedule "waits\/w-1" is refused: it was started to run once/);
    assert.equal((await weir("schedule", "show", "waits/nobody")).exitCode, 1);
  });
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
