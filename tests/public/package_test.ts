import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import { promisify } from "node:util";

const isDeno = "Deno" in globalThis;
/** From the folder that the package is installed in, or that of the sources. */
const commandLine = isDeno
  ? ["run", "-A", "--no-check", "cli/main.ts"]
  : [join("node_modules", "@weir", "weir", "dist", "cli", "main.js")];

/** Runs `weir`; a failure has its output, too. */
const weir = (...words: ReadonlyArray<string>) => {
  const { NATS_URL: _, ...env } = process.env;
  return promisify(execFile)(process.execPath, [...commandLine, ...words], { env });
};

describe("the package", () => {
  for (const door of ["@weir/weir", "@weir/weir/schema", "@weir/weir/effect", "@weir/weir/http"]) {
    it(`opens by ${door}`, async () => {
      assert.notDeepEqual(Object.keys(await import(door)), []);
    });
  }

  for (const inside of ["internal/x", "schema/errors.js", "streams/log.js", "dist/mod.js"]) {
    it(`keeps ${inside} to itself`, async () => {
      await assert.rejects(import(`@weir/weir/${inside}`), (error: Error) => {
        assert.match(error.message, /not (defined by|exported|in import map)|[Uu]nknown export/);
        return true;
      });
    });
  }

  it("has a command line, which knows its release", async () => {
    const { stdout } = await weir("--version");
    assert.match(stdout, /^weir \d+\.\d+\.\d+\n$/);
  });

  it("lists executions on the command line", async () => {
    const store = await mkdtemp(join(tmpdir(), "weir-package-"));
    try {
      const start = ["start", "order", "--id", "o-1", "--unserved", "--json"];
      const { stdout } = await weir(...start, "--store", store);
      assert.equal(JSON.parse(stdout).execution, "order/o-1");
      // Nobody keeps the list up.
      const listed = await weir("ls", "--json", "--store", store);
      assert.deepEqual([listed.stdout, JSON.parse(listed.stderr)], ["", { asOf: 0 }]);
    } finally {
      await rm(store, { recursive: true, force: true, maxRetries: 20 });
    }
  });
});
