import * as Effect from "effect/Effect";
import { Namespace } from "../../schema/ids.ts";
import { layerMemory } from "../../streams/log_memory.ts";
import { logSuite } from "../conformance/log_suite.ts";

const layout = { namespace: Namespace.make("memory"), shards: 2, parts: 4 };
const layer = layerMemory({ layout, maxPayloadBytes: 2 * 1024 * 1024 });

logSuite("memory", (effect) => Effect.runPromise(Effect.provide(effect, layer)));
