/**
 * Weir for tests of actors: the engine in memory, time that a test moves, and workers that it kills.
 *
 * @module
 */
import "./schema/effect_version.ts";

export {
  inMemory,
  type MemoryOptions,
  type MemoryWeir,
  type MortalWorker,
} from "./testing/memory_weir.ts";
export { backingPersistenceSuite } from "./testing/suites/backing_persistence.ts";
export { keyValueStoreSuite } from "./testing/suites/key_value_store.ts";
export { persistedQueueStoreSuite } from "./testing/suites/persisted_queue_store.ts";
export { rateLimiterStoreSuite } from "./testing/suites/rate_limiter_store.ts";
export type { It, SuiteOptions } from "./testing/suites/suite.ts";
export { workflowEngineSuite } from "./testing/suites/workflow_engine.ts";
