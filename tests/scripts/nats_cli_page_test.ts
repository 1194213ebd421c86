/**
 * The page on the NATS CLI: its commands are run, one after the other, on what it says is there, and
 * print what it shows. Times, numbers and ids are those of another run; `WEIR_UPDATE_DOCS=1` puts
 * the present ones into the page.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import process from "node:process";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { actor, connect, signal, type Weir } from "../../mod.ts";
import {
  eventually,
  leftovers,
  scratchFolder,
  type ScratchServer,
  scratchServer,
} from "../fixtures/server.ts";

/** The sources may lie elsewhere, compiled. */
const repository = (folder = dirname(fileURLToPath(import.meta.url))): string =>
  existsSync(join(folder, "README.md")) ? folder : repository(dirname(folder));

const page = join(repository(), "docs", "nats-cli.md");
const shown = /^```console\n(.*?)^```$/gms;

/** What two runs have in common: which lines there are, in whatever order, number and width. */
const normalised = (output: string): ReadonlyArray<string> => {
  const lines = output
    .replaceAll(/[A-Za-z0-9_-]{16,}/g, "id")
    .replaceAll("renewed", "acquired")
    .replaceAll(/(\d+(\.\d+)? ?(KiB|B|ms|µs|s|m|%)?( \/ )?)+/g, "0")
    .replaceAll(/[─ ]+/g, " ")
    .split("\n")
    .map((line) => line.trim());
  return [...new Set(lines)].sort();
};

describe("the page on the NATS CLI", () => {
  let server: ScratchServer;
  let weir: Weir;
  const approval = signal<{ by: string }>("approval");
  const order = actor("order", async (ctx, cents: number) => {
    const receipt = await ctx.run("charge", () => `receipt over ${cents}`);
    const { by } = await ctx.wait(approval);
    return { receipt, by };
  });

  before(async () => {
    server = await scratchServer();
    weir = await connect({ servers: server.url, tenant: "acme" });
    await weir.worker([order], { identity: "worker-1", residentGrace: "10 minutes" });
    const done = await weir.start(order, 4200, { id: "o-1", tags: { "team.name": "checkout" } });
    await done.signal(approval, { by: "ana" });
    await done.result();
    for await (
      const { type } of weir.leaseHistory({ after: "earliest", executionId: done.id })
    ) {
      if (type === "released") break;
    }
    const waiting = await weir.start(order, 100, { id: "o-2" });
    await eventually(
      "it waits",
      async () => (await waiting.describe()).reason === "signal" || undefined,
      30_000,
    );
  });
  after(async () => {
    await weir.close();
    await server.stop();
  });

  it("shows what its commands print", async () => {
    const cli = process.env["WEIR_NATS_CLI"];
    assert.ok(cli, "WEIR_NATS_CLI names no NATS CLI; scripts/nats_cli.ts provides one");
    const home = scratchFolder("home");
    const environment = {
      PATH: process.env["PATH"],
      HOME: home,
      XDG_CONFIG_HOME: home,
      NATS_URL: server.url,
      CLI: cli,
    };
    const text = await readFile(page, "utf8");
    let written = text;
    for (const [, session = ""] of text.matchAll(shown)) {
      const [first = ""] = session.split("\n");
      assert.match(first, /^\$ nats /);
      const { stdout, stderr } = await promisify(execFile)(
        "sh",
        ["-c", first.replace("$ nats", '"$CLI"')],
        { env: environment, timeout: 30_000 },
      );
      const output = `${stdout}${stderr}`.replaceAll(/^\n|\s+$/g, "").replaceAll(/[ ]+$/gm, "");
      written = written.replace(session, () => `${first}\n${output}\n`);
      if (process.env["WEIR_UPDATE_DOCS"] === undefined) {
        const before = session.slice(first.length + 1);
        assert.deepEqual(normalised(output), normalised(before.trimEnd()), first);
      }
    }
    if (process.env["WEIR_UPDATE_DOCS"] !== undefined) await writeFile(page, written);
    assert.deepEqual(await weir.get(order, "o-2").result(), {
      receipt: "receipt over 100",
      by: "cli",
    });
  });
});

it("nothing is left behind", async () => assert.deepEqual(await leftovers(), []));
