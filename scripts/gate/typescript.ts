/**
 * Compiles with the pinned `tsc`, as a user of the npm package would: strict, for Node 20, with the
 * library types that Node 20 has, so that code which needs a newer runtime is refused here. The
 * options that Deno shares come from `deno.json`.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { runOrThrow } from "./command.ts";
import { manifest, root } from "./library.ts";

export interface Compilation {
  /** Where the configuration is written, and what its paths are relative to. */
  readonly folder: string;
  readonly options: Readonly<Record<string, unknown>>;
  readonly files: ReadonlyArray<string>;
}

export const compile = async ({ folder, options, files }: Compilation): Promise<void> => {
  await mkdir(folder, { recursive: true });
  const config = join(folder, "tsconfig.json");
  const compilerOptions = {
    ...manifest.compilerOptions,
    target: "ES2022",
    lib: ["ES2023", "ES2024.String"],
    types: ["node"],
    rewriteRelativeImportExtensions: true,
    sourceMap: true,
    ...options,
  };
  await writeFile(config, JSON.stringify({ compilerOptions, files }, null, 2) + "\n");
  const compiler = `${manifest.imports.typescript}/tsc`;
  await runOrThrow(process.execPath, ["run", "-A", compiler, "-p", config], { cwd: root });
};
