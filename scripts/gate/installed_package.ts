/**
 * A scratch project that has installed the packed tarball beside its peer, as a user would, with the
 * public tests compiled inside it. It lies outside the repository, so that nothing resolves to a
 * source file or to a dependency that the package forgot; its types are checked in full.
 */
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runOrThrow } from "./command.ts";
import { manifest, pinned, root, testFiles, testFolder } from "./library.ts";
import { compile } from "./typescript.ts";

export interface InstalledPackage extends AsyncDisposable {
  readonly folder: string;
  /** The compiled public tests, relative to the folder. */
  readonly tests: ReadonlyArray<string>;
  /** The folder that has the examples. */
  readonly examples: string;
}

const install = async (folder: string, tarball: string): Promise<void> => {
  const project = {
    private: true,
    type: "module",
    dependencies: {
      [manifest.name]: `file:${tarball}`,
      "@hono/node-server": pinned("@hono/node-server"),
      "@types/node": pinned("@types/node"),
      effect: pinned("effect"),
      "fast-check": pinned("fast-check"),
      hono: pinned("hono"),
      pg: pinned("pg"),
    },
  };
  await writeFile(join(folder, "package.json"), JSON.stringify(project));
  const quietly = ["--prefer-offline", "--ignore-scripts", "--no-package-lock", "--no-audit"];
  await runOrThrow("npm", ["install", ...quietly, "--no-fund", "--loglevel=error"], {
    cwd: folder,
  });
};

const compileTests = async (folder: string): Promise<ReadonlyArray<string>> => {
  await mkdir(join(folder, "tests"));
  await cp(join(root, "tests", "public"), join(folder, "tests", "public"), { recursive: true });
  const isPublic = (file: string) => file.startsWith("tests/public/") && file.endsWith(".ts");
  await compile({
    folder,
    // Effect's declarations name a few types of the browser, and those of the NATS client do not
    // hold with exact optional properties, which the repository's own check covers.
    options: {
      exactOptionalPropertyTypes: false,
      module: "NodeNext",
      lib: ["ES2023", "ES2024.String", "DOM"],
      rootDir: ".",
      outDir: ".",
    },
    // Some are programs that a test starts, and that none imports.
    files: (await testFolder()).filter(isPublic),
  });
  return (await testFiles()).filter(isPublic).map((file) => file.replace(/\.ts$/, ".js"));
};

export const installPackage = async (tarball: string): Promise<InstalledPackage> => {
  const folder = await mkdtemp(join(tmpdir(), "weir-installed-"));
  const remove = () => rm(folder, { recursive: true, force: true });
  try {
    await install(folder, tarball);
    const examples = join(folder, "examples");
    await cp(join(root, "examples"), examples, { recursive: true });
    return { folder, examples, tests: await compileTests(folder), [Symbol.asyncDispose]: remove };
  } catch (cause) {
    await remove();
    throw cause;
  }
};
