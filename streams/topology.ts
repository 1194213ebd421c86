/**
 * The streams of a namespace and the consumers on them: created once, verified at each start, never
 * altered. The counts that decide where an execution lives are stored with the first stream, so that
 * a process with other counts is refused instead of looking in the wrong place. Retention and repair
 * are not done here.
 */
import {
  AckPolicy,
  type ConsumerConfig,
  DiscardPolicy,
  JetStreamApiCodes,
  JetStreamApiError,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from "@nats-io/jetstream";
import { nanos } from "@nats-io/nats-core";
import { createHash, randomBytes } from "node:crypto";
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import {
  InvalidInput,
  type ServerRefused,
  TopologyDrift,
  type Unavailable,
} from "../schema/errors.ts";
import { type ActorName, Namespace, parse } from "../schema/ids.ts";
import { Connection } from "./connection.ts";
import { type Layout, shardRoot, streamName, streamSubjects } from "./subjects.ts";

export interface NamespaceOptions {
  /** The name that all subjects begin with; `weir` if left out. */
  readonly namespace?: string;
  /** How many streams share the executions; fixed when the namespace is created. Default 1. */
  readonly shards?: number;
  /** How many partitions a shard has; fixed when the namespace is created. Default 4. */
  readonly parts?: number;
  /** How many servers keep each stream. Default 1. */
  readonly replicas?: number;
  /** The longest lease that anyone may take; the server remembers message ids a little longer. */
  readonly longestLease?: Duration.Input;
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

export type TopologyError = InvalidInput | TopologyDrift | Unavailable | ServerRefused;

const layoutVersion = "1";
const defaults = {
  namespace: "weir",
  shards: 1,
  parts: 4,
  replicas: 1,
  longestLease: "60 seconds",
} as const;
/** Message ids are remembered for the longest lease and this much more, and no longer: it is memory. */
const duplicateMarginMs = 10_000;
/** The server's own default, 1,000, is below what actors × partitions may need. */
const maxConsumers = 10_000;

const countBetween = (what: string, value: number, low: number, high: number) =>
  Number.isInteger(value) && value >= low && value <= high ? Effect.succeed(value) : Effect.fail(
    new InvalidInput({
      what,
      value: String(value),
      rule: `it is a whole number from ${low} to ${high}`,
    }),
  );

type Config = Partial<StreamConfig> & { readonly name: string };

const streamConfig = (topology: Omit<Topology, "incarnation">, shard: number): Config => ({
  name: streamName(topology.layout, shard),
  description: "Weir: leases, mailboxes, journals and events of durable executions",
  subjects: [...streamSubjects(topology.layout, shard)],
  retention: RetentionPolicy.Limits,
  storage: StorageType.File,
  discard: DiscardPolicy.Old,
  num_replicas: topology.replicas,
  max_age: 0,
  max_msgs: -1,
  max_bytes: -1,
  max_msg_size: -1,
  max_msgs_per_subject: -1,
  max_consumers: maxConsumers,
  duplicate_window: nanos(topology.duplicateWindowMs),
  allow_direct: true,
  allow_atomic: true,
  allow_msg_schedules: true,
  allow_msg_ttl: true,
  allow_rollup_hdrs: true,
  deny_delete: false,
  deny_purge: false,
  sealed: false,
  subject_delete_marker_ttl: nanos(1_000),
  metadata: {
    "weir.layout": layoutVersion,
    "weir.shards": String(topology.layout.shards),
    "weir.parts": String(topology.layout.parts),
    "weir.incarnation": randomBytes(8).toString("hex"),
  },
});

/** What may differ between deployments, or is set by the server. */
const free = new Set(["description", "metadata"]);

const show = (value: unknown): string => value === undefined ? "absent" : JSON.stringify(value);

/** The fields in which a stored configuration is not what we rely on. */
const differences = (expected: object, actual: object) =>
  Object.entries(expected).flatMap(([field, value]) => {
    const stored = (actual as Record<string, unknown>)[field];
    return free.has(field) || show(value) === show(stored) || (stored === undefined && !value)
      ? []
      : [{ field, expected: show(value), actual: show(stored) }];
  });

const refuse = (stream: string, found: TopologyDrift["differences"]) =>
  found.length === 0 ? Effect.void : Effect.fail(new TopologyDrift({ stream, differences: found }));

const isMissing = (cause: unknown): boolean =>
  cause instanceof JetStreamApiError &&
  (cause.code === JetStreamApiCodes.StreamNotFound ||
    cause.code === JetStreamApiCodes.ConsumerNotFound);

/** Someone else created it first, perhaps with other settings: what is stored decides. */
const existsAlready = (error: Unavailable | ServerRefused): boolean =>
  error._tag === "ServerRefused" && [10058, 10148, 10013].includes(error.errorCode);

const findStream = (connection: Connection["Service"], name: string) =>
  connection.ask(
    `look up ${name}`,
    () =>
      connection.manager.streams.info(name).then((info) => info.config, (cause) => {
        if (isMissing(cause)) return undefined;
        throw cause;
      }),
  );

/** Compares what the caller asked for with what the namespace was created with. */
const verifyCounts = (options: NamespaceOptions, name: string, config: StreamConfig) => {
  const stored = {
    "weir.layout": config.metadata?.["weir.layout"],
    "weir.shards": config.metadata?.["weir.shards"],
    "weir.parts": config.metadata?.["weir.parts"],
  };
  const expected = {
    "weir.layout": layoutVersion,
    "weir.shards": options.shards === undefined ? stored["weir.shards"] : String(options.shards),
    "weir.parts": options.parts === undefined ? stored["weir.parts"] : String(options.parts),
  };
  return refuse(name, differences(expected, stored));
};

const describe = Effect.fnUntraced(
  function* (options: NamespaceOptions, stored: StreamConfig | undefined) {
    const name = yield* parse(Namespace, "namespace", options.namespace ?? defaults.namespace);
    const storedWindowMs = stored === undefined ? undefined : stored.duplicate_window / 1e6;
    const longestLeaseMs = options.longestLease === undefined && storedWindowMs !== undefined
      ? storedWindowMs - duplicateMarginMs
      : Duration.toMillis(Duration.fromInputUnsafe(options.longestLease ?? defaults.longestLease));
    const storedCount = (key: string) => {
      const value = stored?.metadata?.[key];
      return value === undefined ? undefined : Number(value);
    };
    const shards = yield* countBetween(
      "shards",
      options.shards ?? storedCount("weir.shards") ?? defaults.shards,
      1,
      64,
    );
    const parts = yield* countBetween(
      "parts",
      options.parts ?? storedCount("weir.parts") ?? defaults.parts,
      1,
      256,
    );
    const replicas = yield* countBetween(
      "replicas",
      options.replicas ?? stored?.num_replicas ?? defaults.replicas,
      1,
      5,
    );
    return { name, shards, parts, replicas, longestLeaseMs };
  },
);

/** Creates the namespace, or verifies that it is what the caller expects. */
export const ensure = Effect.fn("Topology.ensure")(function* (options: NamespaceOptions = {}) {
  const connection = yield* Connection;
  const namespace = yield* parse(Namespace, "namespace", options.namespace ?? defaults.namespace);
  const firstName = streamName({ namespace, shards: 1, parts: 1 }, 0);
  const first = yield* findStream(connection, firstName);
  if (first !== undefined) yield* verifyCounts(options, firstName, first);
  const { shards, parts, replicas, longestLeaseMs } = yield* describe(options, first);
  const topology = {
    layout: { namespace, shards, parts },
    replicas,
    longestLeaseMs,
    duplicateWindowMs: longestLeaseMs + duplicateMarginMs,
  };
  const incarnations = createHash("sha256");
  for (let shard = 0; shard < shards; shard++) {
    const config = yield* ensureStream(
      connection,
      options,
      streamConfig(topology, shard),
      shard === 0 ? first : undefined,
    );
    incarnations.update(config.metadata?.["weir.incarnation"] ?? "");
  }
  return { ...topology, incarnation: incarnations.digest("hex").slice(0, 16) } satisfies Topology;
});

const ensureStream = Effect.fnUntraced(function* (
  connection: Connection["Service"],
  options: NamespaceOptions,
  expected: Config,
  known: StreamConfig | undefined,
) {
  const found = known ?? (yield* findStream(connection, expected.name));
  const config = found ?? (yield* connection.ask(
    `create ${expected.name}`,
    () => connection.manager.streams.add(expected).then((info) => info.config),
  ).pipe(
    Effect.catchIf(existsAlready, () => findStream(connection, expected.name)),
  ));
  if (config === undefined) {
    const difference = {
      field: "stream",
      expected: "present",
      actual: "deleted while it was created",
    };
    return yield* new TopologyDrift({ stream: expected.name, differences: [difference] });
  }
  yield* verifyCounts(
    { ...options, shards: Number(expected.metadata?.["weir.shards"]) },
    expected.name,
    config,
  );
  yield* refuse(expected.name, differences(expected, config));
  return config;
});

/** One consumer per partition of an actor's mailbox, shared by its workers by rank. */
const mailboxConsumer = (
  layout: Layout,
  shard: number,
  actor: ActorName,
  part: number,
): Partial<ConsumerConfig> => ({
  durable_name: `mail-${actor}-${part}`,
  filter_subject: `${shardRoot(layout, shard)}.mail.${part}.${actor}.*.*`,
  ack_policy: AckPolicy.Explicit,
  ack_wait: nanos(30_000),
  max_deliver: -1,
  max_ack_pending: -1,
  max_waiting: 2_048,
  priority_policy: "prioritized",
  priority_groups: ["rank"],
});

/** Creates the mailbox consumers of an actor, or verifies them. */
export const ensureMailbox = Effect.fn("Topology.ensureMailbox")(
  function* (topology: Topology, actor: ActorName) {
    const connection = yield* Connection;
    const { layout } = topology;
    const places = Array.from(
      { length: layout.shards * layout.parts },
      (_, i) => ({ shard: i % layout.shards, part: Math.floor(i / layout.shards) }),
    );
    yield* Effect.forEach(places, ({ shard, part }) => {
      const stream = streamName(layout, shard);
      const expected = mailboxConsumer(layout, shard, actor, part);
      const name = expected.durable_name!;
      const find = connection.ask(
        `look up ${name}`,
        () =>
          connection.manager.consumers.info(stream, name).then((info) => info.config, (cause) => {
            if (isMissing(cause)) {
              return undefined;
            }
            throw cause;
          }),
      );
      const create = connection.ask(
        `create ${name}`,
        () => connection.manager.consumers.add(stream, expected).then((info) => info.config),
      ).pipe(Effect.catchIf(existsAlready, () => find));
      return Effect.flatMap(find, (found) => found === undefined ? create : Effect.succeed(found))
        .pipe(
          Effect.flatMap((config) =>
            refuse(`${stream} consumer ${name}`, differences(expected, config ?? {}))
          ),
        );
    }, { concurrency: 8, discard: true });
  },
);
