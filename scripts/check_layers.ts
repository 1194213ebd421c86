/**
 * Holds the architecture's order of layers: schema, streams, actors, the doors that users come in by,
 * and the command line. Imports never point up, an `internal/` folder is closed to all but its parent,
 * `effect` is imported module by module, its platform only by the command line, and public tests see
 * nothing but the package's names.
 */
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import process from "node:process";
import ts from "typescript";
import { librarySources, root, testFiles } from "./gate/library.ts";

const layers = ["schema", "streams", "actors"];

/** What no program imports: it stands on everything else. */
const commandLine = "cli";

/** Everything else that is in no layer is a door. */
const layerOf = (file: string): number => {
  const [folder] = file.split("/");
  if (folder === commandLine) return layers.length + 1;
  const layer = layers.indexOf(folder!);
  return layer === -1 ? layers.length : layer;
};

const isRelative = (specifier: string): boolean => /^\.\.?\//.test(specifier);

/** Why the library file may not import this, if it may not. */
const refuse = (file: string, specifier: string): string | undefined => {
  if (isRelative(specifier)) {
    const target = join(dirname(file), specifier);
    if (layerOf(target) > layerOf(file)) return "it points up";
    const inside = /^(.*?)(?:^|\/)internal\//.exec(target);
    if (inside !== null && !file.startsWith(inside[1] === "" ? "" : `${inside[1]}/`)) {
      return `only ${inside[1] || "the root"} may import its internal/`;
    }
    return undefined;
  }
  if (/^effect(\/|$)/.test(specifier) && !/\/[A-Z]\w*$/.test(specifier)) {
    return `it is a barrel; import the one module, as in "effect/Effect"`;
  }
  if (specifier.startsWith("@effect/")) {
    if (!file.startsWith(`${commandLine}/`)) return `only ${commandLine}/ may import it`;
    if (!/\/[A-Z]\w*$/.test(specifier)) return "it is a barrel; import the one module";
  }
  if (layerOf(file) === 0 && !specifier.startsWith("effect/")) {
    return "schema/ imports effect and itself, nothing else";
  }
  return undefined;
};

const importsOf = async (file: string): Promise<ReadonlyArray<string>> =>
  ts.preProcessFile(await readFile(join(root, file), "utf8"), true, true)
    .importedFiles.map(({ fileName }) => fileName);

const refusals: Array<string> = [];
for (const file of await librarySources()) {
  for (const specifier of await importsOf(file)) {
    const reason = refuse(file, specifier);
    if (reason !== undefined) refusals.push(`${file} imports "${specifier}": ${reason}`);
  }
}
for (const file of (await testFiles()).filter((name) => name.startsWith("tests/public/"))) {
  for (const specifier of (await importsOf(file)).filter(isRelative)) {
    if (!join(dirname(file), specifier).startsWith("tests/public/")) {
      refusals.push(`${file} imports "${specifier}": a public test uses the package by name`);
    }
  }
}
for (const refusal of refusals) console.error(refusal);
process.exitCode = refusals.length === 0 ? 0 : 1;
