/**
 * Provides a real PostgreSQL for tests: the one of this Debian release, unpacked into the user's
 * cache, with those libraries that the machine lacks; else one that is installed. It starts nothing.
 */
import { readdir, rm } from "node:fs/promises";
import { delimiter, join, resolve } from "node:path";
import process from "node:process";
import { run } from "./gate/command.ts";
import {
  debianCache,
  libraryEnvironment,
  privateApt,
  unpackLibraries,
} from "./gate/debian_packages.ts";
import { cached, exists } from "./gate/user_cache.ts";

/** What PostgreSQL's programs need in their environment to find the libraries beside them. */
export const postgresEnvironment = (bin: string): Promise<Readonly<Record<string, string>>> =>
  libraryEnvironment(resolve(bin, "../../../../.."));

/** The newest below `top`, as Debian's packages lay it out. */
const newestBin = async (top: string): Promise<string | undefined> => {
  const folder = join(top, "usr/lib/postgresql");
  const releases = (await readdir(folder).catch(() => [])).map(Number)
    .filter((release) => release > 0);
  return releases.length === 0 ? undefined : join(folder, `${Math.max(...releases)}`, "bin");
};

const works = async (bin: string): Promise<boolean> => {
  const env = await postgresEnvironment(bin);
  for (const program of ["initdb", "postgres"]) {
    const finished = await run(join(bin, program), ["--version"], { env }).catch(() => undefined);
    if (finished?.exitCode !== 0) return false;
  }
  return true;
};

const unpackDebianPostgres = async (result: string, scratch: string): Promise<void> => {
  const apt = await privateApt(scratch);
  const server = (await apt.dependencies(["postgresql"]))
    .find((name) => /^postgresql-\d+$/.test(name));
  if (server === undefined) throw new Error("apt knows no postgresql");
  await apt.unpack([server], result);
  const bin = await newestBin(result);
  if (bin === undefined) throw new Error(`${server} holds no programs`);
  await unpackLibraries(apt, server, result, [join(bin, "postgres"), join(bin, "initdb")]);
  await rm(join(resolve(bin, ".."), "lib", "bitcode"), { recursive: true, force: true });
};

const fetched = async (): Promise<string> => {
  const bin = await newestBin(await cached(await debianCache("postgres"), unpackDebianPostgres));
  if (bin === undefined || !await works(bin)) throw new Error(`${bin} does not run`);
  return bin;
};

const installed = async (): Promise<string | undefined> => {
  const onPath = (process.env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
  for (const bin of [await newestBin("/"), ...onPath]) {
    if (bin === undefined || !await exists(join(bin, "initdb"))) continue;
    if (await works(bin)) return bin;
  }
  return undefined;
};

/** The folder with `initdb` and `postgres`; `WEIR_POSTGRES`, if that names one. */
export const postgres = async (): Promise<string> => {
  const named = process.env["WEIR_POSTGRES"];
  if (named) return named;
  try {
    return await fetched();
  } catch (cause) {
    const bin = await installed();
    if (bin !== undefined) return bin;
    throw new Error(`no PostgreSQL is installed, and none can be fetched: ${cause}`);
  }
};
