/**
 * Weir for Effect programs: the services themselves, each with its layer, and a memory layer where
 * one makes sense.
 *
 * @module
 */
import "./schema/effect_version.ts";

export type {
  ChildOptions,
  Operations,
  RunOptions,
  Spawned,
  Step,
} from "./actors/engine/operations.ts";
export type { Emit, EmitError } from "./actors/engine/emit.ts";
export type { ActorCode } from "./actors/engine/operations.ts";
export { make as makeWorker, type Worker, type WorkerOptions } from "./actors/engine/worker.ts";
export {
  type Description,
  Executions,
  type FollowOutputOptions,
  type HistoryEntry,
  layer as layerExecutions,
  type Named,
  type SendError,
  type SentSignal,
  type StartedExecution,
  type StartOptions,
} from "./actors/executions.ts";
export { layer, layerMemory } from "./actors/layer.ts";
export { neverStuck, type NeverStuckOptions, type Stuck } from "./actors/never_stuck.ts";
export type { RetryPolicy } from "./actors/retry_policy.ts";
export {
  type AllocateOptions as AllocateBudgetOptions,
  type BudgetChange,
  type BudgetError,
  Budgets,
  type Consumed as BudgetConsumed,
  type ConsumeOptions as ConsumeBudgetOptions,
  layer as layerBudgets,
} from "./streams/budgets.ts";
export {
  type ConnectError,
  Connection,
  type ConnectionOptions,
  layer as layerConnection,
} from "./streams/connection.ts";
export { aes256gcm, type Cipher, type PayloadKey } from "./streams/sealing.ts";
export {
  type AppendOptions,
  EventStore,
  type EventStoreError,
  layer as layerEventStore,
} from "./streams/event_store.ts";
export {
  ExecutionIndex,
  layerJetStream as layerExecutionIndex,
  layerMemory as layerExecutionIndexMemory,
} from "./streams/execution_index.ts";
export {
  type ChangeOptions as ChangeEngineOptions,
  EngineControl,
  layer as layerEngineControl,
  type Scope as EngineScope,
  type Standing as EngineStanding,
  type Whose as EngineWhose,
} from "./streams/engine_control.ts";
export {
  Families,
  type Family,
  type FamilyError,
  type FamilyEvents,
  type FamilyFilter,
  layerJetStream as layerFamilies,
  layerMemory as layerFamiliesMemory,
  type ReadFamilyOptions,
  type Tick,
} from "./streams/families.ts";
export { Fence } from "./streams/fence.ts";
export {
  type ChangeOptions as ChangeGrantOptions,
  type Grant,
  Grants,
  type GrantsOptions,
  layer as layerGrants,
  layerWith as layerGrantsWith,
  type Rights,
  type Where,
} from "./streams/grants.ts";
export {
  HandOver,
  layerJetStream as layerHandOver,
  layerMemory as layerHandOverMemory,
} from "./streams/hand_over.ts";
export {
  type AcquireOptions,
  layer as layerLeases,
  type Lease,
  Leases,
  type LeaseState,
} from "./streams/lease.ts";
export {
  type AppendedEntry,
  layer as layerLedgers,
  Ledgers,
  type NewLedgerEntry,
  type ReadLedgerOptions,
} from "./streams/ledgers.ts";
export {
  type Appended,
  type AppendError,
  type Entry,
  Log,
  type Message,
  type ReadError,
  type ReadOptions,
} from "./streams/log.ts";
export type { OutputError, OutputFrame, ReadOutputOptions } from "./streams/output.ts";
export { layerJetStream as layerLog, type LogOptions } from "./streams/log_jetstream.ts";
export { layerMemory as layerLogMemory, type MemoryOptions } from "./streams/log_memory.ts";
export { type Delivery, Mailboxes } from "./streams/mailbox.ts";
export { layerJetStream as layerMailboxes } from "./streams/mailbox/jetstream.ts";
export { layerMemory as layerMailboxesMemory } from "./streams/mailbox/memory.ts";
export { clientMessageId } from "./streams/message_id.ts";
export {
  layer as layerNamespace,
  type NamespaceServices,
  type NamespaceServicesOptions,
} from "./streams/namespace.ts";
export { Inbox, type InboxOptions, layer as layerInbox } from "./streams/outbox/inbox.ts";
export { layer as layerOutboxStore, type LogStoreOptions } from "./streams/outbox/log_store.ts";
export {
  layer as layerOutboxManager,
  make as makeOutboxManager,
  type ManagerOptions as OutboxManagerOptions,
} from "./streams/outbox/manager.ts";
export {
  type AddOptions as AddOutboxEventOptions,
  layer as layerOutboxService,
  OutboxService,
  type ProducerOptions as OutboxProducerOptions,
} from "./streams/outbox/service.ts";
export { type Claim as OutboxClaim, OutboxStore } from "./streams/outbox/store.ts";
export {
  layerFunction as layerOutboxFunction,
  OutboxTransport,
  type Publish as PublishOutboxEvent,
} from "./streams/outbox/transport.ts";
export {
  type JetStreamTransportOptions,
  layer as layerOutboxJetStream,
} from "./streams/outbox/transport_jetstream.ts";
export { layer as layerServerClock, ServerClock } from "./streams/server_clock.ts";
export { layer as layerSessions, Sessions } from "./streams/session.ts";
export {
  layerJetStream as layerStateStore,
  layerMemory as layerStateStoreMemory,
  type LoadedSnapshot,
  StateStore,
  type StateStoreError,
} from "./streams/state_store.ts";
export {
  type Health,
  layerJetStream as layerStorageBackend,
  layerMemory as layerStorageBackendMemory,
  StorageBackend,
} from "./streams/storage_backend.ts";
export {
  type ResetTarget,
  type SubscribeError,
  type SubscribeOptions,
  type Subscription,
  type SubscriptionKey,
  Subscriptions,
} from "./streams/subscriptions.ts";
export { layerJetStream as layerSubscriptions } from "./streams/subscriptions/jetstream.ts";
export { layerMemory as layerSubscriptionsMemory } from "./streams/subscriptions/memory.ts";
export {
  type Address,
  executionAddress,
  executionFilter,
  type Filter,
  type Layout,
  subjectOf,
} from "./streams/subjects.ts";
export { layer as layerTenants, type TenantEntry, Tenants } from "./streams/tenants.ts";
export * as WeirWorkflowEngine from "./actors/workflow_engine.ts";
export * as ContinueAsNew from "./actors/workflow/continue_as_new.ts";
export * as DurableMailbox from "./actors/workflow/durable_mailbox.ts";
export * as DurableState from "./actors/workflow/durable_state.ts";
export * as DurableUpdate from "./actors/workflow/durable_update.ts";
export * as WorkflowCron from "./actors/workflow/workflow_cron.ts";
export * as WorkflowRuns from "./actors/workflow/workflow_runs.ts";
export * as WorkflowVersion from "./actors/workflow/workflow_version.ts";
export { layerMemory as layerWorkflowMemory } from "./actors/workflow/extras_memory.ts";
export { WorkflowExtras } from "./actors/workflow/workflow_extras.ts";
