/**
 * `deno task test`, the gate that CI runs: checks, every test on Deno, the npm package built, packed
 * and installed, and the tests again on Node. With paths it runs those on Deno and nothing else;
 * with `--full`, what the gate only samples. Its last line is the sum of all parts.
 */
import process from "node:process";
import { buildPackage } from "./build_npm.ts";
import { runChecks, typesForNode } from "./gate/checks.ts";
import { examplesIn } from "./gate/examples.ts";
import { type InstalledPackage, installPackage } from "./gate/installed_package.ts";
import { nodeBinaries } from "./gate/node_binary.ts";
import {
  denoTests,
  documentationTests,
  fullTests,
  internalTestsOnNode,
  packageTestsOnNode,
} from "./gate/parts.ts";
import { announce, attempt, conclude, record } from "./gate/report.ts";
import { runTestFile, type TestFile } from "./gate/test_file.ts";
import { natsCli } from "./nats_cli.ts";
import { postgres } from "./postgres.ts";
import { python } from "./python.ts";

/** The smallest CI machine has two cores, and a file waits for a good part of its time. */
const atOnce = 3;

/** What leaves nothing out keeps the machine busy by itself. */
const fullAtOnce = 2;

type Piece = () => Promise<unknown>;

const requireDeno = (): void => {
  const version = process.versions["deno"] ?? "0.0.0";
  console.log(`Deno ${version}`);
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major > 2 || (major === 2 && minor >= 9)) return;
  console.log(
    "Weir is developed with Deno 2.9 or later: npx -y --prefer-offline=false deno@latest task test",
  );
  process.exit(1);
};

const natsServer = async (): Promise<string> => {
  const { locate } = await import("../streams/server/locate.ts");
  const { runPromise } = await import("effect/Effect");
  return (await runPromise(locate())).path;
};

/** Begins pieces in the order in which they stand, some at once. */
const run = async (pieces: ReadonlyArray<Piece>, lanes = atOnce): Promise<void> => {
  const queue = pieces.values();
  const lane = async () => {
    for (const piece of queue) await piece();
  };
  await Promise.all(Array.from({ length: lanes }, lane));
};

const running = (part: string, files: ReadonlyArray<TestFile>): ReadonlyArray<Piece> => {
  const none = () => Promise.reject(new Error("there is none to run"));
  if (files.length === 0) return [() => attempt(part, "has tests", none)];
  return files.map((file) => async () => record(await runTestFile(file)));
};

/** What the tests are told, so that no file of them has to search or fetch. */
const prepareServers = async (): Promise<boolean> => {
  // Building the NATS CLI takes longest by far, once per user.
  const [cli, server, database, interpreter] = await Promise.all([
    attempt("preparation", "NATS CLI", natsCli),
    attempt("preparation", "nats-server", natsServer),
    attempt("preparation", "PostgreSQL", postgres),
    attempt("preparation", "Python", python),
  ]);
  if (cli === undefined || server === undefined || database === undefined) return false;
  if (interpreter === undefined) return false;
  process.env["WEIR_NATS_CLI"] = cli;
  process.env["WEIR_NATS_SERVER"] = server;
  process.env["WEIR_POSTGRES"] = database;
  process.env["WEIR_PYTHON"] = interpreter.program;
  Object.assign(process.env, interpreter.env);
  return true;
};

const preparePackage = async (): Promise<InstalledPackage | undefined> => {
  const tarball = await attempt("preparation", "build the npm package", buildPackage);
  if (tarball === undefined) return undefined;
  return attempt("preparation", "install it", () => installPackage(tarball));
};

const gate = async (): Promise<void> => {
  announce("Preparation");
  const binaries = attempt("preparation", "Node 20, 22, 24", nodeBinaries);
  if (!await prepareServers()) return;
  announce("Checks, tests on Deno, documentation");
  const [installing] = await Promise.all([
    preparePackage(),
    run([
      runChecks,
      ...running("Deno", await denoTests()),
      ...running("Documentation", await documentationTests()),
    ]),
  ]);
  await using installed = installing;
  const nodes = await binaries;
  if (nodes === undefined || installed === undefined) return;
  announce("Internals, examples and the package on Node");
  const examples = await examplesIn(installed.examples, nodes[24]);
  await run([
    ...running("Internals on Node", await internalTestsOnNode(nodes, { ofPlatform: true })),
    ...examples.map(({ name, run }): Piece => () => attempt("Examples", name, run)),
    ...running("The package on Node", await packageTestsOnNode(nodes, installed)),
  ]);
};

const some = async (files: ReadonlyArray<TestFile>, lanes?: number): Promise<void> => {
  announce("Preparation");
  if (!await prepareServers()) return;
  announce("Tests on Deno");
  await run(running("Deno", files), lanes);
};

/** What the gate only samples, and what it leaves out. */
const full = async (): Promise<void> => {
  await some(await fullTests(), fullAtOnce);
  announce("Internals on Node");
  const nodes = await attempt("preparation", "Node 20, 22, 24", nodeBinaries);
  await attempt("checks", "types for Node", typesForNode);
  if (nodes === undefined) return;
  await run(running("Internals on Node", await internalTestsOnNode(nodes, { ofPlatform: false })));
};

requireDeno();
const names = process.argv.slice(2);
if (names[0] === "--full") await full();
else if (names.length > 0) await some(await denoTests(names));
else await gate();
process.exit(conclude() ? 0 : 1);
