import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { chmod, cp, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import type { RequestListener } from "node:http";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { basename, dirname, join, relative } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import { gzipSync } from "node:zlib";
import * as Effect from "effect/Effect";
import { findMirror, readSources } from "../../streams/server/debian_package.ts";
import type { LocateOptions } from "../../streams/server/locate.ts";
import { locate, sources } from "../../streams/server/locate.ts";
import { platform } from "../../streams/server/release_archive.ts";
import { leftovers, scratchFolder } from "../fixtures/server.ts";

const cache = "the cache";
const archive = "the official release archive";
const debian = "the Debian package";
const go = "go install";

/** Runs with a changed environment; undefined removes a variable. */
const withEnvironment = async <A>(
  changes: Readonly<Record<string, string | undefined>>,
  body: () => Promise<A>,
): Promise<A> => {
  const before = { ...process.env };
  const set = (name: string, value: string | undefined) => {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  };
  for (const [name, value] of Object.entries(changes)) set(name, value);
  try {
    return await body();
  } finally {
    for (const name of Object.keys(changes)) set(name, before[name]);
  }
};

/** The outcome of one source, and none else. */
const ask = (name: string, options: LocateOptions) =>
  withEnvironment({ WEIR_NATS_SERVER: undefined }, () =>
    Effect.runPromise(
      Effect.result(sources(options).find((source) => source.name === name)!.find),
    ));

const refusal = async (name: string, options: LocateOptions): Promise<string> => {
  const outcome = await ask(name, options);
  assert.ok(outcome._tag === "Failure", `${name} is expected to refuse`);
  return outcome.failure;
};

const program = async (folder: string, name: string, body: string): Promise<string> => {
  await mkdir(folder, { recursive: true });
  const path = join(folder, name);
  await writeFile(path, `#!/bin/sh\n${body}\n`);
  await chmod(path, 0o755);
  return path;
};

const printsVersion = (version: string) => `echo "nats-server: v${version}"`;

const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");

/** An archive as the project releases it, around the program at `path`. */
const pack = async (path: string) => {
  const folder = scratchFolder("pack");
  const name = `nats-server-v2.15.1-${platform()}`;
  await mkdir(join(folder, name));
  await writeFile(join(folder, name, "LICENSE"), "a file before the one that is wanted");
  await cp(path, join(folder, name, "nats-server"));
  execFileSync("tar", ["-cf", "release.tar", name], { cwd: folder });
  const bytes = gzipSync(await readFile(join(folder, "release.tar")), { level: 1 });
  return { bytes, path: `/v2.15.1/${name}.tar.gz`, checksums: { [platform()]: sha256(bytes) } };
};

const packFake = async (version = "2.15.1") =>
  await pack(await program(scratchFolder("fake"), "nats-server", printsVersion(version)));

const serve = async <A>(
  answer: RequestListener,
  body: (releases: string) => Promise<A>,
): Promise<A> => {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    return await body(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    const closed = new Promise((resolve) => server.close(resolve));
    server.closeAllConnections();
    await closed;
  }
};

const incoming = async (cacheFolder: string) =>
  (await readdir(join(cacheFolder, "2.15.1"))).filter((name) => name !== "nats-server");

describe("the search for a nats-server", () => {
  it("takes the binary that the user names, and no other", async () => {
    const { path } = await Effect.runPromise(locate());
    await withEnvironment({ WEIR_NATS_SERVER: path }, async () => {
      assert.equal((await Effect.runPromise(locate())).path, path);
    });
    await withEnvironment({ WEIR_NATS_SERVER: `${path}-absent` }, async () => {
      const error = await Effect.runPromise(Effect.flip(locate()));
      assert.deepEqual(error.refusals.map(({ source }) => source), ["WEIR_NATS_SERVER"]);
      assert.match(error.message, /-absent is not installed/);
    });
  });

  it("finds what is named from this folder, whichever it is started from", async () => {
    const folder = scratchFolder("relative");
    const fake = (within: string) =>
      program(join(folder, within), "nats-server", printsVersion("2.15.1"));
    const [named, cached] = [await fake("named"), await fake("cache/2.15.1")];
    const from = (path: string) => relative(process.cwd(), path);
    const path = async (binary: string | undefined, options: LocateOptions) =>
      await withEnvironment(
        { WEIR_NATS_SERVER: binary, PATH: "/usr/bin:/bin" },
        async () => (await Effect.runPromise(locate(sources(options)))).path,
      );
    assert.equal(await path(from(named), {}), named);
    assert.equal(await path(undefined, { binary: from(named) }), named);
    assert.equal(await path(undefined, { cacheFolder: from(join(folder, "cache")) }), cached);
    await withEnvironment({ PATH: `${from(dirname(named))}:${process.env["PATH"]}` }, async () => {
      const outcome = await ask("nats-server on PATH", {});
      assert.ok(outcome._tag === "Success" && outcome.success.path === named);
      // A mere name is one of the PATH.
      assert.equal(
        (await Effect.runPromise(locate(sources({ binary: "nats-server" })))).path,
        "nats-server",
      );
    });
  });

  it("refuses a binary that is too old, broken, or something else", async () => {
    const folder = scratchFolder("binaries");
    const reason = async (body: string) => {
      const binary = await program(folder, "nats-server", body);
      const error = await Effect.runPromise(Effect.flip(locate(sources({ binary }))));
      return error.refusals[0]!.reason;
    };
    assert.match(await reason(printsVersion("2.9.10")), /is version 2\.9\.10, 2\.14\.0 or later/);
    assert.match(await reason(`echo "out of order" >&2; exit 3`), /failed: out of order/);
    assert.match(await reason("echo hello"), /is no nats-server: .*hello/);
    const later = await program(folder, "nats-server", printsVersion("3.0.0-preview.1"));
    assert.equal(
      (await Effect.runPromise(locate(sources({ binary: later })))).version,
      "3.0.0-preview.1",
    );
  });

  it("takes the one on PATH before the one in the cache", async () => {
    const folder = scratchFolder("path");
    const cacheFolder = scratchFolder("cache");
    await program(join(cacheFolder, "2.15.1"), "nats-server", printsVersion("2.15.1"));
    const find = () => Effect.runPromise(locate(sources({ cacheFolder })));
    const environment = { WEIR_NATS_SERVER: undefined, PATH: `${folder}:${process.env["PATH"]}` };
    await withEnvironment(environment, async () => {
      await program(folder, "nats-server", printsVersion("2.14.2"));
      assert.equal((await find()).version, "2.14.2");
      await program(folder, "nats-server", printsVersion("2.13.9"));
      assert.equal((await find()).path, join(cacheFolder, "2.15.1", "nats-server"));
    });
  });

  it("names the refusal of every source", async () => {
    const environment = { WEIR_NATS_SERVER: undefined, PATH: scratchFolder("empty") };
    const error = await withEnvironment(
      environment,
      () =>
        Effect.runPromise(Effect.flip(locate(sources({
          cacheFolder: scratchFolder("cache"),
          checksums: {},
        })))),
    );
    assert.deepEqual(
      error.refusals.map(({ source, reason }) => [source, reason.split(" ").at(-1)]),
      [
        ["nats-server on PATH", "there"],
        [cache, "there"],
        [archive, platform()],
        [debian, "installed"],
        [go, "installed"],
      ],
    );
  });
});

describe("the official release archive", () => {
  it("is downloaded with progress, checked, unpacked, and found in the cache from then on", async () => {
    const { path } = await Effect.runPromise(locate());
    const release = await pack(path);
    const cacheFolder = scratchFolder("cache");
    const progress: Array<string> = [];
    const requested: Array<string | undefined> = [];
    const outcome = await serve((request, response) => {
      requested.push(request.url);
      response.writeHead(200, { "content-length": release.bytes.length });
      response.end(release.bytes);
    }, (releases) =>
      ask(archive, {
        cacheFolder,
        releases,
        checksums: release.checksums,
        onProgress: (message) => progress.push(message),
      }));
    assert.ok(outcome._tag === "Success");
    assert.deepEqual(requested, [release.path]);
    assert.match(progress.at(-1)!, /2\.15\.1: 100 % of \d+\.\d MiB$/);
    assert.equal(sha256(await readFile(outcome.success.path)), sha256(await readFile(path)));
    assert.deepEqual(await incoming(cacheFolder), []);
    assert.deepEqual(await ask(cache, { cacheFolder }), outcome);
  });

  it("is installed whole when several processes install it at once", async () => {
    const release = await packFake();
    const cacheFolder = scratchFolder("cache");
    await serve((_, response) => response.end(release.bytes), async (releases) => {
      const options = { cacheFolder, releases, checksums: release.checksums };
      const outcomes = await Promise.all(Array.from({ length: 5 }, () => ask(archive, options)));
      for (const outcome of outcomes) {
        assert.equal(outcome._tag, "Success", JSON.stringify(outcome));
      }
    });
    assert.deepEqual(await incoming(cacheFolder), []);
  });

  it("replaces a binary in the cache that does not run", async () => {
    const release = await packFake();
    const cacheFolder = scratchFolder("cache");
    await program(join(cacheFolder, "2.15.1"), "nats-server", "kill -9 $$");
    assert.match(await refusal(cache, { cacheFolder }), /--version failed/);
    await serve((_, response) => response.end(release.bytes), async (releases) => {
      await ask(archive, { cacheFolder, releases, checksums: release.checksums });
    });
    assert.equal((await ask(cache, { cacheFolder }))._tag, "Success");
  });

  const refusals: ReadonlyArray<{
    readonly what: string;
    readonly reason: RegExp;
    readonly answer: (bytes: Buffer) => RequestListener;
    readonly options?: LocateOptions;
    readonly version?: string;
  }> = [
    {
      what: "has another checksum",
      reason: /has SHA-256 [0-9a-f]{64}, not the pinned [0-9a-f]{64}$/,
      answer: (bytes) => (_, response) => response.end(Buffer.concat([bytes, Buffer.of(0)])),
    },
    {
      what: "breaks off",
      reason: /the download broke off|has SHA-256/,
      answer: (bytes) => (_, response) => {
        response.writeHead(200, { "content-length": bytes.length });
        response.write(bytes.subarray(0, 100), () => response.destroy());
      },
    },
    {
      what: "stalls",
      reason: /the download stalled after 0\.0 MiB/,
      options: { stallTimeout: "100 millis" },
      answer: (bytes) => (_, response) => {
        response.writeHead(200, { "content-length": bytes.length });
        response.write(bytes.subarray(0, 100));
      },
    },
    {
      what: "is not answered",
      reason: /did not answer in time$/,
      options: { connectTimeout: "100 millis" },
      answer: () => () => {},
    },
    {
      what: "is not there",
      reason: /answered 404$/,
      answer: () => (_, response) => response.writeHead(404).end("no such release"),
    },
    {
      what: "has no pinned checksum for this platform",
      reason: /^no pinned checksum for /,
      options: { checksums: {} },
      answer: (bytes) => (_, response) => response.end(bytes),
    },
    {
      what: "holds a server that is too old",
      reason: /is version 2\.9\.10/,
      version: "2.9.10",
      answer: (bytes) => (_, response) => response.end(bytes),
    },
  ];
  for (const { what, reason, answer, options, version } of refusals) {
    it(`is refused when it ${what}`, async () => {
      const release = await packFake(version);
      const cacheFolder = scratchFolder("cache");
      const refused = await serve(
        answer(release.bytes),
        (releases) =>
          refusal(archive, { cacheFolder, releases, checksums: release.checksums, ...options }),
      );
      assert.match(refused, reason);
      assert.deepEqual(await incoming(cacheFolder), []);
      assert.match(await refusal(cache, { cacheFolder }), /is not there$/);
    });
  }

  it("is refused when nothing listens", async () => {
    const releases = await serve(() => {}, (address) => Promise.resolve(address));
    const options = {
      cacheFolder: scratchFolder("cache"),
      releases,
      checksums: { [platform()]: "" },
    };
    assert.match(await refusal(archive, options), /cannot be reached/);
  });

  it("is refused when the cache cannot be written", async () => {
    const file = join(scratchFolder("cache"), "file");
    await writeFile(file, "");
    assert.match(await refusal(archive, { cacheFolder: file }), /cache folder cannot be written/);
  });
});

describe("the Debian package", () => {
  it("comes from the machine's own mirror, whatever its format", () => {
    const mirror = "https://mirror.example/debian";
    assert.equal(
      findMirror(
        `Types: deb\nURIs: https://mirror.example/debian-security ${mirror}\nSuites: stable`,
      ),
      mirror,
    );
    assert.equal(
      findMirror(`deb [arch=amd64 signed-by=/a.gpg] ${mirror}/ stable main`),
      `${mirror}/`,
    );
    assert.equal(findMirror(`deb ${mirror} stable main`), mirror);
    assert.equal(findMirror(`# deb ${mirror} stable main\n#URIs: ${mirror}`), undefined);
    assert.equal(findMirror(`deb-src ${mirror} stable main`), undefined);
    assert.equal(findMirror("deb https://mirror.example/ubuntu stable main"), undefined);
  });

  it("is fetched where the mirror can be reached, and refused elsewhere", async () => {
    const mirror = findMirror(await readSources());
    const isReachable = mirror !== undefined &&
      await fetch(`${mirror}/dists/testing/Release`, { signal: AbortSignal.timeout(5_000) })
        .then(async (response) => (await response.text(), response.ok), () => false);
    const cacheFolder = scratchFolder("cache");
    const outcome = await ask(debian, { cacheFolder });
    assert.equal(outcome._tag, isReachable ? "Success" : "Failure", JSON.stringify(outcome));
    if (outcome._tag === "Success") assert.deepEqual(await ask(cache, { cacheFolder }), outcome);
    assert.deepEqual(await incoming(cacheFolder), []);
  });
});

describe("go install", () => {
  it("builds the pinned version into the cache", async () => {
    const folder = scratchFolder("go");
    const calls = join(folder, "calls");
    await program(
      folder,
      "go",
      `echo "$@" >>${calls}
[ "$1" = install ] || exit 0
printf '#!/bin/sh\\n%s\\n' '${printsVersion("2.15.1")}' >"$GOBIN/nats-server"
chmod +x "$GOBIN/nats-server"`,
    );
    const cacheFolder = scratchFolder("cache");
    const outcome = await withEnvironment(
      { PATH: `${folder}:${process.env["PATH"]}` },
      () => ask(go, { cacheFolder }),
    );
    assert.ok(outcome._tag === "Success", JSON.stringify(outcome));
    assert.equal(basename(dirname(outcome.success.path)), "2.15.1");
    const [, , install] = (await readFile(calls, "utf8")).split("\n");
    assert.match(install!, /^install \S+\/nats-server\/v2@v2\.15\.1$/);
    assert.deepEqual(await incoming(cacheFolder), []);
  });

  it("is refused when the module proxy does not answer", async () => {
    const folder = scratchFolder("go");
    await program(folder, "go", `[ "$1" = version ] || exec sleep 60`);
    const reason = await withEnvironment(
      { PATH: `${folder}:${process.env["PATH"]}` },
      () => refusal(go, { cacheFolder: scratchFolder("cache"), connectTimeout: "100 millis" }),
    );
    assert.match(reason, /proxy did not answer in time/);
  });
});

describe("afterwards", () => {
  it("nothing is left", async () => {
    assert.deepEqual(await leftovers(), []);
  });
});
