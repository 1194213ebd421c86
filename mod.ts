/**
 * Weir: durable executions on NATS JetStream, through plain promises.
 *
 * @module
 */
import "./schema/effect_version.ts";

export {
  connect,
  type ConnectOptions,
  type InitialSignal,
  type ListQuery,
  type StartedRun,
  type StartOptions,
  type Weir,
  type Worker,
  type WorkerOptions,
} from "./actors/weir.ts";
export {
  type Actor,
  actor,
  type ActorContext,
  type ActorOptions,
  type ChildOptions,
  type SpawnedChild,
  type StateCell,
  type StepContext,
} from "./actors/actor.ts";
export type { RunOptions } from "./actors/engine/operations.ts";
export type { Description, HistoryEntry, SignalOptions } from "./actors/executions.ts";
export type { RetryPolicy } from "./actors/retry_policy.ts";
export type { Run, SentSignal } from "./actors/run.ts";
export { signal, type SignalDefinition } from "./actors/signal.ts";
export type { AnySchema, StandardSchema } from "./actors/standard_schema.ts";
export type {
  ExecutionPage as ListedPage,
  ExecutionStatus,
  ListedExecution as ListedRun,
  TagQuery,
} from "./streams/execution_index.ts";
export type { Session } from "./streams/session.ts";
export type { AppendEventOptions, AppendEventsOptions, Events } from "./actors/events.ts";
export type { EmbeddedServerOptions } from "./streams/server.ts";
export type { ExecutionPage, ListedExecution } from "./streams/event_store.ts";
export {
  AlreadyExists,
  Cancelled,
  ChildFailed,
  ConnectionFailed,
  CorruptRecord,
  Cursor,
  ExecutionCancelled,
  ExecutionEnded,
  type ExecutionEventInput,
  ExecutionExpired,
  ExecutionFailed,
  ExecutionNotEnded,
  ExecutionNotFound,
  InvalidBatch,
  InvalidCursor,
  InvalidInput,
  KindMismatch,
  NameInUse,
  NonRetryable,
  NoSpace,
  PayloadTooLarge,
  RetryLimitExceeded,
  SequenceConflict,
  ServerFailed,
  ServerNotFound,
  ServerRefused,
  ServerTooOld,
  SignalLimitExceeded,
  StepFailed,
  type StoredEvent,
  TopologyDrift,
  Unavailable,
  UnknownActor,
  UnsupportedRecordVersion,
  type WeirError,
} from "./schema/mod.ts";
