/**
 * Finds a Go that can build current modules: the one on PATH when it can fetch newer toolchains by
 * itself, else a pinned toolchain, which is a Go module that any older Go can download. Where there
 * is no Go at all, Debian's is unpacked for that one download, without root. Nothing is installed.
 */
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { run, runOrThrow } from "./command.ts";

export interface Go {
  readonly program: string;
  readonly env: Readonly<Record<string, string>>;
}

const toolchainVersion = "1.26.8";

/** What the Go on PATH says of itself, or nothing when there is none. */
const installedGo = (): Promise<string> =>
  run("go", ["version"]).then(({ output }) => output, () => "");

const fetchesToolchains = (description: string): boolean => {
  const [, major, minor] = /go(\d+)\.(\d+)/.exec(description) ?? [];
  return Number(major) > 1 || Number(minor) >= 21;
};

const unpackDebianGo = async (scratch: string): Promise<string> => {
  const described = await runOrThrow("apt-cache", ["depends", "golang-go"]);
  const compiler = /Depends: (golang-[\d.]+-go)\b/.exec(described)?.[1];
  if (compiler === undefined) throw new Error(`apt knows no golang-go:\n${described}`);
  await runOrThrow("apt-get", ["download", compiler, compiler.replace(/-go$/, "-src")], {
    cwd: scratch,
  });
  for (const archive of (await readdir(scratch)).filter((file) => file.endsWith(".deb"))) {
    await runOrThrow("dpkg-deb", ["-x", join(scratch, archive), scratch]);
  }
  return join(scratch, "usr", "lib", compiler.replace(/^golang-([\d.]+)-go$/, "go-$1"), "bin/go");
};

const downloadToolchain = async (scratch: string): Promise<string> => {
  const olderGo = await installedGo() === "" ? await unpackDebianGo(scratch) : "go";
  const module = join(scratch, "toolchain");
  await mkdir(module);
  await writeFile(join(module, "go.mod"), "module toolchain\n");
  const platform = `${process.platform}-${process.arch === "x64" ? "amd64" : process.arch}`;
  const toolchain = `golang.org/toolchain@v0.0.1-go${toolchainVersion}.${platform}`;
  const modules = join(module, "modules");
  await runOrThrow(olderGo, ["mod", "download", toolchain], {
    cwd: module,
    env: { GOMODCACHE: modules, GOCACHE: join(module, "build") },
  });
  // Files of a module are neither executable nor deletable until someone says so.
  await runOrThrow("chmod", ["-R", "u+rwX", modules]);
  const unpacked = join(modules, toolchain);
  await runOrThrow("chmod", ["-R", "u+x", join(unpacked, "bin"), join(unpacked, "pkg", "tool")]);
  return join(unpacked, "bin", "go");
};

/** A Go that works as long as `scratch` exists. */
export const findGo = async (scratch: string): Promise<Go> => {
  if (fetchesToolchains(await installedGo())) {
    return { program: "go", env: { GOTOOLCHAIN: "auto" } };
  }
  return {
    program: await downloadToolchain(scratch),
    env: {
      GOTOOLCHAIN: "local",
      GOFLAGS: "-modcacherw",
      GOPATH: join(scratch, "path"),
      GOCACHE: join(scratch, "build"),
    },
  };
};
