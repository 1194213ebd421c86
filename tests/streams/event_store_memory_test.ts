import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import * as TestClock from "effect/testing/TestClock";
import { Namespace } from "../../schema/ids.ts";
import { Log } from "../../streams/log.ts";
import { layerMemory } from "../../streams/log_memory.ts";
import { maxPayloadBytes, Surroundings } from "../conformance/event_store/matter.ts";
import { eventStoreSuite } from "../conformance/event_store_suite.ts";

const surroundings = Layer.effect(
  Surroundings,
  Effect.map(Log, (log) => ({
    otherLog: log,
    publish: (to, kind, body) => Effect.orDie(Effect.asVoid(log.append(to, { kind, body }))),
    forgetMessageIds: TestClock.adjust("1 hour"),
  })),
);

for (const shards of [1, 3]) {
  const layout = { namespace: Namespace.make("memory"), shards, parts: 4 };
  // The clock stands still unless a test moves it, so all records of a test have one time.
  const layer = surroundings.pipe(
    Layer.provideMerge(layerMemory({ layout, maxPayloadBytes })),
    Layer.provideMerge(TestClock.layer()),
  );
  const name = `memory, ${shards} shard${shards === 1 ? "" : "s"}`;
  eventStoreSuite(name, (effect) => Effect.runPromise(Effect.provide(effect, layer)));
}
