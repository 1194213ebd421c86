import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import { Namespace } from "../../schema/ids.ts";
import * as Budgets from "../../streams/budgets.ts";
import { layerMemory } from "../../streams/log_memory.ts";
import * as ServerClock from "../../streams/server_clock.ts";
import { VirtualClock } from "../../testing/virtual_clock.ts";
import { budgetsSuite } from "../conformance/budgets_suite.ts";

const layout = { namespace: Namespace.make("memory"), shards: 2, parts: 4 };
const layer = Budgets.layer.pipe(
  Layer.provideMerge(ServerClock.layer),
  Layer.provideMerge(layerMemory({ layout })),
);

budgetsSuite(
  "memory",
  (effect) => new VirtualClock(Date.now()).run(Effect.provide(effect, layer)),
);
