/**
 * Who runs the workloads: each peer with what it stores in, once at the settings that survive a loss of
 * power and once at those that may lose the last moment. Which of the two its own documentation
 * recommends, or has as the default, is said beside it.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Durability } from "../../streams/server.ts";
import { type Connection, scratchPostgres } from "../../tests/fixtures/postgres.ts";
import { killProcess, scratchServer } from "../../tests/fixtures/server.ts";
import { type Child, startChild } from "../child_process.ts";
import type { Installation } from "./installation.ts";
import type { Options, Question } from "./peer_process.ts";
import { startRedis } from "./redis_server.ts";
import { startRestate } from "./restate_server.ts";
import type { Work } from "./workloads.ts";

export const durabilities: ReadonlyArray<Durability> = ["power-safe", "bounded"];

export const weir = "Weir";
/** The ground truth, which is no peer. */
export const raw = "raw JetStream";

export interface Running {
  readonly process: Child<Question>;
  readonly servers: ReadonlyArray<number>;
  readonly stop: () => Promise<void>;
  /** Ends a process that may not answer any more. */
  readonly abandon: () => Promise<void>;
}

export interface Contestant {
  readonly peer: string;
  readonly durability: Durability;
  /** What a loss of power may take of what was acknowledged. */
  readonly atRisk: string;
  readonly recommended: boolean;
  readonly runs: (work: Work) => boolean;
  readonly start: (installation: Installation) => Promise<Running>;
}

/** What an adapter is told, and what is behind it. */
interface Behind {
  readonly settings: unknown;
  readonly servers: ReadonlyArray<number>;
  readonly stop: () => Promise<void>;
}

interface Entry {
  readonly peer: string;
  readonly adapter: string;
  readonly module: (installation: Installation) => string | Promise<string>;
  readonly recommended: ReadonlyArray<Durability>;
  /** What is at risk when it is bounded. */
  readonly bounded: string;
  readonly runs?: (work: Work) => boolean;
  readonly behind: (durability: Durability, installation: Installation) => Promise<Behind>;
}

const natsServer = async (durability: Durability): Promise<Behind> => {
  const server = await scratchServer({ durability });
  const settings = { servers: server.url, durability };
  return { settings, servers: [server.pid!], stop: server.stop };
};

/**
 * With PostgreSQL's own defaults, but for memory. Without synchronous commits it may lose what three
 * delays of its writer bring.
 */
const postgres =
  (settings: (connection: Connection) => unknown) =>
  async (durability: Durability): Promise<Behind> => {
    const { connection, stop } = await scratchPostgres({
      fsync: "on",
      shared_buffers: "1GB",
      ...(durability === "power-safe"
        ? { synchronous_commit: "on" }
        : { synchronous_commit: "off", wal_writer_delay: "33ms" }),
    });
    const pid = readFileSync(join(connection.host, "data", "postmaster.pid"), "utf8");
    return { settings: settings(connection), servers: [parseInt(pid)], stop };
  };

const restateServer = async (
  durability: Durability,
  { restateServer }: Installation,
): Promise<Behind> => {
  const syncs = durability === "power-safe";
  const { admin, ingress, pid, stop } = await startRestate(restateServer, syncs);
  return { settings: { admin, ingress }, servers: [pid], stop };
};

const redisServer = async (durability: Durability): Promise<Behind> => {
  const appendfsync = durability === "power-safe" ? "always" : "everysec";
  const { host, port, pid, stop } = await startRedis(appendfsync);
  return { settings: { host, port }, servers: [pid], stop };
};

const entries: ReadonlyArray<Entry> = [
  {
    peer: raw,
    adapter: "raw.ts",
    module: (installation) => installation.weir(),
    recommended: durabilities,
    bounded: "100 ms",
    // It carries no input.
    runs: (work) => work.kind === "wake" || work.inputBytes === 0,
    behind: natsServer,
  },
  {
    peer: weir,
    adapter: "weir.ts",
    module: (installation) => installation.weir(),
    recommended: durabilities,
    bounded: "100 ms",
    behind: natsServer,
  },
  {
    peer: "Restate",
    adapter: "restate.cjs",
    module: (installation) => installation.peers,
    recommended: ["power-safe"],
    bounded: "what the system has not written by itself",
    behind: restateServer,
  },
  {
    peer: "DBOS",
    adapter: "dbos.cjs",
    module: (installation) => installation.peers,
    recommended: ["power-safe"],
    bounded: "100 ms",
    behind: postgres(({ host, user }) => ({
      url: `postgresql://${user}@localhost/dbos?host=${encodeURIComponent(host)}`,
    })),
  },
  {
    peer: "Effect cluster",
    adapter: "effect_cluster.ts",
    module: (installation) => installation.peers,
    recommended: ["power-safe"],
    bounded: "100 ms",
    behind: postgres((connection) => ({ connection })),
  },
  {
    peer: "BullMQ",
    adapter: "bullmq.cjs",
    module: (installation) => installation.peers,
    recommended: ["bounded"],
    bounded: "1 s",
    runs: (work) => work.kind === "steps" && work.steps === 0,
    behind: redisServer,
  },
];

const contestant = (
  { peer, adapter, module, recommended, bounded, runs = () => true, behind }: Entry,
  durability: Durability,
): Contestant => ({
  peer,
  durability,
  atRisk: durability === "power-safe" ? "nothing" : bounded,
  recommended: recommended.includes(durability),
  runs,
  start: async (installation) => {
    const script = await module(installation);
    const { settings, servers, stop } = await behind(durability, installation);
    const options: Options = { adapter, settings };
    const process = await startChild<Question>(script, options, [installation.node]);
    return {
      process,
      servers,
      stop: async () => {
        await process.close();
        await stop();
      },
      abandon: async () => {
        killProcess(process.pid);
        await stop();
      },
    };
  },
});

export const contestants: ReadonlyArray<Contestant> = durabilities.flatMap((durability) =>
  entries.map((entry) => contestant(entry, durability))
);
