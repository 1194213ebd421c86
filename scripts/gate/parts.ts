/**
 * The test files of each part of the gate: every test on Deno, the examples in the documentation,
 * the public tests on the installed package under the oldest release of Node, those that reach out of
 * their process under two more, and the tests of internals compiled, under the newest. What knows no
 * platform runs there only when nothing is left out: both runtimes have the same transport, and it is
 * tried on both by the log and the package, whose tests use the engine. Kills, the simulation and
 * what runs in memory run on Deno alone.
 */
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import process from "node:process";
import { compiledFolder } from "./checks.ts";
import type { InstalledPackage } from "./installed_package.ts";
import { documentationPages, librarySources, root, testFiles } from "./library.ts";
import type { NodeBinaries, NodeMajor } from "./node_binary.ts";
import type { TestFile } from "./test_file.ts";

const fileLimitSeconds = 300;
const fullLimitSeconds = 3600;

/** Loaded before each snippet. */
const snippetSetting = join(root, "scripts", "gate", "snippet_setting.ts");

const isPublic = (file: string): boolean => file.startsWith("tests/public/");
const isSimulation = (file: string): boolean => file.startsWith("tests/sim/");
const isInMemory = (file: string): boolean => file.endsWith("_memory_test.ts");
/** What asks more of the machine than a gate may: mounts, for one. */
const isOfMachine = (file: string): boolean => file.startsWith("tests/machine/");
const isChaos = (file: string): boolean => file.includes("/chaos/");

/** What is made of the log, or of nothing but our own code, and asks the platform for nothing. */
const knowsNoPlatform = (file: string): boolean =>
  [
    "tests/actors/",
    "tests/bench/",
    "tests/compatibility/",
    "tests/fuzz/",
    "tests/schema/",
    "tests/scripts/",
    "tests/streams/access_",
    "tests/streams/budgets/",
    "tests/streams/cluster",
    "tests/streams/event_log_",
    "tests/streams/event_store_",
    "tests/streams/execution_index_",
    "tests/streams/families_",
    "tests/streams/lease_",
    "tests/streams/mailbox_server_test",
    "tests/streams/outbox/log_store_",
    "tests/streams/persist",
    "tests/streams/subscriptions_",
  ].some((beginning) => file.startsWith(beginning));

const mentioning = async (
  text: string,
  files: ReadonlyArray<string>,
): Promise<ReadonlyArray<string>> => {
  const contents = await Promise.all(files.map((file) => readFile(join(root, file), "utf8")));
  return files.filter((_, index) => contents[index]!.includes(text));
};

/** The tests in whose files, or in what those import of their own folder, a text stands. */
const testsReaching = async (text: string): Promise<ReadonlyArray<string>> => {
  const reaches = async (file: string, seen: Set<string>): Promise<boolean> => {
    if (seen.has(file)) return false;
    seen.add(file);
    const content = await readFile(join(root, file), "utf8");
    if (content.includes(text)) return true;
    for (const [, path] of content.matchAll(/ from "(\.[^"]+)";$/gm)) {
      const next = join(dirname(file), path!);
      if (next.startsWith("tests/") && await reaches(next, seen)) return true;
    }
    return false;
  };
  const files = await testFiles();
  const found = await Promise.all(files.map((file) => reaches(file, new Set())));
  return files.filter((_, index) => found[index]);
};

const onDeno = (
  files: ReadonlyArray<string>,
  more: Partial<TestFile> = {},
): ReadonlyArray<TestFile> =>
  files.map((name) => ({
    part: "Deno",
    name,
    program: process.execPath,
    args: (report) => ["test", "-A", "--no-check", `--junit-path=${report}`, name],
    cwd: root,
    limitSeconds: fileLimitSeconds,
    ...more,
  }));

const onNode = (
  nodes: NodeBinaries,
  major: NodeMajor,
  what: string,
  folder: string,
  files: ReadonlyArray<string>,
): ReadonlyArray<TestFile> => {
  // The inner limit is the one that can still name the test.
  const testLimitMillis = (fileLimitSeconds - 20) * 1000;
  return files.map((name) => ({
    part: `Node ${major}, ${what}`,
    name,
    program: nodes[major],
    args: (report) => [
      "--enable-source-maps",
      "--test",
      `--test-timeout=${testLimitMillis}`,
      "--test-reporter=junit",
      `--test-reporter-destination=${report}`,
      "--test-reporter=spec",
      "--test-reporter-destination=stdout",
      name,
    ],
    cwd: folder,
    limitSeconds: fileLimitSeconds,
  }));
};

/** What opens nothing is done sooner than a process is begun, and shares one. */
const sharingFolders = ["tests/actors/core", "tests/bench", "tests/schema"];

/** The named files and folders on Deno; without a name, all. */
export const denoTests = async (
  names: ReadonlyArray<string> = [],
): Promise<ReadonlyArray<TestFile>> => {
  const wanted = names.map((name) => name.replace(/^\.\//, "").replace(/\/+$/, ""));
  const chosen = (await testFiles()).filter((file) =>
    wanted.length === 0
      ? !isOfMachine(file)
      : wanted.some((name) => file === name || file.startsWith(`${name}/`))
  );
  if (wanted.length > 0) return onDeno(chosen);
  const shares = (file: string) => sharingFolders.some((folder) => file.startsWith(`${folder}/`));
  return onDeno([...sharingFolders, ...chosen.filter((file) => !shares(file))]);
};

/** The tests that look at `WEIR_TEST_FULL`, told to leave nothing out, and those of the machine. */
export const fullTests = async (): Promise<ReadonlyArray<TestFile>> => {
  const ofMachine = (await testFiles()).filter(isOfMachine);
  return onDeno([...ofMachine, ...await testsReaching("WEIR_TEST_FULL")], {
    env: { WEIR_TEST_FULL: "1" },
    limitSeconds: fullLimitSeconds,
  });
};

/** The examples in the documentation comments, type-checked and run. */
const commentTests = async (): Promise<ReadonlyArray<TestFile>> => {
  const files = await mentioning("```ts", await librarySources());
  return onDeno(["examples in comments"], {
    part: "Documentation",
    args: (report) => ["test", "-A", "--doc", `--junit-path=${report}`, ...files],
  });
};

/** Every snippet of the documentation, as it stands; a check of its own looks at their types. */
export const documentationTests = async (): Promise<ReadonlyArray<TestFile>> => {
  const run = ["test", "-A", "--no-check", "--doc", `--preload=${snippetSetting}`];
  const pages = await mentioning("```ts\n", await documentationPages());
  return [
    ...await commentTests(),
    ...pages.flatMap((page) =>
      onDeno([page], {
        part: "Documentation",
        args: (report) => [...run, `--junit-path=${report}`, page],
      })
    ),
  ];
};

export const internalTestsOnNode = async (
  nodes: NodeBinaries,
  { ofPlatform }: { readonly ofPlatform: boolean },
): Promise<ReadonlyArray<TestFile>> => {
  const files = (await testFiles()).filter((file) =>
    ![isPublic, isChaos, isOfMachine, isSimulation, isInMemory].some((is) => is(file)) &&
    knowsNoPlatform(file) !== ofPlatform
  );
  const compiled = files.map((file) => file.replace(/\.ts$/, ".js"));
  return onNode(nodes, 24, "internals", compiledFolder, compiled);
};

/**
 * What opens nothing outside its own memory asks of Node only that it has what the package uses: the
 * oldest release says so for all.
 */
export const packageTestsOnNode = async (
  nodes: NodeBinaries,
  { folder, tests }: InstalledPackage,
): Promise<ReadonlyArray<TestFile>> => {
  const sources = tests.map((file) => file.replace(/\.js$/, ".ts"));
  const inMemory = await mentioning("inMemory(", sources);
  const connecting = await mentioning("connect(", sources);
  const reachesOut = tests.filter((_, index) =>
    !inMemory.includes(sources[index]!) || connecting.includes(sources[index]!)
  );
  const majors: ReadonlyArray<NodeMajor> = [24, 22];
  return [
    ...onNode(nodes, 20, "package", folder, tests),
    ...majors.flatMap((major) => onNode(nodes, major, "package", folder, reachesOut)),
  ];
};
