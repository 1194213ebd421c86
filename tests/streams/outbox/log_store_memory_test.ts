import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import { Namespace } from "../../../schema/ids.ts";
import { layerMemory } from "../../../streams/log_memory.ts";
import * as LogStore from "../../../streams/outbox/log_store.ts";
import * as ServerClock from "../../../streams/server_clock.ts";
import { VirtualClock } from "../../../testing/virtual_clock.ts";
import type { RunOnEmptyStore } from "../../conformance/outbox/matter.ts";
import { outboxManagerSuite } from "../../conformance/outbox/manager_suite.ts";
import { outboxStoreSuite } from "../../conformance/outbox/store_suite.ts";

const layout = { namespace: Namespace.make("memory"), shards: 1, parts: 4 };
const layer = LogStore.layer().pipe(
  Layer.provide(ServerClock.layer),
  Layer.provide(layerMemory({ layout })),
);

const run: RunOnEmptyStore = (effect) =>
  new VirtualClock(Date.now()).run(Effect.provide(effect, layer));
outboxStoreSuite("memory", run);
outboxManagerSuite("memory", run);
