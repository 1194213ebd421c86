/**
 * The checks that need no server: format, lint, layers, dependencies, and types by both compilers.
 * `tsc` also emits what it checked, for the tests that run on Node. None of them changes a source file.
 */
import { cp, mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import process from "node:process";
import { runOrThrow } from "./command.ts";
import { checkDependencies } from "./dependencies.ts";
import { documentationPages, librarySources, manifest, root, testFolder } from "./library.ts";
import { attempt } from "./report.ts";
import { compile } from "./typescript.ts";

/** Where the sources and tests are as JavaScript once the types are checked. */
export const compiledFolder: string = join(root, ".cache", "node");

const deno = (...args: ReadonlyArray<string>): Promise<string> =>
  runOrThrow(process.execPath, args, { cwd: root });

/**
 * Types as Deno has them. Everything is installed when the gate begins, and other processes run on
 * it meanwhile: this one neither writes there nor asks the registry.
 */
const types = (...args: ReadonlyArray<string>): Promise<string> =>
  deno("check", "--quiet", "--frozen", "--node-modules-dir=manual", ...args);

/** Checks the types of the sources and tests for Node, and leaves them there as JavaScript. */
export const typesForNode = async (): Promise<void> => {
  await rm(compiledFolder, { recursive: true, force: true });
  await mkdir(compiledFolder, { recursive: true });
  const tests = await testFolder();
  for (const fixture of tests.filter((file) => !file.endsWith(".ts"))) {
    await mkdir(dirname(join(compiledFolder, fixture)), { recursive: true });
    await cp(join(root, fixture), join(compiledFolder, fixture));
  }
  await symlink(join(root, "docs"), join(compiledFolder, "docs"));
  await writeFile(join(compiledFolder, "package.json"), `{ "type": "module" }\n`);
  const upward = (file: string) => join("../..", file);
  const names = Object.entries(manifest.imports)
    .filter(([name]) => name.startsWith(manifest.name))
    .map(([name, path]) => [name, [upward(path)]]);
  await compile({
    folder: compiledFolder,
    options: {
      module: "ESNext",
      moduleResolution: "bundler",
      skipLibCheck: true,
      rootDir: upward("."),
      outDir: ".",
      paths: Object.fromEntries(names),
    },
    files: [...await librarySources(), ...tests.filter((file) => file.endsWith(".ts"))].map(upward),
  });
};

/** One after the other: a compiler takes a gigabyte of memory, and more than one core. */
export const runChecks = async (): Promise<void> => {
  const check = (name: string, work: () => Promise<unknown>) => attempt("checks", name, work);
  await check("format", () => deno("fmt", "--check"));
  await check("lint", () => deno("lint"));
  await check("layers", () => deno("run", "-A", "scripts/check_layers.ts"));
  await check("dependencies", checkDependencies);
  await check("types for Deno", () => types("."));
  // Of a folder it would look at the sources alone.
  await check("types in the documentation", async () => {
    await types("--doc-only", ...await documentationPages());
  });
  await check("types for Node", typesForNode);
};
