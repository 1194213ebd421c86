/**
 * `deno task test`, the gate that CI runs: checks, every test on Deno, the npm package built, packed
 * and installed, and the tests again on Node. With paths it runs those on Deno and nothing else;
 * with `--full`, what the gate only samples. Its last line is the sum of all parts.
 */
import process from "node:process";
import { buildPackage } from "./build_npm.ts";
import { checks, typesForNode } from "./gate/checks.ts";
import type { Finished } from "./gate/command.ts";
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
const filesAtOnce = 3;

/** What leaves nothing out keeps the machine busy by itself. */
const fullFilesAtOnce = 2;

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

const runPart = async (
  part: string,
  files: ReadonlyArray<TestFile>,
  atOnce = filesAtOnce,
): Promise<void> => {
  announce(part);
  if (files.length === 0) {
    await attempt(part, "has tests", () => Promise.reject(new Error("there is none to run")));
  }
  const queue = [...files];
  const work = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      record(await runTestFile(next));
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
};

const runExamples = async (folder: string, node: string): Promise<void> => {
  announce("Examples");
  const queue = [...await examplesIn(folder, node)];
  const work = async () => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
      await attempt("Examples", next.name, next.run);
    }
  };
  await Promise.all(Array.from({ length: filesAtOnce }, work));
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

const runCheck = (name: string, check: () => Promise<Finished>): Promise<void | undefined> =>
  attempt("checks", name, async () => {
    const { exitCode, output } = await check();
    if (exitCode !== 0) throw new Error(output);
  });

const preparePackage = async (): Promise<InstalledPackage | undefined> => {
  const tarball = await attempt("preparation", "build the npm package", buildPackage);
  if (tarball === undefined) return undefined;
  return attempt("preparation", "install it", () => installPackage(tarball));
};

const gate = async (): Promise<void> => {
  announce("Checks and preparation");
  const servers = prepareServers();
  const binaries = attempt("preparation", "Node 20, 22, 24", nodeBinaries);
  for (const { name, check } of checks) await runCheck(name, check);
  await using installed = await preparePackage();
  const nodes = await binaries;
  if (!await servers) return;
  await runPart("Deno", await denoTests());
  await runPart("Documentation", await documentationTests());
  if (nodes === undefined) return;
  await runPart("Internals on Node", await internalTestsOnNode(nodes, { ofPlatform: true }));
  if (installed === undefined) return;
  await runExamples(installed.examples, nodes[24]);
  await runPart("The package on Node", await packageTestsOnNode(nodes, installed));
};

const some = async (files: ReadonlyArray<TestFile>, atOnce?: number): Promise<void> => {
  announce("Preparation");
  if (await prepareServers()) await runPart("Deno", files, atOnce);
};

/** What the gate only samples, and what it leaves out. */
const full = async (): Promise<void> => {
  await some(await fullTests(), fullFilesAtOnce);
  announce("Preparation for Node");
  const nodes = await attempt("preparation", "Node 20, 22, 24", nodeBinaries);
  await runCheck("types for Node", typesForNode);
  if (nodes === undefined) return;
  await runPart("Internals on Node", await internalTestsOnNode(nodes, { ofPlatform: false }));
};

requireDeno();
const names = process.argv.slice(2);
if (names[0] === "--full") await full();
else if (names.length > 0) await some(await denoTests(names));
else await gate();
process.exit(conclude() ? 0 : 1);
