/**
 * Where things are in this repository: the library's own source files, the test files, and the
 * manifest that pins what both stand on. Every other script asks here instead of listing folders.
 */
import { readdir } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import manifest from "../../deno.json" with { type: "json" };

export { manifest };

export const root: string = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

const notLibrary = new Set([
  "bench",
  "docs",
  "examples",
  "node_modules",
  "npm",
  "scripts",
  "tests",
]);

const filesBelow = async (folder: string): Promise<ReadonlyArray<string>> => {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true }).catch(() => []);
  return entries.filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name))).sort();
};

/** The library's TypeScript files, relative to the root. */
export const librarySources = async (): Promise<ReadonlyArray<string>> => {
  const sources: Array<string> = [];
  for (const entry of await readdir(root, { withFileTypes: true })) {
    if (entry.name.startsWith(".") || notLibrary.has(entry.name)) continue;
    if (entry.isDirectory()) sources.push(...await filesBelow(join(root, entry.name)));
    else sources.push(entry.name);
  }
  return sources.filter((file) => file.endsWith(".ts")).sort();
};

/** What there is to read, relative to the root; the records of decisions are not for users. */
export const documentationPages = async (): Promise<ReadonlyArray<string>> => {
  const pages = await filesBelow(join(root, "docs"));
  return ["README.md", ...pages.filter((file) => /^docs\/[^/]+\.md$/.test(file))];
};

/** Everything below `tests/`, fixtures included, relative to the root. */
export const testFolder = (): Promise<ReadonlyArray<string>> => filesBelow(join(root, "tests"));

/** The files of `tests/` that hold tests, those that take longest first. */
export const testFiles = async (): Promise<ReadonlyArray<string>> => {
  const files = (await testFolder()).filter((file) => file.endsWith("_test.ts"));
  const slow = (file: string) => /(^|\/)(chaos|sim)\//.test(file);
  return [...files.filter(slow), ...files.filter((file) => !slow(file))];
};

/** The exact version that `deno.json` pins for an npm package. */
export const pinned = (name: keyof typeof manifest.imports): string => {
  const specifier = manifest.imports[name];
  return specifier.slice(specifier.lastIndexOf("@") + 1);
};
