/**
 * Programs out of the packages of this Debian release, unpacked into a folder and not installed, with
 * those libraries that the machine lacks. The system's package lists stay as they are, and nothing
 * runs as it would on an installation: no script of a package, and no service.
 */
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { run, runOrThrow } from "./command.ts";
import { cachePath } from "./user_cache.ts";

/** As deep as the libraries of a library go. */
const deepestLibrary = 5;

const foldersIn = (folder: string): Promise<ReadonlyArray<string>> =>
  readdir(folder).catch(() => []);

/** What programs below `top` need in their environment to find the libraries beside them. */
export const libraryEnvironment = async (
  top: string,
): Promise<Readonly<Record<string, string>>> => {
  const found: Array<string> = [];
  for (const parent of [join(top, "usr/lib"), join(top, "lib")]) {
    const names = (await foldersIn(parent)).filter((name) => /-linux-gnu\w*$/.test(name));
    found.push(...names.map((name) => join(parent, name)));
  }
  return found.length === 0 ? {} : { LD_LIBRARY_PATH: found.join(":") };
};

/** Where they are kept: libraries fit the release of the system that they were fetched for. */
export const debianCache = async (name: string): Promise<string> => {
  const release = await readFile("/etc/os-release", "utf8").catch(() => "");
  const value = (key: string) => new RegExp(`^${key}="?([\\w.-]+)`, "m").exec(release)?.[1] ?? "";
  return cachePath(name, `${value("ID")}${value("VERSION_ID")}-${process.arch}`);
};

export interface Apt {
  /** The names that apt gives for the direct dependencies of packages. */
  readonly dependencies: (names: ReadonlyArray<string>) => Promise<ReadonlyArray<string>>;
  readonly unpack: (names: ReadonlyArray<string>, into: string) => Promise<void>;
}

/** apt on folders of its own, with the machine's sources and keys. */
export const privateApt = async (scratch: string): Promise<Apt> => {
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
  const env = { APT_CONFIG: settings, LC_ALL: "C" };
  await runOrThrow("apt-get", ["update", "--error-on=any"], { env });
  return {
    dependencies: async (names) => {
      const depends = ["depends", "--important", ...names];
      const described = await runOrThrow("apt-cache", depends, { env });
      return [...described.matchAll(/^ [ |](?:Pre)?Depends: ([a-z0-9][a-z0-9.+-]*)$/gm)]
        .map(([, name]) => name!);
    },
    unpack: async (names, into) => {
      const archives = join(scratch, "archives");
      await mkdir(archives);
      await runOrThrow("apt-get", ["download", ...names], { cwd: archives, env });
      await mkdir(into, { recursive: true });
      for (const archive of await readdir(archives)) {
        await runOrThrow("dpkg-deb", ["--extract", join(archives, archive), into]);
      }
      await rm(archives, { recursive: true });
    },
  };
};

/** Unpacks the libraries that programs of a package, which is unpacked already, do not find. */
export const unpackLibraries = async (
  apt: Apt,
  name: string,
  into: string,
  programs: ReadonlyArray<string>,
): Promise<void> => {
  const areWhole = async (): Promise<boolean> => {
    const listed = await run("ldd", programs, { env: await libraryEnvironment(into) });
    return listed.exitCode === 0 && !listed.output.includes("not found");
  };
  // The C library is the machine's own, and LLVM is for compiled queries, which stay off.
  const isLibrary = (name: string) => /^l(ib(?!c6|gcc|llvm)|ua-)/.test(name);
  const unpacked = new Set<string>();
  let layer: ReadonlyArray<string> = [name];
  for (let depth = 0; !await areWhole(); depth++) {
    if (depth === deepestLibrary) throw new Error(`${name} lacks libraries that apt does not name`);
    layer = (await apt.dependencies(layer))
      .filter((name, index, all) => all.indexOf(name) === index)
      .filter((name) => isLibrary(name) && !unpacked.has(name));
    layer.forEach((name) => unpacked.add(name));
    if (layer.length > 0) await apt.unpack(layer, into);
  }
};
