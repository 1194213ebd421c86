/**
 * What travels: ids, cursors, the events of the four families and of the event store, and errors.
 * Pure schemas without I/O, for a process that reads events and links nothing else.
 *
 * @module
 */
import "./effect_version.ts";

export {
  ActorName,
  EventId,
  ExecutionId,
  Lane,
  LeaseId,
  Namespace,
  parse,
  SignalId,
  SubscriptionName,
  Tenant,
  Timestamp,
  WaitpointId,
  WorkerInstanceId,
} from "./ids.ts";
export {
  CapabilityName,
  LedgerEntryId,
  LedgerKey,
  LedgerKind,
  Principal,
  RoleName,
  TenantName,
} from "./access_names.ts";
export {
  type BuiltinRole,
  capabilities,
  type Capability,
  roles,
  type Verb,
  type VerbRule,
  verbs,
} from "./access.ts";
export type {
  AccessEvent,
  CapabilityGranted,
  CapabilityRevoked,
  LedgerEntry,
  RoleAssigned,
  RoleUnassigned,
  TenantCreated,
} from "./access_event.ts";
export {
  type AccessProblem,
  Forbidden,
  InvalidToken,
  NoTokenKeys,
  TenantNotFound,
} from "./access_errors.ts";
export {
  Cursor,
  type CursorInput,
  type CursorPosition,
  decodeCursor,
  encodeCursor,
  type ShardPosition,
} from "./cursor.ts";
export { LeaseHistoryEvent } from "./lease_history.ts";
export { CompletionEvent, Outcome } from "./completion.ts";
export { SignalDeliveryEvent, SignalEffect } from "./signal_delivery.ts";
export { ControlRecord, EngineState } from "./control_record.ts";
export { InstanceTagEvent } from "./instance_tags.ts";
export {
  ExecutionError,
  ExecutionEvent,
  type ExecutionEventInput,
  OtherEvent,
  ParentLink,
  RecordedEvent,
  RetryPolicy,
} from "./execution_event.ts";
export {
  BudgetExhausted,
  Cancelled,
  ChildFailed,
  ContextClosed,
  DependencyCycle,
  ExecutionCancelled,
  ExecutionEnded,
  ExecutionExpired,
  ExecutionFailed,
  ExecutionNotEnded,
  ExecutionNotFound,
  type ExecutionProblem,
  HierarchyTooDeep,
  InsideStep,
  IntakeClosed,
  KindMismatch,
  NameInUse,
  NobodyKeepsQueues,
  NondeterministicProgram,
  NonRetryable,
  NotAwaited,
  OutputClosed,
  OutsideBody,
  RetryLimitExceeded,
  ScheduleFailed,
  SignalLimitExceeded,
  StepFailed,
  UnknownActor,
  VersionNotSupported,
} from "./execution_errors.ts";
export {
  DatabaseRefused,
  DuplicateEvent,
  EventLockLost,
  type OutboxProblem,
  PublishFailed,
  PublishRefused,
} from "./outbox_errors.ts";
export { type Amounts, type Budget, BudgetKey, BudgetName, type Limits } from "./budget.ts";
export { BudgetEvent } from "./budget_record.ts";
export {
  BudgetNotFound,
  type BudgetProblem,
  DimensionNotAllocated,
  TooManyDimensions,
  ZeroLimit,
} from "./budget_errors.ts";
export { OutcomeType, TriggerId, When } from "./trigger.ts";
export { EmittedRecord, Happening, TriggerRecord } from "./trigger_record.ts";
export { NobodyKeepsTriggers, TriggerNotFound, type TriggerProblem } from "./trigger_errors.ts";
export { type Awaited, type ExecutionState, executionStateOf } from "./execution_state.ts";
export { Failure } from "./failure.ts";
export { ExecutionSnapshot } from "./execution_snapshot.ts";
export { StoredEvent } from "./stored_event.ts";
export {
  AttemptResult,
  decodeWorkEvent,
  OtherWorkEvent,
  RecordedWorkEvent,
  RunInstance,
  TaskSpec,
  WorkEvent,
  type WorkEventKind,
  workEventKinds,
  workEventNumbers,
  workEventRecord,
  workEventsAt,
} from "./work_event.ts";
export { workOfGrant, workOfLedger, workOfTenant } from "./work_events_of_access.ts";
export { workOfControl } from "./work_events_of_control.ts";
export { workOfBudget } from "./work_events_of_budget.ts";
export { workOfTrigger } from "./work_events_of_trigger.ts";
export { workOfRemote } from "./work_events_of_remote.ts";
export { RemoteRecord } from "./remote_record.ts";
export { workOfSession } from "./work_events_of_session.ts";
export { isFinal, isValidTransition, RunState } from "./run_state.ts";
export {
  AlreadyExists,
  CipherMissing,
  ConnectionClosed,
  ConnectionFailed,
  CorruptRecord,
  CursorGap,
  InvalidBatch,
  InvalidCursor,
  InvalidInput,
  Landed,
  LeaseHeld,
  LeaseNotHeld,
  NamespaceNotFound,
  NoSpace,
  PayloadTooLarge,
  SequenceConflict,
  ServerFailed,
  ServerNotFound,
  ServerRefused,
  ServerTooOld,
  StaleFence,
  StreamDisconnected,
  SubscriptionConflict,
  SubscriptionNotFound,
  TopologyDrift,
  Unavailable,
  UnknownRecordKind,
  UnsupportedRecordVersion,
  type WeirError,
} from "./errors.ts";
