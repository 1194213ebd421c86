/**
 * Runs each example as its reader would, on the installed package: the one for Deno on Deno, the
 * others on Node, each with a store of its own. It has to end by itself, with 0, and to print what its
 * last comments promise.
 */
import { randomUUID } from "node:crypto";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { ending, run } from "./command.ts";
import { endLeftovers, markerName } from "./leftovers.ts";

const limitSeconds = 60;

export interface Example {
  readonly name: string;
  readonly run: () => Promise<void>;
}

/** What it is to print, whatever it prints beside. */
const promised = async (folder: string): Promise<ReadonlyArray<string>> => {
  const source = await readFile(join(folder, "main.ts"), "utf8");
  return [...source.matchAll(/^\/\/ prints: (.+)$/gm)].map(([, line = ""]) => line);
};

const runExample = async (folder: string, program: string, args: ReadonlyArray<string>) => {
  const marker = randomUUID();
  const finished = await run(program, [...args, "main.ts"], {
    cwd: folder,
    env: {
      XDG_DATA_HOME: join(folder, "data"),
      [markerName]: marker,
    },
    limitSeconds,
  });
  const leftovers = await endLeftovers(marker);
  const lines = await promised(folder);
  const problems = [
    ...(finished.exitCode === 0 ? [] : [`it ${ending(finished)}`]),
    ...(lines.length === 0 ? ["it promises nothing"] : []),
    ...lines.filter((line) => !finished.output.includes(line)).map((line) => `no line "${line}"`),
    ...leftovers.map((process) => `it left ${process}`),
  ];
  if (problems.length > 0) throw new Error([...problems, finished.output].join("\n"));
};

/** The examples in a folder that has the package installed, or above it. */
export const examplesIn = async (
  folder: string,
  node: string,
): Promise<ReadonlyArray<Example>> => {
  const entries = await readdir(folder, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => ({
    name,
    run: async () => {
      const own = join(folder, name);
      await mkdir(join(own, "data"));
      return name.startsWith("deno-")
        ? await runExample(own, process.execPath, [
          "run",
          "-A",
          "--no-config",
          "--node-modules-dir=manual",
        ])
        : await runExample(own, node, ["--no-warnings"]);
    },
  }));
};
