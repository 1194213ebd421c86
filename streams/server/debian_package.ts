/**
 * nats-server from the Debian mirror of this machine, without root and without touching the system's
 * own package lists: apt runs on folders of its own and trusts nothing but Debian's archive keyring.
 * The stable releases are too old, so it is the package of testing; nothing is installed.
 */
import { access, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import { run } from "./command.ts";

export interface DebianPackageOptions {
  readonly connectTimeout: Duration.Input;
  readonly onProgress: (message: string) => void;
}

const aptFolder = "/etc/apt";
const keyrings = ["debian-archive-keyring.gpg", "debian-archive-keyring.pgp"].map((name) =>
  `/usr/share/keyrings/${name}`
);

const firstExisting = async (paths: ReadonlyArray<string>): Promise<string | undefined> => {
  for (const path of paths) {
    if (await access(path).then(() => true, () => false)) return path;
  }
  return undefined;
};

/** The first Debian archive in apt's source files, of the old format and the new. */
export const findMirror = (sources: string): string | undefined => {
  const isComment = /^\s*#/;
  for (const line of sources.split("\n").filter((line) => !isComment.test(line))) {
    const uris = /^(?:URIs:|deb\s+(?:\[[^\]]*\]\s*)?)\s*(.*)/.exec(line)?.[1]?.split(/\s+/) ?? [];
    const mirror = uris.find((uri) => /^\w[\w+]*:.*\/debian\/?$/.test(uri));
    if (mirror !== undefined) return mirror;
  }
  return undefined;
};

export const readSources = async (): Promise<string> => {
  const parts = join(aptFolder, "sources.list.d");
  const names = await readdir(parts).catch(() => []);
  const paths = names.filter((name) => /\.(list|sources)$/.test(name)).map((name) =>
    join(parts, name)
  );
  const texts = [join(aptFolder, "sources.list"), ...paths].map((path) =>
    readFile(path, "utf8").catch(() => "")
  );
  return (await Promise.all(texts)).join("\n");
};

/** How this machine reaches its mirror, such as proxies; its hooks stay out. */
const networkSettings = (dump: string): ReadonlyArray<string> =>
  dump.split("\n").filter((line) => /^Acquire::(https?|Check-[\w-]+)\b/.test(line));

const configuration = (scratch: string, timeoutSeconds: number, network: ReadonlyArray<string>) =>
  [
    ...network,
    `Dir::Etc::main "/dev/null";`,
    `Dir::Etc::parts "/dev/null";`,
    `Dir::Etc::sourcelist "${scratch}/sources.list";`,
    `Dir::Etc::sourceparts "/dev/null";`,
    `Dir::State "${scratch}/state";`,
    `Dir::State::status "${scratch}/status";`,
    `Dir::Cache "${scratch}/cache";`,
    `APT::Sandbox::User "root";`,
    `Acquire::Languages "none";`,
    `Acquire::Retries "0";`,
    `Acquire::http::Timeout "${timeoutSeconds}";`,
    `Acquire::https::Timeout "${timeoutSeconds}";`,
    "",
  ].join("\n");

/** Puts the packaged binary into `scratch`; apt has verified the index and the package. */
export const fetchDebianPackage = Effect.fnUntraced(function* (
  scratch: string,
  options: DebianPackageOptions,
): Effect.fn.Return<string, string> {
  const dump = yield* run("apt-config", ["dump"]);
  const mirror = findMirror(yield* Effect.promise(readSources));
  if (mirror === undefined) return yield* Effect.fail("apt has no Debian mirror configured");
  const keyring = yield* Effect.promise(() => firstExisting(keyrings));
  if (keyring === undefined) {
    return yield* Effect.fail("the package debian-archive-keyring is missing");
  }

  const timeoutSeconds = Math.max(1, Math.round(Duration.toSeconds(options.connectTimeout)));
  const settings = join(scratch, "apt.conf");
  const unpacked = join(scratch, "unpacked");
  yield* Effect.tryPromise({
    try: async () => {
      for (const folder of ["state/lists/partial", "cache/archives/partial", "unpacked"]) {
        await mkdir(join(scratch, folder), { recursive: true });
      }
      await writeFile(join(scratch, "status"), "");
      await writeFile(settings, configuration(scratch, timeoutSeconds, networkSettings(dump)));
      await writeFile(
        join(scratch, "sources.list"),
        `deb [signed-by=${keyring}] ${mirror} testing main\n`,
      );
    },
    catch: String,
  });
  const environment = { cwd: scratch, env: { ...process.env, APT_CONFIG: settings, LC_ALL: "C" } };
  options.onProgress(`Reading the package lists of ${mirror}`);
  yield* run("apt-get", ["update", "--error-on=any"], environment);
  options.onProgress(`Downloading nats-server from ${mirror}`);
  yield* run("apt-get", ["download", "nats-server"], environment);
  const archive = (yield* Effect.promise(() => readdir(scratch))).find((name) =>
    name.endsWith(".deb")
  );
  if (archive === undefined) return yield* Effect.fail("apt-get downloaded nothing");
  yield* run("dpkg-deb", ["--extract", join(scratch, archive), unpacked]);
  const binary = yield* Effect.promise(() =>
    firstExisting(["usr/sbin", "usr/bin"].map((folder) => join(unpacked, folder, "nats-server")))
  );
  return binary ?? (yield* Effect.fail("the package holds no nats-server"));
});
