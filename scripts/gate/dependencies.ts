/**
 * Holds what others wrote to what was agreed: each package pinned and locked with a checksum, under a
 * licence that goes with ours, and running nothing when it is installed. Advisories are asked for at
 * the registry; where it cannot be reached that is said, and is no failure.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { run } from "./command.ts";
import { manifest, root } from "./library.ts";

const licences = new Set([
  "MIT",
  "Apache-2.0",
  "ISC",
  "BSD-2-Clause",
  "BSD-3-Clause",
  "0BSD",
  "Unlicense",
]);

interface Locked {
  readonly integrity?: string;
  /** Whether it wants to run something when it is installed. */
  readonly scripts?: boolean;
}

interface Lock {
  readonly specifiers: Readonly<Record<string, string>>;
  readonly npm?: Readonly<Record<string, Locked>>;
  readonly jsr?: object;
  readonly remote?: object;
}

/** What is wrong with what the manifest asks for. */
export const unpinned = (imports: Readonly<Record<string, string>>): ReadonlyArray<string> =>
  Object.entries(imports)
    .filter(([, target]) => !target.startsWith("./") && !/^npm:.+@\d+\.\d+\.\d+$/.test(target))
    .map(([name, target]) => `${name} is ${target}: pin it, like npm:${name}@1.2.3`);

/** What is wrong with what is locked. */
export const unlocked = ({ npm = {}, jsr, remote }: Lock): ReadonlyArray<string> => [
  ...(jsr === undefined && remote === undefined
    ? []
    : ["deno.lock has packages that are not of npm: look at where they come from"]),
  ...Object.entries(npm).flatMap(([name, { integrity, scripts }]) => [
    ...(integrity?.startsWith("sha512-") === true ? [] : [`${name} is locked without a checksum`]),
    ...(scripts === true ? [`${name} runs scripts when it is installed: do without it`] : []),
  ]),
];

const nameOf = (locked: string): string => /^(@?[^@]+)@/.exec(locked)![1]!;

/** What is wrong with the licences of what is installed. */
const unlicensed = async ({ npm = {} }: Lock): Promise<ReadonlyArray<string>> => {
  const store = join(root, "node_modules", ".deno");
  const folders = await readdir(store);
  const found: Array<string> = [];
  for (const locked of Object.keys(npm)) {
    const name = nameOf(locked);
    const version = locked.slice(name.length + 1).split("_")[0];
    const prefix = `${name.replace("/", "+")}@${version}`;
    const folder = folders.find((each) => each === prefix || each.startsWith(`${prefix}_`));
    // Of those for other machines there is nothing here.
    if (folder === undefined) continue;
    const file = join(store, folder, "node_modules", name, "package.json");
    const { license } = JSON.parse(await readFile(file, "utf8"));
    if (!licences.has(license)) found.push(`${locked} is under ${license}`);
  }
  return found;
};

/** What is known against what is locked, if anybody can be asked. */
const advisories = async (): Promise<ReadonlyArray<string>> => {
  const { exitCode, timedOut, output } = await run(process.execPath, ["audit", "--level=high"], {
    cwd: root,
    limitSeconds: 30,
  });
  if (exitCode === 0) return [];
  if (timedOut || /error sending request/.test(output)) {
    console.log("      advisories: the registry cannot be reached, so nobody has looked");
    return [];
  }
  return [output];
};

/** All of it; rejects with what is wrong. */
export const checkDependencies = async (): Promise<void> => {
  const lock: Lock = JSON.parse(await readFile(join(root, "deno.lock"), "utf8"));
  const wrong = [
    ...unpinned(manifest.imports),
    ...unlocked(lock),
    ...await unlicensed(lock),
    ...await advisories(),
  ];
  if (wrong.length > 0) throw new Error(wrong.join("\n"));
};
