/**
 * Which shards of Effect's cluster this process holds, as the fences of their locks: `RunnerStorage`
 * takes and gives up the locks, and `MessageStorage` appends under them. It is knowledge of one
 * process and decides nothing: that a fence still holds is for the server to say.
 */
import * as Context from "effect/Context";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import type { Fence } from "../fence.ts";

export class ShardLocks extends Context.Service<ShardLocks, {
  /** The fence of a shard that is held, by its `shardKey`; it may be lost already. */
  readonly fenceOf: (shard: string) => Fence | undefined;
  readonly hold: (shard: string, fence: Fence) => void;
  /** Forgets the shard, if that is the fence under which it is held. */
  readonly drop: (shard: string, fence: Fence) => void;
  readonly held: () => ReadonlyMap<string, Fence>;
}>()("@weir/weir/streams/ShardLocks") {}

export const layer: Layer.Layer<ShardLocks> = Layer.effect(
  ShardLocks,
  Effect.sync(() => {
    const fences = new Map<string, Fence>();
    return ShardLocks.of({
      fenceOf: (shard) => fences.get(shard),
      hold: (shard, fence) => fences.set(shard, fence),
      drop: (shard, fence) => {
        if (fences.get(shard) === fence) fences.delete(shard);
      },
      held: () => fences,
    });
  }),
);
