/**
 * Builds the npm package in `npm/` and packs it, from `deno.json` and the sources alone: `tsc` emits
 * the modules that the exports reach, each with its declarations and maps. An export without both
 * fails the build, and whatever is not an export cannot be imported by users of the package.
 */
import { cp, mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { version } from "../cli/version.ts";
import { effectRange } from "../schema/effect_version.ts";
import { runOrThrow } from "./gate/command.ts";
import { librarySources, manifest, pinned, root } from "./gate/library.ts";
import { compile } from "./gate/typescript.ts";
import { exists } from "./gate/user_cache.ts";

const output = join(root, "npm");
const documents = ["README.md", "LICENSE", "CHANGELOG.md"];
const commandLine = "cli/main.ts";
/** For the command line alone; it goes with the release of effect. */
const commandLinePlatform = "@effect/platform-node-shared";
/** For the door `./outbox/postgres` alone. */
const postgresRange = "^8.11.0";

const emitted = (source: string, extension: ".js" | ".d.ts"): string =>
  `./dist/${source.replace(/^\.\//, "").replace(/\.ts$/, extension)}`;

const packageJson = (): Record<string, unknown> => {
  const entries = Object.entries(manifest.exports).map(([name, source]) => [
    name,
    { types: emitted(source, ".d.ts"), default: emitted(source, ".js") },
  ]);
  const dependencies = Object.keys(manifest.imports)
    .filter((name) => name.startsWith("@nats-io/"))
    .map((name) => [name, pinned(name as keyof typeof manifest.imports)]);
  return {
    name: manifest.name,
    version: manifest.version,
    description: "Durable actors for TypeScript on NATS JetStream",
    license: manifest.license,
    type: "module",
    exports: {
      ...Object.fromEntries(entries),
      "./internal/*": null,
      "./package.json": "./package.json",
    },
    bin: { weir: emitted(commandLine, ".js") },
    files: ["dist", "src"],
    // A bundler must not drop the one import that is there for what it does.
    sideEffects: ["./dist/schema/effect_version.js"],
    engines: { node: ">=20" },
    dependencies: { [commandLinePlatform]: effectRange, ...Object.fromEntries(dependencies) },
    peerDependencies: { effect: effectRange, pg: postgresRange },
    peerDependenciesMeta: { pg: { optional: true } },
  };
};

const stageSources = async (): Promise<void> => {
  for (const source of await librarySources()) {
    await mkdir(dirname(join(output, "src", source)), { recursive: true });
    await cp(join(root, source), join(output, "src", source));
  }
};

const compileExports = async (): Promise<void> => {
  const entries = [...Object.values(manifest.exports), commandLine];
  await compile({
    folder: output,
    options: {
      module: "NodeNext",
      rootDir: "src",
      outDir: "dist",
      declaration: true,
      declarationMap: true,
      skipLibCheck: true,
    },
    files: entries.map((entry) => join("src", entry)),
  });
  await rm(join(output, "tsconfig.json"));
};

/** Removes the sources that no export reaches, and fails for an export that lacks its files. */
const matchSourcesToOutput = async (): Promise<void> => {
  for (const source of await librarySources()) {
    if (!await exists(join(output, emitted(source, ".js")))) {
      await rm(join(output, "src", source));
    }
  }
  for (const entry of [...Object.values(manifest.exports), commandLine]) {
    for (const extension of [".js", ".d.ts"] as const) {
      const file = emitted(entry, extension);
      if (!await exists(join(output, file))) throw new Error(`${entry} has no ${file}`);
    }
  }
};

/** Builds and packs; returns the path of the tarball. */
export const buildPackage = async (): Promise<string> => {
  if (version !== manifest.version) {
    throw new Error(`cli/version.ts says ${version}, and deno.json ${manifest.version}`);
  }
  await rm(output, { recursive: true, force: true });
  await mkdir(output, { recursive: true });
  const description = JSON.stringify(packageJson(), null, 2);
  await writeFile(join(output, "package.json"), `${description}\n`);
  for (const document of documents) await cp(join(root, document), join(output, document));
  await stageSources();
  await compileExports();
  await matchSourcesToOutput();
  await runOrThrow("npm", ["pack", "--ignore-scripts", "--loglevel=error"], { cwd: output });
  const packed = (await readdir(output)).find((file) => file.endsWith(".tgz"));
  if (packed === undefined) throw new Error("npm pack left no archive");
  const archive = join(output, `weir-${manifest.version}.tgz`);
  await rename(join(output, packed), archive);
  return archive;
};

if (import.meta.main) console.log(`packed ${await buildPackage()}`);
