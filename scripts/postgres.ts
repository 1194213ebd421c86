/**
 * Provides a real PostgreSQL for tests: the one of this Debian release, unpacked into the user's
 * cache and not installed, with those libraries that the machine lacks; else one that is installed.
 * The system's package lists stay as they are. It starts nothing.
 */
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { delimiter, join, resolve } from "node:path";
import process from "node:process";
import { run, runOrThrow } from "./gate/command.ts";
import { cached, cachePath, exists } from "./gate/user_cache.ts";

/** As deep as the libraries of a library go. */
const deepestLibrary = 5;

const foldersIn = (folder: string): Promise<ReadonlyArray<string>> =>
  readdir(folder).catch(() => []);

/** What PostgreSQL's programs need in their environment to find the libraries beside them. */
export const postgresEnvironment = async (
  bin: string,
): Promise<Readonly<Record<string, string>>> => {
  const top = resolve(bin, "../../../../..");
  const found: Array<string> = [];
  for (const parent of [join(top, "usr/lib"), join(top, "lib")]) {
    const names = (await foldersIn(parent)).filter((name) => /-linux-gnu\w*$/.test(name));
    found.push(...names.map((name) => join(parent, name)));
  }
  return found.length === 0 ? {} : { LD_LIBRARY_PATH: found.join(":") };
};

/** The newest below `top`, as Debian's packages lay it out. */
const newestBin = async (top: string): Promise<string | undefined> => {
  const folder = join(top, "usr/lib/postgresql");
  const releases = (await foldersIn(folder)).map(Number).filter((release) => release > 0);
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

/** apt on folders of its own, with the machine's sources and keys. */
const privateApt = async (scratch: string): Promise<Readonly<Record<string, string>>> => {
  for (const folder of ["state/lists/partial", "cache/archives/partial"]) {
    await mkdir(join(scratch, folder), { recursive: true });
  }
  const settings = join(scratch, "apt.conf");
  await writeFile(
    settings,
    [
      `Dir::State "${scratch}/state";`,
      `Dir::Cache "${scratch}/cache";`,
      `APT::Sandbox::User "root";`,
      `Acquire::Languages "none";`,
      `Acquire::http::Timeout "10";`,
      `Acquire::https::Timeout "10";`,
      "",
    ].join("\n"),
  );
  return { APT_CONFIG: settings, LC_ALL: "C" };
};

/** The names that apt gives for the direct dependencies of packages. */
const dependencies = async (
  names: ReadonlyArray<string>,
  env: Readonly<Record<string, string>>,
): Promise<ReadonlyArray<string>> => {
  const described = await runOrThrow("apt-cache", ["depends", "--important", ...names], { env });
  return [...described.matchAll(/^ [ |](?:Pre)?Depends: ([a-z0-9][a-z0-9.+-]*)$/gm)]
    .map(([, name]) => name!);
};

const isWholeWithLibraries = async (bin: string): Promise<boolean> => {
  const env = await postgresEnvironment(bin);
  const listed = await run("ldd", [join(bin, "postgres"), join(bin, "initdb")], { env });
  return listed.exitCode === 0 && !listed.output.includes("not found");
};

const unpackDebianPostgres = async (result: string, scratch: string): Promise<void> => {
  const env = await privateApt(scratch);
  await runOrThrow("apt-get", ["update", "--error-on=any"], { env });
  const unpack = async (names: ReadonlyArray<string>) => {
    const archives = join(scratch, "archives");
    await mkdir(archives);
    await runOrThrow("apt-get", ["download", ...names], { cwd: archives, env });
    for (const archive of await readdir(archives)) {
      await runOrThrow("dpkg-deb", ["--extract", join(archives, archive), result]);
    }
    await rm(archives, { recursive: true });
  };
  const server = (await dependencies(["postgresql"], env))
    .find((name) => /^postgresql-\d+$/.test(name));
  if (server === undefined) throw new Error("apt knows no postgresql");
  await mkdir(result);
  await unpack([server]);
  const bin = await newestBin(result);
  if (bin === undefined) throw new Error(`${server} holds no programs`);

  // The C library is the machine's own, and LLVM is for compiled queries, which stay off.
  const isLibrary = (name: string) => /^lib(?!c6|gcc|llvm)/.test(name);
  const unpacked = new Set<string>();
  let layer = [server];
  for (let depth = 0; !await isWholeWithLibraries(bin); depth++) {
    if (depth === deepestLibrary) {
      throw new Error(`${server} lacks libraries that apt does not name`);
    }
    layer = (await dependencies(layer, env))
      .filter((name, index, all) => all.indexOf(name) === index)
      .filter((name) => isLibrary(name) && !unpacked.has(name));
    layer.forEach((name) => unpacked.add(name));
    if (layer.length > 0) await unpack(layer);
  }
  await rm(join(resolve(bin, ".."), "lib", "bitcode"), { recursive: true, force: true });
};

/** Libraries fit the release of the system that they were fetched for. */
const cacheFolder = async (): Promise<string> => {
  const release = await readFile("/etc/os-release", "utf8").catch(() => "");
  const value = (key: string) => new RegExp(`^${key}="?([\\w.-]+)`, "m").exec(release)?.[1] ?? "";
  return cachePath("postgres", `${value("ID")}${value("VERSION_ID")}-${process.arch}`);
};

const fetched = async (): Promise<string> => {
  const bin = await newestBin(await cached(await cacheFolder(), unpackDebianPostgres));
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
