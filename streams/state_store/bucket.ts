/**
 * A place for values that may be lost: keys of tokens and dots, the last value of each, and a
 * lifetime if one was given. It promises no more than a cache; what must not be lost is in the log.
 */
import * as Context from "effect/Context";
import type * as Effect from "effect/Effect";
import type * as Option from "effect/Option";
import type { NoSpace, ServerRefused, Unavailable } from "../../schema/errors.ts";

export interface Value {
  readonly bytes: Uint8Array;
  /** Counts the writes of the bucket. */
  readonly revision: number;
}

export type BucketError = Unavailable | ServerRefused | NoSpace;

export class Bucket extends Context.Service<Bucket, {
  /** The most that one value can have. */
  readonly maxValueBytes: number;
  readonly get: (key: string) => Effect.Effect<Option.Option<Value>, BucketError>;
  /** Sets a value for so long, or until it is removed. */
  readonly set: (
    key: string,
    bytes: Uint8Array,
    ttlSeconds: number | undefined,
  ) => Effect.Effect<void, BucketError>;
  readonly remove: (key: string) => Effect.Effect<void, BucketError>;
  /** The keys under a filter, in which `*` stands for any token. */
  readonly keys: (filter: string) => Effect.Effect<ReadonlyArray<string>, BucketError>;
}>()("@weir/weir/streams/Bucket") {}
