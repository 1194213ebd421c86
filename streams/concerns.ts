/**
 * What an operator should look after before anything fails, as the server tells it: copies that are
 * missing or behind, room that runs out, and what was asked for and is not given. It changes nothing,
 * and does not look at executions.
 */
import type { JetStreamAccountStats, StreamInfo } from "@nats-io/jetstream";
import { statfs } from "node:fs/promises";
import * as Arr from "effect/Array";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Result from "effect/Result";
import { Unavailable } from "../schema/errors.ts";
import { Connection } from "./connection.ts";
import { Log } from "./log.ts";
import type { Durability } from "./server.ts";
import { streamName } from "./subjects.ts";

/** What is to be survived, of those who say so. */
export interface Wanted {
  readonly durability?: Durability | undefined;
  readonly replicas?: number | undefined;
}

/** Something that is not as it should be, and what to do about it. */
export interface Concern {
  /** Whether it is not what was asked for, rather than what may fail next. */
  readonly isBroken: boolean;
  readonly what: string;
}

/** What the server says of itself and its streams. */
export interface Seen {
  readonly durability: Connection["Service"]["durability"];
  /** Of the cluster that the server belongs to, if it does. */
  readonly cluster: string | undefined;
  readonly streams: ReadonlyArray<Pick<StreamInfo, "config" | "cluster">>;
  /** Absent if the server did not tell. */
  readonly account: Pick<JetStreamAccountStats, "limits" | "storage" | "tiers"> | undefined;
  /** When the streams of the embedded server may grow no more. */
  readonly maxStorageBytes?: number | undefined;
  /** Of the disk of the embedded server. */
  readonly disk: { readonly freeBytes: number; readonly bytes: number } | undefined;
}

/** Beyond this part of what it may use an account should be looked after. */
const mostUsed = 0.8;
/** With less than this left a large record finds no room any more. */
const leastRoomBytes = 256 * 1024;
/** With less than this a disk is as good as full. */
const leastFreeBytes = 512 * 1024 * 1024;
const leastFree = 0.05;

const concern = (what: string): Concern => ({ isBroken: false, what });
const broken = (what: string): Concern => ({ isBroken: true, what });
const percent = (part: number): string => `${Math.floor(part * 100)} %`;

const ofStream = (
  { config, cluster }: Seen["streams"][number],
  { replicas: wanted }: Wanted,
  isInCluster: boolean,
): ReadonlyArray<Concern> => {
  const { name, num_replicas: replicas } = config;
  const peers = cluster?.replicas ?? [];
  return [
    ...(wanted !== undefined && replicas < wanted
      ? [broken(
        `${name} has ${replicas} of the ${wanted} replicas that were asked for; ` +
          `a namespace has what it was created with`,
      )]
      : []),
    ...(wanted === undefined && isInCluster && replicas === 1
      ? [concern(
        `${name} is on one server of the cluster alone, and stands still without it: ` +
          `create the namespace with replicas: 3`,
      )]
      : []),
    ...(replicas > 1 && cluster?.leader === undefined
      ? [concern(`${name} has no leader: start its servers, or mend the network between them`)]
      : []),
    // One that is gone is told as behind for a minute and more.
    ...peers.filter(({ offline, current }) => offline || !current).map((peer) =>
      concern(
        `${peer.name} is down, or ${peer.lag ?? 0} operations behind with its copy of ${name}: ` +
          `start it again, or look after its disk and its network`,
      )
    ),
  ];
};

const ofDurability = (
  { durability }: Seen,
  { durability: wanted }: Wanted,
): ReadonlyArray<Concern> => {
  if (wanted === undefined || durability === wanted || durability === "power-safe") return [];
  return durability === "unknown"
    // No server of one's own tells it, however right it is.
    ? [concern(
      `${wanted} was asked for, and a server of one's own does not tell what it gives: ` +
        `look at the sync_interval of its configuration`,
    )]
    : [
      broken(
        `${wanted} was asked for, and ${durability} is given: a power cut may take what was ` +
          `acknowledged last; set sync_interval: always`,
      ),
    ];
};

const ofRoom = ({ account, maxStorageBytes, disk }: Seen): ReadonlyArray<Concern> => {
  const tiers = Object.entries(account?.tiers ?? {});
  const limited = account === undefined
    ? []
    : maxStorageBytes !== undefined
    ? [["of the store's maxStorageBytes", account.storage, maxStorageBytes] as const]
    : tiers.length > 0
    ? tiers.map(([tier, of]) =>
      [`of the account's tier ${tier}`, of!.storage, of!.limits.max_storage] as const
    )
    : [["of the account", account.storage, account.limits.max_storage] as const];
  const used = limited.flatMap(([whose, storage, most]) => {
    if (most <= 0 || storage / most <= mostUsed) return [];
    const used = `${percent(storage / most)} ${whose} is used`;
    return most - storage < leastRoomBytes
      ? [
        broken(
          `${used}, and appends are refused, the large ones first: raise its limit, or let less be kept`,
        ),
      ]
      : [concern(`${used}: raise its limit, or let less be kept`)];
  });
  const isShort = disk !== undefined && disk.bytes > 0 &&
    (disk.freeBytes < leastFreeBytes || disk.freeBytes / disk.bytes < leastFree);
  return isShort
    ? [
      ...used,
      concern(
        `the disk of the store has ${Math.floor(disk.freeBytes / 1024 ** 2)} MiB left, ` +
          `${percent(disk.freeBytes / disk.bytes)}: make room, or let less be kept`,
      ),
    ]
    : used;
};

/** What there is to look after, the worst first. */
export const concernsOf = (seen: Seen, wanted: Wanted): ReadonlyArray<Concern> => {
  const found = [
    ...ofDurability(seen, wanted),
    ...seen.streams.flatMap((stream) => ofStream(stream, wanted, seen.cluster !== undefined)),
    ...ofRoom(seen),
  ];
  return [
    ...found.filter(({ isBroken }) => isBroken),
    ...found.filter(({ isBroken }) => !isBroken),
  ];
};

/** The room on the disk of a folder, if that can be told. */
const roomOn = (folder: string) =>
  Effect.tryPromise(async () => {
    const { bavail, blocks, bsize } = await statfs(folder);
    return { freeBytes: bavail * bsize, bytes: blocks * bsize };
  }).pipe(Effect.option, Effect.map(Option.getOrUndefined));

/** Whoever looks has the rest of the answers while one does not come. */
const answerWithin = "5 seconds";

/** The same, of the namespace that is connected to. */
export const concerns = Effect.fn("Concerns.concerns")(function* (wanted: Wanted = {}) {
  const { ask, durability, manager, nats, server } = yield* Connection;
  const { layout } = yield* Log;
  const asked = <A>(operation: string, request: () => Promise<A>) =>
    ask(operation, request).pipe(
      Effect.timeoutOrElse({
        duration: answerWithin,
        orElse: () => {
          const reason = `it took longer than ${answerWithin}`;
          return Effect.fail(new Unavailable({ operation, reason, landed: "no" }));
        },
      }),
      Effect.mapError(({ message }) => broken(message)),
      Effect.result,
    );
  const shards = Arr.makeBy(layout.shards, (shard) => streamName(layout, shard));
  const [streams, account] = yield* Effect.all([
    Effect.forEach(
      shards,
      (name) => asked(`look up ${name}`, () => manager.streams.info(name)),
      { concurrency: "unbounded" },
    ),
    asked("look up the account", () => manager.getAccountInfo()),
  ], { concurrency: "unbounded" });
  const disk = server === undefined ? undefined : yield* roomOn(server.store);
  const cluster = nats.info?.cluster;
  const maxStorageBytes = server?.maxStorageBytes;
  const seen = {
    durability,
    cluster,
    streams: Arr.getSuccesses(streams),
    account: Result.getOrUndefined(account),
    maxStorageBytes,
    disk,
  };
  return [...Arr.getFailures([...streams, account]), ...concernsOf(seen, wanted)];
});
