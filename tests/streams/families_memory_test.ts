import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import { Namespace } from "../../schema/ids.ts";
import * as Families from "../../streams/families.ts";
import * as Leases from "../../streams/lease.ts";
import { layerMemory } from "../../streams/log_memory.ts";
import * as Sessions from "../../streams/session.ts";
import { VirtualClock } from "../../testing/virtual_clock.ts";
import { familiesSuite } from "../conformance/families_suite.ts";

for (const shards of [1, 4]) {
  const layout = { namespace: Namespace.make("memory"), shards, parts: 4 };
  const layer = Families.layerMemory.pipe(
    Layer.provideMerge(Leases.layer),
    Layer.provideMerge(Sessions.layer),
    Layer.provideMerge(layerMemory({ layout })),
  );
  familiesSuite(
    `memory, ${shards} shard${shards === 1 ? "" : "s"}`,
    (effect) => new VirtualClock(Date.now()).run(Effect.provide(effect, layer)),
  );
}
