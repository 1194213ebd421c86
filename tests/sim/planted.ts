/**
 * Bugs that are planted to see that they are found: patches in `bugs/`, each applied to a copy of the
 * sources, where the simulation that its head names is run. The tree itself is not touched.
 */
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = join(root, "tests", "sim", "bugs");

/** What the simulations are made of. */
const copied = [
  "deno.json",
  "deno.lock",
  "schema",
  "streams",
  "actors",
  "testing",
  "tests/sim",
  "tests/chaos",
  "tests/public",
];

export interface Bug {
  readonly name: string;
  readonly file: string;
  /** The simulation that finds it, and a schedule in which it did so. */
  readonly simulation: string;
  readonly seed: number;
  readonly schedule: number;
}

export interface Search {
  readonly seed: number;
  readonly first: number;
  readonly runs: number;
}

const fieldOf = (name: string, text: string): string | undefined =>
  new RegExp(`^${name}: (.*)$`, "m").exec(text)?.[1];

const bugIn = async (name: string): Promise<Bug> => {
  const file = join(folder, name);
  const text = await readFile(file, "utf8");
  const seen = /^seed (\d+), schedule (\d+)$/.exec(fieldOf("Seen", text) ?? "");
  return {
    name: name.replace(/\.patch$/, ""),
    file,
    simulation: fieldOf("Simulation", text) ?? "",
    seed: Number(seen?.[1] ?? 1),
    schedule: Number(seen?.[2] ?? 0),
  };
};

export const bugs: ReadonlyArray<Bug> = await Promise.all(
  (await readdir(folder)).filter((name) => name.endsWith(".patch")).sort().map(bugIn),
);

interface Ran {
  readonly code: number;
  readonly output: string;
}

const run = (program: string, args: ReadonlyArray<string>, cwd: string): Promise<Ran> =>
  new Promise((resolve, reject) => {
    const options = { cwd, maxBuffer: 64 * 1024 * 1024 };
    execFile(program, args, options, (error, stdout, stderr) => {
      if (error !== null && typeof error.code !== "number") return reject(error);
      resolve({ code: error === null ? 0 : Number(error.code), output: `${stdout}${stderr}` });
    });
  });

const withCopy = async <A>(use: (copy: string) => Promise<A>): Promise<A> => {
  const copy = await mkdtemp(join(tmpdir(), "weir-sim-"));
  try {
    for (const name of copied) {
      await mkdir(dirname(join(copy, name)), { recursive: true });
      await cp(join(root, name), join(copy, name), { recursive: true });
    }
    await symlink(join(root, "node_modules"), join(copy, "node_modules"));
    return await use(copy);
  } finally {
    await rm(copy, { recursive: true, force: true });
  }
};

/** In which schedule a planted bug is found, if it is. */
export const foundIn = ({ name, file, simulation }: Bug, search: Search) =>
  withCopy(async (copy): Promise<number | undefined> => {
    const applied = await run("git", ["apply", file], copy);
    if (applied.code !== 0) {
      throw new Error(
        `tests/sim/bugs/${name}.patch does not apply any more. Plant the same bug in the sources as ` +
          `they are now, write "git diff" beneath the head of the patch, and take the bug out again.` +
          `\n${applied.output}`,
      );
    }
    const { code, output } = await run(process.execPath, [
      "run",
      "-A",
      "--no-check",
      "tests/sim/main.ts",
      ...["--of", simulation],
      ...["--seed", `${search.seed}`],
      ...["--first", `${search.first}`],
      ...["--runs", `${search.runs}`],
      "--unshrunk",
    ], copy);
    const schedule = /^a violation in schedule (\d+)/m.exec(output)?.[1];
    if (code === 1 && schedule !== undefined) return Number(schedule);
    if (code === 0) return undefined;
    throw new Error(`the simulation with ${name} ends with ${code}:\n${output}`);
  });
