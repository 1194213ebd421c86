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
export { encryptedEventLogStorageSuite } from "./testing/suites/encrypted_event_log_storage.ts";
export { eventLogStorageSuite } from "./testing/suites/event_log_storage.ts";
export { durableQueueSuite } from "./testing/suites/durable_queue.ts";
export { keyValueStoreSuite } from "./testing/suites/key_value_store.ts";
export { messageStorageSuite } from "./testing/suites/message_storage.ts";
export { persistedQueueStoreSuite } from "./testing/suites/persisted_queue_store.ts";
export { rateLimiterStoreSuite } from "./testing/suites/rate_limiter_store.ts";
export { runnerProtocolSuite, RunnerTransport } from "./testing/suites/runner_protocol.ts";
export { runnerStorageSuite } from "./testing/suites/runner_storage.ts";
export type { It, SuiteOptions } from "./testing/suites/suite.ts";
export { workflowEngineSuite } from "./testing/suites/workflow_engine.ts";
export { workflowExtrasSuite } from "./testing/suites/workflow_extras.ts";
