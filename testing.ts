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
