import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import { Namespace } from "../../schema/ids.ts";
import * as ExecutionIndex from "../../streams/execution_index.ts";
import * as Leases from "../../streams/lease.ts";
import { layerMemory } from "../../streams/log_memory.ts";
import * as Sessions from "../../streams/session.ts";
import { VirtualClock } from "../../testing/virtual_clock.ts";
import { executionIndexSuite } from "../conformance/execution_index_suite.ts";

for (const shards of [1, 3]) {
  const layout = { namespace: Namespace.make("memory"), shards, parts: 4 };
  const layer = Layer.mergeAll(Leases.layer, ExecutionIndex.layerMemory).pipe(
    Layer.provideMerge(Sessions.layer),
    Layer.provideMerge(layerMemory({ layout })),
  );
  executionIndexSuite(
    `memory, ${shards} shards`,
    (effect) => new VirtualClock(Date.UTC(2026, 0, 1)).run(Effect.provide(effect, layer)),
  );
}
