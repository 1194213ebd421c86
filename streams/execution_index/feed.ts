/**
 * What happens in a shard, record after record, for a reader that must see everything and keeps its
 * own position. It is read without a filter, since a filter costs the server time for every subject
 * that matches; large bodies are fetched only where the index looks at them.
 */
import * as Context from "effect/Context";
import type * as Effect from "effect/Effect";
import type * as Stream from "effect/Stream";
import type { Entry, ReadError } from "../log.ts";

export type Fact = Omit<Entry, "removed">;

export class Feed extends Context.Service<Feed, {
  /** Everything behind a sequence, and what will be, as it comes in; ends only with an error. */
  readonly follow: (
    shard: number,
    after: number,
  ) => Stream.Stream<ReadonlyArray<Fact>, ReadError>;
  /** When the record at a sequence was stored; nothing if there is none any more. */
  readonly storedAt: (
    shard: number,
    sequence: number,
  ) => Effect.Effect<number | undefined, ReadError>;
  /** Whether the shard's leader has nothing behind one sequence up to another. */
  readonly isAt: (shard: number, after: number, upTo: number) => Effect.Effect<boolean, ReadError>;
}>()("@weir/weir/streams/ExecutionIndexFeed") {}
