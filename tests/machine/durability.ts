/**
 * What is left of what was accepted, behind each failure, by how the server syncs and how many there
 * are: counted, not concluded. Writes go on until the failure; what a reader finds afterwards is
 * held against every one that was accepted.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import * as Effect from "effect/Effect";
import { Log } from "../../streams/log.ts";
import { shardRoot } from "../../streams/subjects.ts";
import { text } from "../conformance/subject_matter.ts";
import { collect, openClient } from "../fixtures/log_client.ts";
import { runtimeArguments } from "../fixtures/program.ts";
import {
  eventually,
  scratchCluster,
  type ScratchServer,
  scratchServer,
} from "../fixtures/server.ts";
import type { AppenderOptions } from "./appender.ts";
import { type Disk, diskOf } from "./disk.ts";

export const failures = {
  "our process is killed": "client",
  "a server is killed": "server",
  "its power fails": "power",
  "the power of all fails": "powerOfAll",
  "one disk is damaged": "damage",
} as const;
export type Failure = keyof typeof failures;

export interface Setting {
  readonly replicas: 1 | 3;
  readonly syncInterval: "always" | "100ms" | "2m";
}

export interface Cell extends Setting {
  readonly failure: Failure;
  readonly accepted: number;
  readonly lost: number;
  /** How long before the failure the first of those was accepted that are lost; 0 if none is. */
  readonly lostMs: number;
  /** Whether nothing is lost that was accepted before something that is not. */
  readonly isPrefix: boolean;
}

const script = fileURLToPath(new URL("./appender.ts", import.meta.url));

const startAppender = (options: AppenderOptions) => {
  const accepted = new Map<number, number>();
  const args = [...runtimeArguments, script, JSON.stringify(options)];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "ignore"] });
  const ended = once(child, "exit");
  const lines = createInterface({ input: child.stdout });
  const read = once(lines, "close");
  lines.on("line", (line) => {
    const [n, at] = JSON.parse(line) as [number, number];
    accepted.set(n, at);
  });
  const kill = async () => {
    child.kill("SIGKILL");
    await Promise.all([ended, read]);
  };
  return { accepted, kill };
};

/** Flips a bit in the middle of each file of messages. */
const damage = (folder: string): void => {
  for (const path of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
    if (!path.includes("KV_weir") || !path.endsWith(".blk")) continue;
    const file = join(folder, path);
    const bytes = readFileSync(file);
    if (bytes.length < 1_000) continue;
    bytes[bytes.length >> 1]! ^= 1;
    writeFileSync(file, bytes);
  }
};

const openServers = async ({ replicas, syncInterval }: Setting) => {
  if (replicas === 3) return await scratchCluster({ syncInterval });
  const server = await scratchServer({ syncInterval });
  return {
    servers: [server],
    urls: [server.url],
    ready: () => Promise.resolve(),
    stop: server.stop,
  };
};

const failAs = async (
  failure: Failure,
  servers: ReadonlyArray<ScratchServer>,
  disks: ReadonlyArray<Disk>,
): Promise<void> => {
  const struck = failures[failure];
  if (struck === "client") return;
  const hit = struck === "powerOfAll" ? servers.length : 1;
  await Promise.all(servers.slice(0, hit).map((server) => server.kill()));
  for (const disk of disks.slice(0, hit)) {
    if (struck === "power" || struck === "powerOfAll") disk.cutPower();
    if (struck === "damage") damage(disk.folder);
  }
};

/** Appends for a while, has it fail, and counts. */
export const measure = async (
  setting: Setting,
  failure: Failure,
  { forMs }: { readonly forMs: number },
): Promise<Cell> => {
  const { servers, urls, ready, stop } = await openServers(setting);
  const { replicas } = setting;
  await Promise.all(servers.map((server) => server.kill()));
  const disks = servers.map((server) => diskOf(server));
  try {
    await Promise.all(servers.map((server) => server.restart()));
    await ready();
    const { accepted, kill } = startAppender({ servers: urls, replicas });
    await eventually("it appends", () => accepted.size > 0 || undefined, 60_000);
    await pause(forMs);
    const failsAt = Date.now();
    if (failures[failure] === "client") await kill();
    await failAs(failure, servers, disks);
    await kill();
    await Promise.all(servers.map((server) => server.pid === undefined && server.restart()));
    await ready();
    const reader = openClient({ servers: urls }, { replicas });
    const present = new Set(
      (await reader.runPromise(
        Effect.flatMap(
          Log,
          (log) => collect(log.read({ shard: 0, subject: `${shardRoot(log.layout, 0)}.event.>` })),
        ),
      )).map((
        entry,
      ) => Number(text(entry))),
    );
    await reader.dispose();
    const all = [...accepted];
    const lost = all.filter(([n]) => !present.has(n));
    const firstLost = Math.min(...lost.map(([, at]) => at));
    const lastKept = Math.max(...all.filter(([n]) => present.has(n)).map(([, at]) => at));
    return {
      ...setting,
      failure,
      accepted: all.length,
      lost: lost.length,
      lostMs: lost.length === 0 ? 0 : Math.max(0, failsAt - firstLost),
      isPrefix: lost.length === 0 || lastKept <= firstLost,
    };
  } finally {
    await Promise.all(servers.map((server) => server.kill()));
    for (const disk of disks) disk.end();
    await stop();
  }
};

/** The settings that people have, and what may happen to each. */
export const settings: ReadonlyArray<Setting> = [
  { replicas: 1, syncInterval: "always" },
  { replicas: 1, syncInterval: "100ms" },
  { replicas: 1, syncInterval: "2m" },
  { replicas: 3, syncInterval: "always" },
  { replicas: 3, syncInterval: "2m" },
];

export const failuresOf = ({ replicas }: Setting): ReadonlyArray<Failure> =>
  (Object.keys(failures) as ReadonlyArray<Failure>).filter((failure) =>
    replicas === 3 || failures[failure] !== "powerOfAll"
  );
