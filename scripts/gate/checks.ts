/**
 * The checks that need no server: format, lint, layers, dependencies, and types by both compilers.
 * `tsc` also emits what it checked, for the tests that run on Node. None of them changes a source file.
 */
import { cp, mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import process from "node:process";
import { type Finished, run } from "./command.ts";
import { checkDependencies } from "./dependencies.ts";
import { documentationPages, librarySources, manifest, root, testFolder } from "./library.ts";
import { compile } from "./typescript.ts";

/** Where the sources and tests are as JavaScript once the types are checked. */
export const compiledFolder: string = join(root, ".cache", "node");

const deno = (...args: ReadonlyArray<string>) => (): Promise<Finished> =>
  run(process.execPath, args, { cwd: root });

/** Checks the types of the sources and tests for Node, and leaves them there as JavaScript. */
export const typesForNode = async (): Promise<Finished> => {
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
  return compile({
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

export const checks: ReadonlyArray<{ name: string; check: () => Promise<Finished> }> = [
  { name: "types for Deno", check: deno("check", "--frozen", ".") },
  {
    name: "types in the documentation",
    // Of a folder it would look at the sources alone.
    check: async () => deno("check", "--frozen", "--doc-only", ...await documentationPages())(),
  },
  { name: "types for Node", check: typesForNode },
  { name: "format", check: deno("fmt", "--check") },
  { name: "lint", check: deno("lint") },
  { name: "layers", check: deno("run", "-A", "scripts/check_layers.ts") },
  { name: "dependencies", check: checkDependencies },
];
