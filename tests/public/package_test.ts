import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { removeStore, scratchStore } from "./scratch_store.ts";

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

/** Imports the first argument, and writes the address of every module that comes with it. */
const listModules = `
  import { register } from "node:module";
  const hooks = \`
    import { writeSync } from "node:fs";
    export const load = (url, context, next) => (writeSync(1, url + "\\\\n"), next(url, context));
  \`;
  register("data:text/javascript," + encodeURIComponent(hooks));
  await import(process.argv[1]);
`;

/** What a fresh process loads: the packages, and the folders of this one. */
const loadedBy = async (module: string, ...words: ReadonlyArray<string>) => {
  const script = ["--input-type=module", "--eval", listModules, "--", module, ...words];
  const { stdout } = await promisify(execFile)(process.execPath, script);
  const found = (pattern: RegExp) =>
    [...new Set([...stdout.matchAll(pattern)].map(([, name]) => name!))].sort();
  return {
    packages: found(/\/node_modules\/((?:@[^/]+\/)?[^/]+)\//g),
    folders: found(/\/@weir\/weir\/dist\/(\w+)\//g),
  };
};

const natsClient = ["jetstream", "kv", "nats-core", "obj", "transport-node"]
  .map((name) => `@nats-io/${name}`);

describe("the package", () => {
  for (
    const door of [
      "@weir/weir",
      "@weir/weir/schema",
      "@weir/weir/effect",
      "@weir/weir/http",
      "@weir/weir/persistence",
      "@weir/weir/eventlog",
    ]
  ) {
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

  // Deno reads the sources here, and has no such hooks.
  if (!isDeno) {
    const [engine, pure] = [[...natsClient, "@weir/weir", "effect"], ["@weir/weir", "effect"]];
    const doors = { "": engine, "/schema": pure, "/http": pure };
    for (const [door, packages] of Object.entries(doors)) {
      it(`loads through @weir/weir${door} what that needs, and nothing of the command line`, async () => {
        const loaded = await loadedBy(`@weir/weir${door}`);
        assert.deepEqual(loaded.packages, packages);
        assert.ok(!loaded.folders.includes("cli") && !loaded.folders.includes("testing"));
      });
    }

    it("depends on nothing that neither a door nor the command line loads", async () => {
      const installed = join("node_modules", "@weir", "weir", "package.json");
      const { dependencies } = JSON.parse(await readFile(installed, "utf8"));
      const main = pathToFileURL(commandLine[0]!).href;
      const { packages } = await loadedBy(main, "--version");
      const used = new Set([...packages, ...engine]);
      assert.deepEqual(Object.keys(dependencies).filter((name) => !used.has(name)), []);
    });
  }

  it("has a command line, which knows its release", async () => {
    const { stdout } = await weir("--version");
    assert.match(stdout, /^weir \d+\.\d+\.\d+\n$/);
  });

  it("lists executions on the command line", async () => {
    const store = await scratchStore();
    try {
      const start = ["start", "order", "--id", "o-1", "--unserved", "--json"];
      const { stdout } = await weir(...start, "--store", store);
      assert.equal(JSON.parse(stdout).execution, "order/o-1");
      // Nobody keeps the list up.
      const listed = await weir("ls", "--json", "--store", store);
      assert.deepEqual([listed.stdout, JSON.parse(listed.stderr)], ["", { asOf: 0 }]);
    } finally {
      await removeStore(store);
    }
  });
});
