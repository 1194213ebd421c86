import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import { Namespace } from "../../schema/ids.ts";
import * as Leases from "../../streams/lease.ts";
import { layerMemory } from "../../streams/log_memory.ts";
import * as Sessions from "../../streams/session.ts";
import { VirtualClock } from "../../testing/virtual_clock.ts";
import { leaseSuite } from "../conformance/lease_suite.ts";

const layout = { namespace: Namespace.make("memory"), shards: 1, parts: 4 };
const layer = Leases.layer.pipe(
  Layer.provideMerge(Sessions.layer),
  Layer.provideMerge(layerMemory({ layout })),
);

leaseSuite("memory", (effect) => new VirtualClock(Date.now()).run(Effect.provide(effect, layer)));
