/**
 * The bucket as a KV bucket of its own, beside the log and not in it, so that whatever happens to it
 * happens to no history. Values with a lifetime end by the server's clock. A bucket that somebody
 * made without lifetimes is refused.
 */
import { type KvEntry, Kvm } from "@nats-io/kv";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as Option from "effect/Option";
import {
  NoSpace,
  type ServerRefused,
  TopologyDrift,
  type Unavailable,
} from "../../schema/errors.ts";
import { sealedWith } from "../../schema/sealed_record.ts";
import { Connection } from "../connection.ts";
import { Log } from "../log.ts";
import { meaningOf } from "../log/refusal.ts";
import { Bucket } from "./bucket.ts";

export interface BucketOptions {
  /** How many servers keep it. Default 1. */
  readonly replicas?: number;
}

/** How long a mark of removal stays, which is also the shortest lifetime. */
const markerMs = 1_000;
/** What headers may take of a message. */
const headerBytes = 1_024;

const isValue = (entry: KvEntry | null): entry is KvEntry =>
  entry !== null && entry.operation === "PUT";

const make = Effect.fnUntraced(function* ({ replicas = 1 }: BucketOptions) {
  const { nats, jetStream, manager, ask, sealing } = yield* Connection;
  const { namespace } = (yield* Log).layout;
  // A namespace has no "-", and what follows it in a shard's bucket is a number.
  const bucket = `${namespace}-state`;
  const stream = `KV_${bucket}`;
  const prefix = `$KV.${bucket}.`;

  const refused = (error: Unavailable | ServerRefused) => {
    if (error._tag !== "ServerRefused") return error;
    const { errorCode, description } = error;
    return meaningOf({ _tag: "Refused", errorCode, description })._tag === "NoSpace"
      ? new NoSpace({ stream, reason: description })
      : error;
  };
  const request = <A>(operation: string, send: () => Promise<A>) =>
    Effect.mapError(ask(`${operation} in ${bucket}`, send), refused);

  const kv = yield* ask(`open ${bucket}`, () =>
    new Kvm(jetStream).create(bucket, {
      description: "Weir: snapshots and values that may be lost",
      history: 1,
      markerTTL: markerMs,
      replicas,
    }));
  const { streamInfo } = yield* ask(`look up ${bucket}`, () => kv.status());
  if (streamInfo.config.allow_msg_ttl !== true) {
    const difference = { field: "allow_msg_ttl", expected: "true", actual: "false" };
    return yield* new TopologyDrift({ stream, differences: [difference] });
  }

  const read = (key: string) => request(`get ${key}`, () => kv.get(key));

  return Bucket.of({
    maxValueBytes: sealing.roomIn((nats.info?.max_payload ?? 1_048_576) - headerBytes),
    get: (key) =>
      Effect.map(read(key), (entry) => {
        if (!isValue(entry)) return Option.none();
        const bytes = sealing.open(new Uint8Array(entry.value));
        // What nobody here can open is as good as lost.
        return sealedWith(bytes) === undefined
          ? Option.some({ bytes, revision: entry.revision })
          : Option.none();
      }),
    // The client's own verbs drop a lifetime when they replace a value.
    set: (key, bytes, ttlSeconds) =>
      Effect.asVoid(
        request(`set ${key}`, () =>
          jetStream.publish(
            prefix + key,
            sealing.seal("store", bytes),
            ttlSeconds === undefined ? {} : {
              ttl: `${ttlSeconds}s`,
            },
          )),
      ),
    remove: (key) => request(`remove ${key}`, () => kv.purge(key, { ttl: `${markerMs / 1_000}s` })),
    // The client's own listing leaves a consumer behind, and shows what has expired.
    keys: Effect.fnUntraced(function* (filter: string) {
      const { state } = yield* request(
        `list ${filter}`,
        () => manager.streams.info(stream, { subjects_filter: prefix + filter }),
      );
      const keys = Object.keys(state.subjects ?? {}).map((subject) => subject.slice(prefix.length));
      return yield* Effect.filter(keys, (key) => Effect.map(read(key), isValue), {
        concurrency: 16,
      });
    }),
  });
});

export const layerJetStream = (
  options: BucketOptions = {},
): Layer.Layer<Bucket, Unavailable | ServerRefused | TopologyDrift, Connection | Log> =>
  Layer.effect(Bucket, make(options));
