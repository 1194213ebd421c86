import * as Effect from "effect/Effect";
import { layerMemory } from "../../actors/layer.ts";
import { VirtualClock } from "../../testing/virtual_clock.ts";
import { engineSuite } from "../conformance/engine_suite.ts";

engineSuite(
  "memory",
  (effect) => new VirtualClock(Date.UTC(2026, 0, 1)).run(Effect.provide(effect, layerMemory())),
);
