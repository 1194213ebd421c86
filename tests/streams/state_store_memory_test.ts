import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as TestClock from "effect/testing/TestClock";
import { Namespace } from "../../schema/ids.ts";
import * as EventStore from "../../streams/event_store.ts";
import * as LogMemory from "../../streams/log_memory.ts";
import * as StateStore from "../../streams/state_store.ts";
import * as BucketMemory from "../../streams/state_store/bucket_memory.ts";
import { stateStoreSuite } from "../conformance/state_store_suite.ts";

const layout = { namespace: Namespace.make("memory"), shards: 1, parts: 4 };
const layer = StateStore.layer.pipe(
  Layer.provideMerge(BucketMemory.layerMemory),
  Layer.provideMerge(EventStore.layer),
  Layer.provideMerge(LogMemory.layerMemory({ layout })),
  Layer.provideMerge(TestClock.layer()),
);

stateStoreSuite(
  "memory",
  (effect) => Effect.runPromise(Effect.provide(effect, layer)),
  TestClock.adjust("50 millis"),
);
