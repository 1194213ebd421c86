/** How often a projector writes, by a clock that only the test moves. */
import assert from "node:assert/strict";
import { it } from "node:test";
import * as Effect from "effect/Effect";
import * as Fiber from "effect/Fiber";
import * as Layer from "effect/Layer";
import * as TestClock from "effect/testing/TestClock";
import { Namespace } from "../../schema/ids.ts";
import * as ExecutionIndex from "../../streams/execution_index.ts";
import { layerMemory as layerFeed } from "../../streams/execution_index/feed_memory.ts";
import { PageStore } from "../../streams/execution_index/page_store.ts";
import { layerMemory as layerStore } from "../../streams/execution_index/page_store_memory.ts";
import { layerMemory as layerLog } from "../../streams/log_memory.ts";
import { listAll, newTenant, start } from "../conformance/execution_index/matter.ts";

it("what comes in one by one is gathered, and written once in a while", () => {
  let writes = 0;
  const counting = Layer.effect(
    PageStore,
    Effect.map(PageStore, (store) =>
      PageStore.of({
        ...store,
        write: (shard, pages) => Effect.suspend(() => (writes++, store.write(shard, pages))),
      })),
  ).pipe(Layer.provide(layerStore));
  const layout = { namespace: Namespace.make("memory"), shards: 1, parts: 4 };
  return Effect.gen(function* () {
    const { project } = yield* ExecutionIndex.ExecutionIndex;
    const tenant = newTenant();
    const projector = yield* Effect.forkChild(project);
    yield* TestClock.adjust("1 second");
    const before = writes;
    for (let i = 0; i < 200; i++) {
      yield* start(tenant);
      yield* TestClock.adjust("1 millis");
    }
    yield* TestClock.adjust("300 millis");
    assert.equal((yield* listAll({ tenant })).length, 200);
    assert.ok(writes - before <= 2, `${writes - before} writes`);
    yield* Fiber.interrupt(projector);
  }).pipe(
    Effect.scoped,
    Effect.provide(
      ExecutionIndex.layer.pipe(
        Layer.provide([counting, layerFeed]),
        Layer.provideMerge(layerLog({ layout })),
      ),
    ),
    Effect.provide(TestClock.layer()),
    Effect.runPromise,
  );
});
