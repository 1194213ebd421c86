import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { openClient } from "../fixtures/log_client.ts";
import { runtimeArguments } from "../fixtures/program.ts";
import { leftovers, scratchServer } from "../fixtures/server.ts";
import { decodeMark, Ledger, type Report } from "./ledger.ts";
import { chance, named, pointsAmong } from "./seed.ts";
import { written } from "./workload.ts";
import type { Life } from "./writer.ts";

const appends = 1_000;
const points = process.env["WEIR_TEST_FULL"] === "1" ? 50 : 4;

const extension = import.meta.url.endsWith(".ts") ? ".ts" : ".js";
const script = fileURLToPath(new URL(`./writer${extension}`, import.meta.url));

const living = new Set<ChildProcess>();
process.on("exit", () => living.forEach((writer) => writer.kill("SIGKILL")));

/** One life of a writer, whose reports go into the ledger; tells the signal that ended it. */
const live = async (life: Life, ledger: Ledger): Promise<NodeJS.Signals | number | null> => {
  const args = [...runtimeArguments, script, JSON.stringify(life)];
  const writer = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  living.add(writer);
  const ended = new Promise<NodeJS.Signals | number | null>((resolve) =>
    writer.once("exit", (code, signal) => resolve(signal ?? code))
  );
  for await (const line of createInterface({ input: writer.stdout })) {
    ledger.enter(JSON.parse(line) as Report);
  }
  const end = await ended;
  living.delete(writer);
  return end;
};

describe("a writer that is killed", () => {
  for (const durability of ["bounded", "power-safe"] as const) {
    const title = `${appends} appends, ${points} kills, ${durability}`;
    it(`${title}: what it was told is there, once and in order (${named})`, async () => {
      const server = await scratchServer({ durability });
      const { url } = server;
      const client = openClient({ servers: url, durability });
      try {
        const ledger = new Ledger();
        for (const [i, end] of pointsAmong(appends, points, chance(title)).entries()) {
          const takeOver = i % 2 === 0 ? "expiry" : "revocation";
          assert.equal(await live({ url, durability, appends, takeOver, end }, ledger), "SIGKILL");
          assert.deepEqual(ledger.disagreements(await client.runPromise(written)), []);
        }
        assert.equal(await live({ url, durability, appends, takeOver: "expiry" }, ledger), 0);
        const entries = await client.runPromise(written);
        assert.deepEqual(ledger.failures, []);
        assert.deepEqual(ledger.disagreements(entries), []);
        assert.equal(new Set(entries.map((entry) => decodeMark(entry).attempt)).size, appends);
      } finally {
        await client.dispose();
        await server.stop();
      }
    });
  }
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
