/**
 * The state store: snapshots of executions, and values under keys, kept as long as it is convenient.
 * It is a cache and decides nothing: a snapshot is given only together with what the event store says
 * of its sequence, and one that the log does not bear out is as good as none.
 */
import * as Context from "effect/Context";
import * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Metric from "effect/Metric";
import * as Option from "effect/Option";
import * as Schema from "effect/Schema";
import { InvalidInput, PayloadTooLarge } from "../schema/errors.ts";
import type { ServerRefused, TopologyDrift, Unavailable } from "../schema/errors.ts";
import { ExecutionSnapshot, snapshotRecord } from "../schema/execution_snapshot.ts";
import { ExecutionId, parse, shown, type Tenant } from "../schema/ids.ts";
import { decodeToken, encodeToken } from "../schema/token.ts";
import type { Connection } from "./connection.ts";
import { EventStore } from "./event_store.ts";
import { Log, type ReadError } from "./log.ts";
import { skippedRecords } from "./metrics.ts";
import { Bucket, type BucketError } from "./state_store/bucket.ts";
import * as BucketJetStream from "./state_store/bucket_jetstream.ts";
import * as BucketMemory from "./state_store/bucket_memory.ts";

/** A snapshot, and how it stands to the events. */
export interface LoadedSnapshot {
  readonly snapshot: ExecutionSnapshot;
  /** The sequence of the last event; 0 if there is none. */
  readonly latestSequence: number;
  /** Whether the snapshot includes that event, so that nothing is to be read on top of it. */
  readonly isCurrent: boolean;
}

export type StateStoreError = InvalidInput | PayloadTooLarge | BucketError;

export class StateStore extends Context.Service<StateStore, {
  /** Replaces the snapshot of an execution. */
  readonly saveSnapshot: (snapshot: ExecutionSnapshot) => Effect.Effect<void, StateStoreError>;
  /** The snapshot of an execution, unless there is none that its log bears out. */
  readonly loadSnapshot: (
    execution: ExecutionId,
    tenant: Tenant,
  ) => Effect.Effect<Option.Option<LoadedSnapshot>, BucketError | ReadError>;
  readonly deleteSnapshot: (
    execution: ExecutionId,
    tenant: Tenant,
  ) => Effect.Effect<void, BucketError>;
  /** The executions that have a snapshot, in the order of their ids; whether it holds is not asked. */
  readonly listSnapshots: (
    tenant: Tenant,
  ) => Effect.Effect<ReadonlyArray<ExecutionId>, BucketError>;
  /** Sets a value, for a time if one is given, in whole seconds and rounded up. */
  readonly set: (
    key: string,
    bytes: Uint8Array,
    ttl?: Duration.Input,
  ) => Effect.Effect<void, StateStoreError>;
  readonly get: (
    key: string,
  ) => Effect.Effect<Option.Option<Uint8Array>, InvalidInput | BucketError>;
  readonly delete: (key: string) => Effect.Effect<void, InvalidInput | BucketError>;
  readonly exists: (key: string) => Effect.Effect<boolean, InvalidInput | BucketError>;
}>()("@weir/weir/streams/StateStore") {}

const maxKeyBytes = 200;
const utf8 = new TextEncoder();
const Key = Schema.String.check(
  Schema.makeFilter<string>(
    (key) => key.length > 0 && key.isWellFormed() && utf8.encode(key).length <= maxKeyBytes,
    { expected: `a non-empty string of at most ${maxKeyBytes} UTF-8 bytes` },
  ),
);
const longestTtlSeconds = 1_000_000_000;
const isExecutionId = Schema.is(ExecutionId);

const snapshotKey = (tenant: Tenant, execution: ExecutionId): string =>
  `snapshot.${encodeToken(tenant)}.${encodeToken(execution)}`;

/** For how many whole seconds a value is kept, if a bucket can keep one for so long. */
export const parseTtl = (
  what: string,
  ttl: Duration.Input,
): Effect.Effect<number, InvalidInput> => {
  const duration = Duration.fromInput(ttl);
  const seconds = Option.isSome(duration) ? Math.ceil(Duration.toSeconds(duration.value)) : NaN;
  return seconds >= 1 && seconds <= longestTtlSeconds ? Effect.succeed(seconds) : Effect.fail(
    new InvalidInput({
      what,
      value: shown(ttl),
      rule: `expected a duration above zero, of at most ${longestTtlSeconds} seconds`,
    }),
  );
};

const make = Effect.gen(function* () {
  const bucket = yield* Bucket;
  const log = yield* Log;
  const events = yield* EventStore;

  const keyOf = (key: string) =>
    Effect.map(parse(Key, "state key", key), (key) => `value.${encodeToken(key)}`);

  const write = Effect.fnUntraced(
    function* (key: string, bytes: Uint8Array, ttlSeconds?: number) {
      const limitBytes = bucket.maxValueBytes;
      if (bytes.length > limitBytes) {
        return yield* new PayloadTooLarge({ sizeBytes: bytes.length, limitBytes, isFixed: true });
      }
      yield* bucket.set(key, bytes, ttlSeconds);
    },
  );

  const saveSnapshot = Effect.fn("StateStore.saveSnapshot")(function* (given: ExecutionSnapshot) {
    const snapshot = yield* parse(ExecutionSnapshot, "snapshot", given);
    const { incarnation } = log;
    yield* write(
      snapshotKey(snapshot.tenantId, snapshot.executionId),
      snapshotRecord.encode({ kind: "snapshot", incarnation, snapshot }),
    );
  });

  const ignore = (key: string, reason: string) =>
    Metric.update(skippedRecords, 1).pipe(
      Effect.andThen(Effect.logWarning(`The state at ${key} is ignored. ${reason}`)),
      Effect.as(Option.none<LoadedSnapshot>()),
    );

  const loadSnapshot = Effect.fn("StateStore.loadSnapshot")(
    function* (execution: ExecutionId, tenant: Tenant) {
      const key = snapshotKey(tenant, execution);
      const value = yield* bucket.get(key);
      if (Option.isNone(value)) return Option.none<LoadedSnapshot>();
      const { bytes, revision } = value.value;
      const decoded = yield* Effect.result(
        snapshotRecord.decode(bytes, { subject: key, sequence: revision }),
      );
      if (decoded._tag === "Failure") return yield* ignore(key, decoded.failure.message);
      const { incarnation, snapshot } = decoded.success;
      if (snapshot.executionId !== execution || snapshot.tenantId !== tenant) {
        return yield* ignore(key, "It is of another execution.");
      }
      if (incarnation !== log.incarnation) return yield* ignore(key, "It is of another log.");
      const latest = yield* events.latestSequence(execution, tenant);
      const latestSequence = Option.getOrElse(latest, () => 0);
      if (snapshot.sequenceNumber > latestSequence) {
        const { sequenceNumber } = snapshot;
        return yield* ignore(key, `It includes event ${sequenceNumber} of ${latestSequence}.`);
      }
      const isCurrent = snapshot.sequenceNumber === latestSequence;
      return Option.some<LoadedSnapshot>({ snapshot, latestSequence, isCurrent });
    },
  );

  const listSnapshots = Effect.fn("StateStore.listSnapshots")((tenant: Tenant) =>
    Effect.map(
      bucket.keys(`snapshot.${encodeToken(tenant)}.*`),
      (keys) =>
        keys.map((key) => decodeToken(key.slice(key.lastIndexOf(".") + 1))).filter(isExecutionId)
          .sort(),
    )
  );

  const set: StateStore["Service"]["set"] = Effect.fn("StateStore.set")(
    function* (key, bytes, ttl) {
      const seconds = ttl === undefined ? undefined : yield* parseTtl("ttl", ttl);
      yield* write(yield* keyOf(key), bytes, seconds);
    },
  );

  const get = Effect.fn("StateStore.get")((key: string) =>
    Effect.map(Effect.flatMap(keyOf(key), bucket.get), Option.map(({ bytes }) => bytes))
  );

  return StateStore.of({
    saveSnapshot,
    loadSnapshot,
    deleteSnapshot: Effect.fn("StateStore.deleteSnapshot")((execution, tenant) =>
      bucket.remove(snapshotKey(tenant, execution))
    ),
    listSnapshots,
    set,
    get,
    delete: Effect.fn("StateStore.delete")((key) => Effect.flatMap(keyOf(key), bucket.remove)),
    exists: (key) => Effect.map(get(key), Option.isSome),
  });
});

/** The state store on a bucket. */
export const layer: Layer.Layer<StateStore, never, Bucket | EventStore | Log> = Layer.effect(
  StateStore,
  make,
);

/** The state store in a KV bucket named after the namespace. */
export const layerJetStream = (
  options?: BucketJetStream.BucketOptions,
): Layer.Layer<
  StateStore,
  Unavailable | ServerRefused | TopologyDrift,
  Connection | EventStore | Log
> => Layer.provide(layer, BucketJetStream.layerJetStream(options));

/** The state store in memory. */
export const layerMemory: Layer.Layer<StateStore, never, EventStore | Log> = Layer.provide(
  layer,
  BucketMemory.layerMemory,
);
