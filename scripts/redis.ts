/**
 * Provides a real Redis for the benchmark that runs beside others: the one of this Debian release,
 * unpacked into the user's cache, with those libraries that the machine lacks. It starts nothing.
 */
import { join } from "node:path";
import process from "node:process";
import {
  debianCache,
  libraryEnvironment,
  privateApt,
  unpackLibraries,
} from "./gate/debian_packages.ts";
import { cached } from "./gate/user_cache.ts";

export interface Redis {
  readonly program: string;
  readonly env: Readonly<Record<string, string>>;
}

const programBelow = (top: string): string => join(top, "usr/bin/redis-server");

const unpackDebianRedis = async (result: string, scratch: string): Promise<void> => {
  const apt = await privateApt(scratch);
  // The program of `redis-server` is a link to one of `redis-tools`.
  await apt.unpack(["redis-server", "redis-tools"], result);
  await unpackLibraries(apt, "redis-tools", result, [programBelow(result)]);
};

/** `redis-server` and what it needs in its environment; `WEIR_REDIS`, if that names one. */
export const redis = async (): Promise<Redis> => {
  const named = process.env["WEIR_REDIS"];
  if (named) return { program: named, env: {} };
  const top = await cached(await debianCache("redis"), unpackDebianRedis);
  return { program: programBelow(top), env: await libraryEnvironment(top) };
};
