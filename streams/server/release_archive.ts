/**
 * nats-server from the archive that its project releases. Nothing is unpacked before its SHA-256 is
 * the one that is pinned here, and a platform without a pin is refused. It does not decide when to
 * download.
 */
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { gunzipSync } from "node:zlib";
import type * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import { pinnedVersion } from "./binary.ts";

export interface ReleaseArchiveOptions {
  /** Where the releases are; a mirror has the same folders below it. */
  readonly releases: string;
  /** SHA-256 of the archive by platform. */
  readonly checksums: Readonly<Record<string, string>>;
  /** How long the connection and the first answer may take. */
  readonly connectTimeout: Duration.Input;
  /** How long a download may pause. */
  readonly stallTimeout: Duration.Input;
  readonly onProgress: (message: string) => void;
}

export const defaultReleases = "https://github.com/nats-io/nats-server/releases/download";

/** Of v2.15.1; where they come from, and how to pin another release, is in ADR 0003. */
export const pinnedChecksums: Readonly<Record<string, string>> = {
  "linux-amd64": "bf5edc7b1ce98e885c368cb43a886eb148dc5d0551d99f3cf6141fb5e1954c70",
  "linux-arm64": "e2fbab4cad7d3c76e3052eb959570393c9d73ba756b70bf8e9eea61e9ae6d49c",
  "linux-arm6": "a8c76cf2e716745ea140636c02f89195fb209ccbd01be46d3d973acee7d8d2e7",
  "linux-386": "9fde80807787a77e25d0143b0835b8a7de8b735e9ebe01fcbcf0205e00f7f06b",
  "linux-ppc64le": "4918414d24b16c30e71352e362b2d89e9e47c557514cefb5d4c6f2523cfee73d",
  "linux-s390x": "478644ef83c46f585f9714b05201b5596e718cdd55ef295fb31abef6a71b4646",
  "linux-riscv64": "0c7f51bdf9712e2c69336722fca636a3b038181ff843390c00a4e287ad462086",
  "linux-loong64": "c0875670e7a5fda318e4114cd549b39c77f3294ebb32f90f78c6e7c83635d8d9",
};

const architectures: Readonly<Record<string, string>> = {
  x64: "amd64",
  ia32: "386",
  arm: "arm6",
  ppc64: "ppc64le",
};

/** This machine, in the words of the release. */
export const platform = (): string =>
  `${process.platform}-${architectures[process.arch] ?? process.arch}`;

const describe = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;
};

const mebibytes = (bytes: number): string => `${(bytes / 1024 / 1024).toFixed(1)} MiB`;

const receive = (
  body: ReadableStream<Uint8Array>,
  totalBytes: number,
  { onProgress, stallTimeout }: ReleaseArchiveOptions,
): Effect.Effect<Buffer, string> =>
  Effect.acquireUseRelease(
    Effect.sync(() => body.getReader()),
    Effect.fnUntraced(function* (reader) {
      const chunks: Array<Uint8Array> = [];
      let receivedBytes = 0;
      let reportedTenths = 0;
      for (;;) {
        const { done, value } = yield* Effect.tryPromise({
          try: () => reader.read(),
          catch: (error) => `the download broke off: ${describe(error)}`,
        }).pipe(Effect.timeoutOrElse({
          duration: stallTimeout,
          orElse: () => Effect.fail(`the download stalled after ${mebibytes(receivedBytes)}`),
        }));
        if (done) return Buffer.concat(chunks);
        chunks.push(value);
        receivedBytes += value.length;
        const tenths = Math.floor(receivedBytes / totalBytes * 10);
        if (tenths > reportedTenths) {
          reportedTenths = tenths;
          onProgress(
            `Downloading nats-server ${pinnedVersion}: ${tenths * 10} % of ${
              mebibytes(totalBytes)
            }`,
          );
        }
      }
    }),
    (reader) => Effect.promise(() => reader.cancel().catch(() => undefined)),
  );

const download = Effect.fnUntraced(function* (url: string, options: ReleaseArchiveOptions) {
  options.onProgress(`Downloading nats-server ${pinnedVersion} from ${url}`);
  const response = yield* Effect.tryPromise({
    try: (signal) => fetch(url, { signal }),
    catch: (error) => `${url} cannot be reached: ${describe(error)}`,
  }).pipe(Effect.timeoutOrElse({
    duration: options.connectTimeout,
    orElse: () => Effect.fail(`${url} did not answer in time`),
  }));
  if (!response.ok || response.body === null) {
    yield* Effect.promise(async () => await response.body?.cancel());
    return yield* Effect.fail(`${url} answered ${response.status}`);
  }
  const totalBytes = Number(response.headers.get("content-length") ?? Infinity);
  return yield* receive(response.body, totalBytes, options);
});

const blockBytes = 512;

/** The one file that is wanted out of a tar archive: name at 0, size in octal at 124. */
const extract = (tar: Buffer): Buffer | undefined => {
  const text = (from: number, to: number) => tar.toString("latin1", from, to).split("\0")[0]!;
  for (let header = 0; header + blockBytes <= tar.length;) {
    const sizeBytes = parseInt(text(header + 124, header + 136), 8) || 0;
    const content = header + blockBytes;
    if (text(header, header + 100).endsWith("/nats-server") && sizeBytes > 0) {
      return tar.subarray(content, content + sizeBytes);
    }
    header = content + Math.ceil(sizeBytes / blockBytes) * blockBytes;
  }
  return undefined;
};

/** Puts the released binary into `scratch`. */
export const fetchReleaseArchive = Effect.fnUntraced(function* (
  scratch: string,
  options: ReleaseArchiveOptions,
): Effect.fn.Return<string, string> {
  const expected = options.checksums[platform()];
  if (expected === undefined) return yield* Effect.fail(`no pinned checksum for ${platform()}`);
  const name = `nats-server-v${pinnedVersion}-${platform()}.tar.gz`;
  const archive = yield* download(`${options.releases}/v${pinnedVersion}/${name}`, options);
  const actual = createHash("sha256").update(archive).digest("hex");
  if (actual !== expected) {
    return yield* Effect.fail(`${name} has SHA-256 ${actual}, not the pinned ${expected}`);
  }
  return yield* Effect.tryPromise({
    try: async () => {
      const content = extract(gunzipSync(archive));
      if (content === undefined) throw new Error("it holds no nats-server");
      const path = join(scratch, "nats-server");
      await writeFile(path, content, { mode: 0o755 });
      return path;
    },
    catch: (error) => `${name} cannot be unpacked: ${describe(error)}`,
  });
});
