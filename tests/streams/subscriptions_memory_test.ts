import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import { Namespace } from "../../schema/ids.ts";
import * as Leases from "../../streams/lease.ts";
import { layerMemory as layerLog } from "../../streams/log_memory.ts";
import * as Sessions from "../../streams/session.ts";
import { layerMemory } from "../../streams/subscriptions/memory.ts";
import { VirtualClock } from "../../testing/virtual_clock.ts";
import { subscriptionsSuite } from "../conformance/subscriptions_suite.ts";

for (const shards of [1, 3]) {
  const layout = { namespace: Namespace.make("memory"), shards, parts: 4 };
  const layer = Layer.mergeAll(Leases.layer, layerMemory).pipe(
    Layer.provideMerge(Sessions.layer),
    Layer.provideMerge(layerLog({ layout })),
  );
  const name = `memory, ${shards} shard${shards === 1 ? "" : "s"}`;
  subscriptionsSuite(
    name,
    (effect) => new VirtualClock(Date.now()).run(Effect.provide(effect, layer)),
  );
}
