import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { makeClaims } from "../../scripts/demo/claims.ts";
import { makeScreen } from "../../scripts/demo/screen.ts";
import { type Row, timeline } from "../../scripts/demo/timeline.ts";
import { isAlive, storeProcesses } from "../fixtures/embedded_server.ts";
import { runtimeArguments } from "../fixtures/program.ts";
import { eventually, leftovers, scratchFolder } from "../fixtures/server.ts";

/** Everything that the demo writes where nobody watches, but for what differs from run to run. */
const story = `Four orders, two workers, one kill -9. A real nats-server keeps the log.

nats-server VERSION is up, with its data in STORE.
WORKER is process N, WORKER is process N.
Four orders are started: ORDER, ORDER, ORDER, ORDER.
A reader of who owns what saves its cursor, CURSOR, and leaves.
kill -9 N: WORKER dies while it charges order/ORDER.
After 10 s of silence the server offers its orders to the other one.
✓ ORDER: lease epoch 1 -> 2, WORKER -> WORKER
Had WORKER only been frozen, it would record its charge now, under
the lease revision it knows, N. That very write goes to the server:
✓ the server refuses the zombie: 10071, wrong last sequence: N
✓ pick was finished and is not repeated: it ran once, on WORKER
✓ charge was cut off and ran again, under the same idempotency key
✓ the result: picked by WORKER, charged and shipped by WORKER
✓ nobody else noticed: ORDERS
The reader comes back with its cursor, to all that it has missed:
✓ leaseHistory: N events; of ORDER expired, reclaimed …
✓ completions: N events; of ORDER success
✓ signalDeliveries: N events; of ORDER satisfied
✓ instanceTags: N events; of ORDER attached

Everything that was claimed was seen. The log is still there, to be asked:
  deno task weir ls --store STORE --namespace demo
  deno task weir history order/ORDER --store STORE --namespace demo
  deno task weir tail completions --after CURSOR --store STORE --namespace demo
  (without Deno: npx -y deno task …; where the package is installed: npx weir …)
Next: docs/guide.md to write your own, docs/semantics.md for what happens if…,
and examples/ for programs that run.`;

const golden = (line: string): string =>
  line.replace(/^ *\d+\.\d s {2}/, "")
    .replace(/\b(book|lamp|chair|desk)-\w{4}\b/g, "ORDER")
    .replace(/\bworker-[12]\b/g, "WORKER")
    .replace(/\bAw[\w-]{6,}…?/, "CURSOR")
    .replace(/\S+\/store-[^\s.]+/, "STORE")
    .replace(/nats-server \d\S+/, "nats-server VERSION")
    .replace(/(process|kill -9|knows,|sequence:) \d+/g, "$1 N")
    .replace(/\d+ events/, "N events")
    // What is over the number that is certain depends on how fast the machine is.
    .replace(/noticed: ORDER(, ORDER)*$/, "noticed: ORDERS")
    .replace(/reclaimed(, (acquired|renewed|released))*$/, "reclaimed …");

/** The demo as a process that writes to a pipe. */
const launch = (store: string) => {
  const script = fileURLToPath(new URL("../../scripts/demo.ts", import.meta.url));
  const child = spawn(process.execPath, [...runtimeArguments, script, "--store", store]);
  const lines: Array<string> = [];
  const errors: Array<string> = [];
  createInterface({ input: child.stdout }).on("line", (line) => lines.push(line));
  createInterface({ input: child.stderr }).on("line", (line) => errors.push(line));
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  return { child, lines, errors, ended };
};

const nobodyIsLeft = async (store: string, lines: ReadonlyArray<string>) => {
  const workers = lines.flatMap((line) => [...line.matchAll(/worker-\d is process (\d+)/g)])
    .map(([, pid]) => Number(pid));
  assert.equal(workers.length, 2);
  await eventually("the workers and the server have ended", () => {
    const { servers, keeper } = storeProcesses(store);
    const isOver = servers.length === 0 && keeper === undefined && !workers.some(isAlive);
    return isOver || undefined;
  }, 30_000);
};

// The demo is a task of Deno's; what it is made of is tested on both runtimes.
if ("Deno" in globalThis) {
  describe("the demo, in a pipe", () => {
    it("tells what it has seen, in plain lines, and leaves no process behind", async () => {
      const store = scratchFolder("store");
      const { lines, errors, ended } = launch(store);
      const exitCode = await ended;
      const all = [...lines, ...errors].join("\n");
      assert.equal(exitCode, 0, all);
      // What a worker has to complain of on a busy machine is no part of the story.
      const told = lines.filter((line) => !/ s {2}worker-\d: /.test(line));
      assert.equal(told.map(golden).join("\n"), story, all);
      await nobodyIsLeft(store, lines);
    });

    it("ends with 130 when it is interrupted, and leaves no process behind", async () => {
      const store = scratchFolder("store");
      const { child, lines, ended } = launch(store);
      await eventually(
        "a worker is killed",
        () => lines.some((line) => line.includes("kill -9 ")) || undefined,
        60_000,
      );
      // Deno's own `child.kill` would have every later end look like that signal.
      process.kill(child.pid!, "SIGINT");
      assert.equal(await ended, 130);
      await nobodyIsLeft(store, lines);
    });

    it("ends with 1 and says why when there can be no server", async () => {
      const file = join(scratchFolder("file"), "file");
      writeFileSync(file, "");
      const { errors, ended } = launch(join(file, "store"));
      assert.equal(await ended, 1);
      assert.match(errors.join("\n"), /^The demo could not go on: .*the store cannot be created/);
    });
  });
}

const rows: ReadonlyArray<Row> = [
  {
    name: "book",
    owner: "worker-2",
    phases: [
      { at: 0, kind: "waiting", text: "" },
      { at: 1_000, kind: "working", text: "pick", style: "cyan" },
      { at: 4_000, kind: "lost", text: "✗ kill -9 " },
      { at: 10_000, kind: "working", text: "charge", style: "magenta" },
      { at: 15_000, kind: "done", text: "✓" },
    ],
  },
  { name: "chair", owner: "", phases: [{ at: 8_000, kind: "waiting", text: "ok?" }] },
];

const textsOf = (now: number, columns: number): ReadonlyArray<string> =>
  timeline(rows, now, columns).map((line) => line.map(({ text }) => text).join(""));

describe("the timeline", () => {
  it("has a bar for each order, on which each step begins with its name", () => {
    assert.deepEqual(textsOf(17_000, 53), [
      " book  ··pick━━✗ kill -9 ┄┄charge━━━━✓     worker-2",
      " chair                 ok?················ ",
    ]);
  });

  it("fits the terminal, however narrow", () => {
    for (const columns of [120, 80, 40, 20, 5]) {
      for (const line of textsOf(40_000, columns)) assert.ok(line.length < columns, line);
    }
  });
});

/** What a terminal of a few columns shows of what is written to it, and all of that. */
const fakeTerminal = (isTTY: boolean) => {
  const shown: Array<string> = [""];
  let written = "";
  const shownBy = (plain: string) => {
    const [first, ...rest] = plain.replaceAll("\r", "").split("\n");
    shown.push(shown.pop()! + first, ...rest);
  };
  return {
    output: {
      isTTY,
      columns: 40,
      write: (text: string) => {
        written += text;
        const [plain = "", ...controlled] = text.split("\u001b[");
        shownBy(plain);
        for (const part of controlled) {
          const [, count, control, rest] = /^\??(\d*)(\w)([^]*)$/.exec(part)!;
          if (control === "A") shown.splice(-1 - Number(count), Infinity, "");
          shownBy(rest!);
        }
      },
    },
    shown,
    written: () => written,
  };
};

const isColored = (text: string): boolean =>
  text.split("\u001b[").slice(1).some((part) => /^\d+m/.test(part));

describe("the screen", () => {
  const play = (isTTY: boolean, environment: { term?: string; noColor?: string } = {}) => {
    const terminal = fakeTerminal(isTTY);
    let state = "one";
    const screen = makeScreen({
      output: terminal.output,
      ...environment,
      picture: () => [[{ text: `picture ${state}`, style: "cyan" }], [{ text: "below" }]],
    });
    screen.say("first");
    state = "two";
    screen.say("✓ second");
    state = "three";
    screen.close();
    screen.say("last");
    return terminal;
  };

  it("keeps the lines and draws the picture below them again", () => {
    const { shown, written } = play(true);
    assert.deepEqual(shown, ["first", "✓ second", "picture three", "below", "last", ""]);
    assert.ok(isColored(written()));
    assert.ok(written().endsWith("\u001b[?25hlast\n"), "the cursor is back");
  });

  it("has no colour where none is wanted", () => {
    const { shown, written } = play(true, { noColor: "1" });
    assert.deepEqual(shown, ["first", "✓ second", "picture three", "below", "last", ""]);
    assert.ok(!isColored(written()));
  });

  it("writes plain lines to a pipe, and to a terminal that cannot do better", () => {
    for (const terminal of [play(false), play(true, { term: "dumb" })]) {
      assert.equal(terminal.written(), "first\n✓ second\nlast\n");
    }
  });
});

it("a claim that does not hold says what was seen, and is counted", () => {
  const said: Array<string> = [];
  const claims = makeClaims((line) => said.push(line));
  claims.check("two", { is: 2 }, { is: 2 });
  claims.check("three", [2], [3]);
  assert.deepEqual(said, ["✓ two", "✗ three: NO.", "  expected [3]", "  seen     [2]"]);
  assert.equal(claims.failed, 1);
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
