/**
 * The streams of a namespace: created once, verified at each start, never altered. The settings that
 * decide where an execution lives and how long message ids are known are stored with each stream, so
 * that a process with other settings is refused instead of looking in the wrong place. Retention and
 * repair are not done here.
 */
import { DiscardPolicy, RetentionPolicy, StorageType, type StreamConfig } from "@nats-io/jetstream";
import { nanos } from "@nats-io/nats-core";
import { createHash, randomBytes } from "node:crypto";
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Option from "effect/Option";
import * as Schema from "effect/Schema";
import {
  type CipherMissing,
  type InvalidInput,
  NamespaceNotFound,
  ServerRefused,
  TopologyDrift,
  type Unavailable,
} from "../schema/errors.ts";
import { Namespace, parse } from "../schema/ids.ts";
import { shortestLeaseMs } from "../schema/lease_record.ts";
import { Connection } from "./connection.ts";
import { findOrCreate, isMissing, isRefusal, refuseDrift } from "./drift.ts";
import { type Layout, streamName, streamSubjects } from "./subjects.ts";

/** What is left out is as stored, or the default in a new namespace. */
export interface NamespaceOptions {
  /** The name that all subjects begin with; `weir` if left out. */
  readonly namespace?: string;
  /** How many streams share the executions; fixed when the namespace is created. Default 1. */
  readonly shards?: number;
  /** How many partitions a shard has; fixed when the namespace is created. Default 4. */
  readonly parts?: number;
  /** How many servers keep each stream. Default 1. */
  readonly replicas?: number;
  /**
   * The longest lease that anyone may take, up to an hour; fixed when the namespace is created.
   * Default a minute.
   */
  readonly longestLease?: Duration.Input;
  /** Whether a namespace that is not there is created. Default yes; who only looks says no. */
  readonly create?: boolean;
}

/** A namespace as it is stored. */
export interface Topology {
  readonly layout: Layout;
  /** Changes whenever one of the streams is created anew, so that older cursors are recognised. */
  readonly incarnation: string;
  readonly replicas: number;
  readonly longestLeaseMs: number;
  readonly duplicateWindowMs: number;
}

export type TopologyError =
  | InvalidInput
  | TopologyDrift
  | NamespaceNotFound
  | CipherMissing
  | Unavailable
  | ServerRefused;

const layoutVersion = "1";
/** Message ids are remembered for the longest lease and this much more, and no longer: it is memory. */
const duplicateMarginMs = 10_000;
/** The server's own default, 1,000, is below what actors × partitions may need. */
const maxConsumers = 10_000;

/** The KV clients in Go, the NATS CLI among them, take a stream without any limit for no bucket. */
const noLimit = Number.MAX_SAFE_INTEGER;

const between = (minimum: number, maximum: number) =>
  Schema.Int.check(Schema.isBetween({ minimum, maximum }));
const Shards = between(1, 64);
const Parts = between(1, 256);
const Replicas = between(1, 5);
const LongestLeaseMs = between(shortestLeaseMs, 3_600_000);

/** The settings that are stored with each stream. */
interface Settings {
  readonly shards: number;
  readonly parts: number;
  readonly replicas: number;
  readonly longestLeaseMs: number;
}

/** Settings of which some are left out. */
type Known = { readonly [Setting in keyof Settings]: number | undefined };

const defaults: Settings = { shards: 1, parts: 4, replicas: 1, longestLeaseMs: 60_000 };

const parseGiven = (schema: typeof Parts, what: string, value: unknown) =>
  value === undefined ? Effect.undefined : parse(schema, what, value);

/** A duration in milliseconds; what is none stays as it is, to be refused by name. */
const millis = (input: Duration.Input): unknown =>
  Option.match(Duration.fromInput(input), { onNone: () => input, onSome: Duration.toMillis });

/** What the caller asks for. */
const given = ({ shards, parts, replicas, longestLease }: NamespaceOptions) =>
  Effect.all({
    shards: parseGiven(Shards, "shards", shards),
    parts: parseGiven(Parts, "parts", parts),
    replicas: parseGiven(Replicas, "replicas", replicas),
    longestLeaseMs: parseGiven(
      LongestLeaseMs,
      "longest lease, in milliseconds,",
      longestLease === undefined ? undefined : millis(longestLease),
    ),
  });

/** What a stream was created with, as far as it says so. */
const stored = ({ num_replicas, metadata = {} }: StreamConfig): Known => {
  const read = (schema: typeof Parts, label: string) =>
    Option.getOrUndefined(Schema.decodeUnknownOption(schema)(Number(metadata[label])));
  return {
    shards: read(Shards, "weir.shards"),
    parts: read(Parts, "weir.parts"),
    replicas: num_replicas,
    longestLeaseMs: read(LongestLeaseMs, "weir.longestLeaseMs"),
  };
};

const settle = (asked: Known, found: Known | undefined): Settings => {
  const setting = (name: keyof Settings) => asked[name] ?? found?.[name] ?? defaults[name];
  return {
    shards: setting("shards"),
    parts: setting("parts"),
    replicas: setting("replicas"),
    longestLeaseMs: setting("longestLeaseMs"),
  };
};

const duplicateWindowMs = ({ longestLeaseMs }: Settings): number =>
  longestLeaseMs + duplicateMarginMs;

const labels = ({ shards, parts, longestLeaseMs }: Settings, incarnation: string) => ({
  "weir.layout": layoutVersion,
  "weir.shards": String(shards),
  "weir.parts": String(parts),
  "weir.longestLeaseMs": String(longestLeaseMs),
  "weir.incarnation": incarnation,
});

const incarnationOf = ({ metadata }: StreamConfig): string | undefined =>
  metadata?.["weir.incarnation"];

const reliedOn = (layout: Layout, shard: number, settings: Settings): Partial<StreamConfig> => ({
  subjects: [...streamSubjects(layout, shard)],
  retention: RetentionPolicy.Limits,
  storage: StorageType.File,
  discard: DiscardPolicy.Old,
  num_replicas: settings.replicas,
  max_age: 0,
  max_msgs: -1,
  max_bytes: -1,
  max_msg_size: -1,
  max_msgs_per_subject: noLimit,
  max_consumers: maxConsumers,
  duplicate_window: nanos(duplicateWindowMs(settings)),
  allow_direct: true,
  allow_atomic: true,
  allow_msg_schedules: true,
  allow_msg_ttl: true,
  allow_rollup_hdrs: true,
  deny_delete: false,
  deny_purge: false,
  no_ack: false,
  sealed: false,
  subject_delete_marker_ttl: nanos(1_000),
});

/** What would lose, move or invent records, or acknowledge them before they are stored. */
const foreign = {
  consumer_limits: {},
  mirror: undefined,
  persist_mode: undefined,
  sources: undefined,
  subject_transform: undefined,
};

/** The subjects overlap with those of another stream. */
const isOccupied = isRefusal(10065);

/** What the account allows is less than what a stream asks for. */
const isBelowMaxConsumers = isRefusal(10026);

const sayMaxConsumers = (error: Unavailable | ServerRefused) =>
  error._tag === "ServerRefused" && isBelowMaxConsumers(error)
    ? new ServerRefused({
      operation: error.operation,
      errorCode: error.errorCode,
      description:
        `${error.description}: the account needs a max_consumers of ${maxConsumers} or more, or none`,
    })
    : error;

/** The stream of a shard, new or found; whether it is what we rely on remains to be verified. */
const obtain = Effect.fnUntraced(function* (
  layout: Layout,
  shard: number,
  settings: Settings,
  create: boolean,
) {
  const { ask, manager } = yield* Connection;
  const name = streamName(layout, shard);
  const config = {
    ...reliedOn(layout, shard, settings),
    name,
    description: "Weir: leases, mailboxes, journals and events of durable executions",
    metadata: labels(settings, randomBytes(8).toString("hex")),
  };
  const occupied = Effect.fnUntraced(function* () {
    const subjects = streamSubjects(layout, shard);
    const owners = yield* ask(
      `find who has ${subjects.join(", ")}`,
      () => Promise.all(subjects.map((subject) => manager.streams.names(subject).next())),
    );
    const actual = `taken by stream ${[...new Set(owners.flat())].join(", ")}`;
    const difference = { field: "subjects", expected: JSON.stringify(subjects), actual };
    return yield* new TopologyDrift({ stream: name, differences: [difference] });
  });
  const find = ask(`look up ${name}`, () => manager.streams.info(name));
  if (!create) {
    return yield* find.pipe(
      Effect.map((info) => info.config),
      Effect.catchIf(
        isMissing,
        () => Effect.fail(new NamespaceNotFound({ namespace: layout.namespace })),
      ),
    );
  }
  return yield* findOrCreate(
    find,
    Effect.mapError(ask(`create ${name}`, () => manager.streams.add(config)), sayMaxConsumers),
  ).pipe(
    Effect.map((info) => info.config),
    Effect.catchIf(isOccupied, occupied),
  );
});

/** Refuses a stream that is not what we rely on. */
const verify = (layout: Layout, shard: number, settings: Settings, config: StreamConfig) =>
  refuseDrift(
    streamName(layout, shard),
    {
      ...labels(settings, incarnationOf(config) ?? "present"),
      ...reliedOn(layout, shard, settings),
      ...foreign,
    },
    { ...config, ...config.metadata },
  );

/** Creates the namespace, unless it is not to be created, or verifies that it is what the caller expects. */
export const ensure = Effect.fn("Topology.ensure")(function* (options: NamespaceOptions = {}) {
  const namespace = yield* parse(Namespace, "namespace", options.namespace ?? "weir");
  const asked = yield* given(options);
  // The first stream has the say, whoever of several processes created it.
  const wish = settle(asked, undefined);
  const create = options.create ?? true;
  const first = yield* obtain({ namespace, ...wish }, 0, wish, create);
  const settings = settle(asked, stored(first));
  const { shards, parts, replicas, longestLeaseMs } = settings;
  const layout: Layout = { namespace, shards, parts };

  const incarnations = createHash("sha256");
  for (let shard = 0; shard < shards; shard++) {
    const config = shard === 0 ? first : yield* obtain(layout, shard, settings, create);
    yield* verify(layout, shard, settings, config);
    incarnations.update(incarnationOf(config) ?? "");
  }
  return {
    layout,
    incarnation: incarnations.digest("hex").slice(0, 16),
    replicas,
    longestLeaseMs,
    duplicateWindowMs: duplicateWindowMs(settings),
  } satisfies Topology;
});
