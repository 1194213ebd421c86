/**
 * Weir: durable executions on NATS JetStream, through plain promises.
 *
 * @module
 */
import "./schema/effect_version.ts";

export { connect, type ConnectOptions, type Weir } from "./actors/weir.ts";
export type { AppendEventOptions, AppendEventsOptions, Events } from "./actors/events.ts";
export type { EmbeddedServerOptions } from "./streams/server.ts";
export type { ExecutionPage, ListedExecution } from "./streams/event_store.ts";
export {
  AlreadyExists,
  ConnectionFailed,
  CorruptRecord,
  Cursor,
  type ExecutionEventInput,
  InvalidBatch,
  InvalidCursor,
  InvalidInput,
  NoSpace,
  PayloadTooLarge,
  SequenceConflict,
  ServerFailed,
  ServerNotFound,
  ServerRefused,
  ServerTooOld,
  type StoredEvent,
  TopologyDrift,
  Unavailable,
  UnsupportedRecordVersion,
  type WeirError,
} from "./schema/mod.ts";
