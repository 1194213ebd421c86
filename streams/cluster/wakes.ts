/** Has `Sharding` read its storage as soon as there is something to read, and not at its next poll. */
import { Sharding } from "effect/cluster/Sharding";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import { ShardInbox } from "./shard_inbox.ts";

export const layer: Layer.Layer<never, never, Sharding | ShardInbox> = Layer.effectDiscard(
  Effect.gen(function* () {
    const { news } = yield* ShardInbox;
    const { pollStorage } = yield* Sharding;
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(news, pollStorage)));
  }),
);
