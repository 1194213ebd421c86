/**
 * Weir: durable executions on NATS JetStream, through plain promises.
 *
 * @module
 */
import "./schema/effect_version.ts";

export {
  type ActingWeir,
  connect,
  type ConnectOptions,
  type InitialSignal,
  type ListQuery,
  type ScheduleTaskOptions,
  type StartedRun,
  type StartOptions,
  type SubmitOptions,
  type TaskRequest,
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
  type ConsumeContextOptions,
  type Outbox,
  type SpawnedChild,
  type StateCell,
  type StepContext,
  type WatchedBudget,
} from "./actors/actor.ts";
export type {
  RemoteOptions,
  Remotes,
  RemoteWorker,
  RemoteWorkerDescription,
  RemoteWorkerStep,
} from "./actors/remotes.ts";
export { type RemoteActor, remoteActor, type RemoteActorOptions } from "./actors/remote_actor.ts";
export type {
  AllocateBudgetOptions,
  BudgetOptions,
  BudgetVerbs,
  ChangeBudgetOptions,
  ConsumeBudgetOptions,
  ReleaseBudgetOptions,
  ResetBudgetOptions,
} from "./actors/budgets.ts";
export type {
  Breach as BudgetBreach,
  Changed as BudgetChanged,
  Consumed as BudgetConsumed,
  ExhaustedDimension,
  LimitInputs as BudgetLimits,
  Released as BudgetReleased,
} from "./streams/budgets.ts";
export type {
  EngineChangeOptions,
  EngineStanding,
  EngineStatus,
  EngineStatusQuery,
  EngineVerbs,
  EngineWhere,
  EngineWhose,
} from "./actors/engine_control.ts";
export type { FamilyReaders, Follow, FollowOptions } from "./actors/families.ts";
export type { ScheduleOptions, TaskOptions } from "./actors/executions/task.ts";
export type {
  Schedule,
  ScheduleDescription,
  ScheduleListQuery,
  ScheduleSummary,
  ScheduleVerbs,
} from "./actors/schedule.ts";
export type { QueueDescription, QueueOptions, Queues, RateOptions } from "./actors/queues.ts";
export type { QueueLimits } from "./schema/queue_limits.ts";
export type { RunOptions, TokenOptions } from "./actors/engine/operations.ts";
export type { TokenKey } from "./actors/signal_tokens.ts";
export { aes256gcm, type Cipher, type PayloadKey } from "./streams/sealing.ts";
export type { TokenKeyOptions } from "./actors/layer.ts";
export type { AddEventOptions } from "./actors/engine/outbox.ts";
export type { Description, HistoryEntry, SignalOptions } from "./actors/executions.ts";
export type { RetryPolicy } from "./actors/retry_policy.ts";
export type { ErrorClass, Raised } from "./actors/raise.ts";
export type { Run, RunOutcome, SentSignal } from "./actors/run.ts";
export type { OutputFrame, ReadOutputOptions } from "./streams/output.ts";
export { signal, type SignalDefinition } from "./actors/signal.ts";
export type { AnySchema, StandardSchema } from "./actors/standard_schema.ts";
export type {
  ExecutionPage as ListedPage,
  ExecutionStatus,
  ListedExecution as ListedRun,
  TagQuery,
} from "./streams/execution_index.ts";
export type { SubscriptionVerbs } from "./actors/subscriptions.ts";
export type { Subscription } from "./streams/subscriptions.ts";
export type { Session } from "./streams/session.ts";
export type { Tick } from "./streams/families.ts";
export type { AppendEventOptions, AppendEventsOptions, Events } from "./actors/events.ts";
export type { TenantVerbs } from "./actors/tenants.ts";
export type {
  AnyCapability,
  AnyRole,
  GrantOptions,
  GrantVerbs,
  GrantWhere,
  Rights,
} from "./actors/grants.ts";
export type { LedgerEntryInput, LedgerVerbs } from "./actors/ledgers.ts";
export type {
  ByActor,
  ByExecution,
  CreateTriggerOptions,
  Emit,
  EmitOptions,
  EmittedEvent,
  TriggerDescription,
  TriggerFiring,
  TriggerThen,
  TriggerVerbs,
  TriggerWhen,
} from "./actors/triggers.ts";
export type { TriggerSubmitOptions } from "./actors/trigger_options.ts";
export type { TenantEntry } from "./streams/tenants.ts";
export type { Grant } from "./streams/grants.ts";
export type { AppendedEntry, ReadLedgerOptions } from "./streams/ledgers.ts";
export { type NatsAccount, natsAccount, type NatsAccountOptions } from "./streams/nats_account.ts";
export {
  type NatsPermissions,
  natsPermissions,
  type NatsPermissionsOptions,
  type NatsSubjects,
} from "./streams/nats_permissions.ts";
export { type BuiltinRole, capabilities, type Capability, roles } from "./schema/access.ts";
export type { EmbeddedServerOptions } from "./streams/server.ts";
export type { ExecutionPage, ListedExecution } from "./streams/event_store.ts";
export {
  type AccessEvent,
  AlreadyExists,
  type Amounts,
  type Budget,
  BudgetExhausted,
  BudgetNotFound,
  Cancelled,
  ChildFailed,
  CipherMissing,
  type CompletionEvent,
  ConnectionClosed,
  ConnectionFailed,
  ContextClosed,
  CorruptRecord,
  Cursor,
  CursorGap,
  DependencyCycle,
  DimensionNotAllocated,
  type EngineState,
  ExecutionCancelled,
  ExecutionEnded,
  type ExecutionEventInput,
  ExecutionExpired,
  ExecutionFailed,
  ExecutionNotEnded,
  ExecutionNotFound,
  Forbidden,
  HierarchyTooDeep,
  InsideStep,
  type InstanceTagEvent,
  IntakeClosed,
  InvalidBatch,
  InvalidCursor,
  InvalidInput,
  InvalidToken,
  KindMismatch,
  type LeaseHistoryEvent,
  type LedgerEntry,
  NameInUse,
  NamespaceNotFound,
  NobodyKeepsQueues,
  NobodyKeepsTriggers,
  NondeterministicProgram,
  NonRetryable,
  NoSpace,
  NotAwaited,
  NoTokenKeys,
  OutputClosed,
  PayloadTooLarge,
  type RecordedWorkEvent,
  RetryLimitExceeded,
  ScheduleFailed,
  SequenceConflict,
  ServerFailed,
  ServerNotFound,
  ServerRefused,
  ServerTooOld,
  type SignalDeliveryEvent,
  SignalLimitExceeded,
  StepFailed,
  type StoredEvent,
  StreamDisconnected,
  SubscriptionConflict,
  SubscriptionNotFound,
  TenantNotFound,
  TooManyDimensions,
  TopologyDrift,
  TriggerNotFound,
  Unavailable,
  UnknownActor,
  UnsupportedRecordVersion,
  type WeirError,
  ZeroLimit,
} from "./schema/mod.ts";
