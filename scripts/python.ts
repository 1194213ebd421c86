/**
 * Provides a Python 3 for what speaks to Weir from another language: one that is installed, or else the
 * one of this Debian release, unpacked into the user's cache with those libraries that the machine
 * lacks. It starts nothing.
 */
import { join } from "node:path";
import process from "node:process";
import { run } from "./gate/command.ts";
import {
  debianCache,
  libraryEnvironment,
  privateApt,
  unpackLibraries,
} from "./gate/debian_packages.ts";
import { cached } from "./gate/user_cache.ts";

export interface Python {
  readonly program: string;
  readonly env: Readonly<Record<string, string>>;
}

/** Everything that the examples import. */
const imports = "import json, queue, signal, socket, threading, urllib.parse, uuid";

const works = async ({ program, env }: Python): Promise<boolean> => {
  const finished = await run(program, ["-c", imports], { env }).catch(() => undefined);
  return finished?.exitCode === 0;
};

const programBelow = (top: string): string => join(top, "usr/bin/python3");

const unpackDebianPython = async (result: string, scratch: string): Promise<void> => {
  const apt = await privateApt(scratch);
  const release = (await apt.dependencies(["python3"]))
    .find((name) => /^python3\.\d+$/.test(name));
  if (release === undefined) throw new Error("apt knows no python3");
  await apt.unpack(
    ["python3-minimal", `${release}-minimal`, `lib${release}-minimal`, `lib${release}-stdlib`],
    result,
  );
  await unpackLibraries(apt, `${release}-minimal`, result, [programBelow(result)]);
};

const fetched = async (): Promise<Python> => {
  const top = await cached(await debianCache("python"), unpackDebianPython);
  const python = {
    program: programBelow(top),
    env: { ...await libraryEnvironment(top), PYTHONHOME: join(top, "usr") },
  };
  if (!await works(python)) throw new Error(`${python.program} does not run`);
  return python;
};

/** Python and what it needs in its environment; `WEIR_PYTHON`, if that names one. */
export const python = async (): Promise<Python> => {
  const installed = { program: process.env["WEIR_PYTHON"] ?? "python3", env: {} };
  return await works(installed) ? installed : await fetched();
};
