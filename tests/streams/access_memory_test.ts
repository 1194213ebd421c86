import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import { Namespace } from "../../schema/ids.ts";
import * as Grants from "../../streams/grants.ts";
import * as Ledgers from "../../streams/ledgers.ts";
import { layerMemory } from "../../streams/log_memory.ts";
import * as Tenants from "../../streams/tenants.ts";
import { VirtualClock } from "../../testing/virtual_clock.ts";
import { accessSuite } from "../conformance/access_suite.ts";

for (const shards of [1, 3]) {
  const layout = { namespace: Namespace.make("memory"), shards, parts: 4 };
  const layer = Layer.mergeAll(Grants.layer, Ledgers.layer).pipe(
    Layer.provideMerge(Tenants.layer),
    Layer.provideMerge(layerMemory({ layout })),
  );
  accessSuite(
    `memory, ${shards} shard${shards === 1 ? "" : "s"}`,
    (effect) => new VirtualClock(Date.now()).run(Effect.provide(effect, layer)),
  );
}
