/**
 * The streams that hold the index, one beside each shard's: small, one message per page, and nothing
 * in them that the log does not say. They are created when they are missing and never altered.
 */
import { DiscardPolicy, RetentionPolicy, StorageType, type StreamConfig } from "@nats-io/jetstream";
import * as Effect from "effect/Effect";
import { Connection } from "../connection.ts";
import { findOrCreate, refuseDrift } from "../drift.ts";
import { type Layout, shardRoot, streamName } from "../subjects.ts";

/** The subject root, and the stream's name. A namespace has no "-", and shards are numbers. */
export const indexRoot = (layout: Layout, shard: number): string =>
  `${shardRoot(layout, shard)}-list`;

const reliedOn = (root: string, replicas: number): Partial<StreamConfig> => ({
  subjects: [`${root}.>`],
  retention: RetentionPolicy.Limits,
  storage: StorageType.File,
  discard: DiscardPolicy.Old,
  num_replicas: replicas,
  max_age: 0,
  max_msgs: -1,
  max_bytes: -1,
  max_msg_size: -1,
  max_msgs_per_subject: 1,
  allow_direct: true,
  allow_atomic: true,
  allow_msg_ttl: true,
  deny_delete: false,
  deny_purge: false,
  no_ack: false,
  sealed: false,
});

/** What would lose or invent pages. */
const foreign = {
  mirror: undefined,
  persist_mode: undefined,
  sources: undefined,
  subject_delete_marker_ttl: undefined,
  subject_transform: undefined,
};

/** Creates the stream of a shard's index, or verifies it; gives how many servers keep it. */
export const ensure = Effect.fnUntraced(function* (layout: Layout, shard: number) {
  const { ask, manager } = yield* Connection;
  const name = indexRoot(layout, shard);
  const log = streamName(layout, shard);
  const { config } = yield* ask(`look up ${log}`, () => manager.streams.info(log));
  const expected = reliedOn(name, config.num_replicas);
  const stored = yield* findOrCreate(
    ask(`look up ${name}`, () => manager.streams.info(name)),
    ask(`create ${name}`, () =>
      manager.streams.add({
        ...expected,
        name,
        description: "Weir: the index of executions; can be built anew from the log",
      })),
  );
  yield* refuseDrift(name, { ...expected, ...foreign }, { ...stored.config });
  return config.num_replicas;
});
