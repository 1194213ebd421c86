import * as Effect from "effect/Effect";
import { Namespace } from "../../schema/ids.ts";
import { layerMemory } from "../../streams/log_memory.ts";
import { VirtualClock } from "../../testing/virtual_clock.ts";
import { registerSuite } from "../conformance/register_suite.ts";

const layout = { namespace: Namespace.make("memory"), shards: 1, parts: 4 };
const layer = layerMemory({ layout });

registerSuite(
  "memory",
  (effect) => new VirtualClock(Date.now()).run(Effect.provide(effect, layer)),
);
