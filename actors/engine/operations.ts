/**
 * What an actor's code can do, as Effects: the primitives beneath both doors. Each has a name by
 * which its result is found again, whatever happens to the process; results are JSON. How they are
 * made durable is the activation's business.
 */
import type * as Duration from "effect/Duration";
import type * as Effect from "effect/Effect";
import type * as Schema from "effect/Schema";
import type { NoTokenKeys } from "../../schema/access_errors.ts";
import type { InvalidInput, PayloadTooLarge } from "../../schema/errors.ts";
import type {
  BudgetExhausted,
  Cancelled,
  ChildFailed,
  KindMismatch,
  NameInUse,
  StepFailed,
} from "../../schema/execution_errors.ts";
import type { ActorName, ExecutionId, Tenant } from "../../schema/ids.ts";
import type { ParentReference } from "../../schema/parent_reference.ts";
import type { Route } from "../../schema/route.ts";
import type { Task } from "../../schema/task.ts";
import type { Amounts } from "../../schema/budget.ts";
import type { Budgets, Consumed } from "../../streams/budgets.ts";
import type { ClerkError } from "../../streams/budgets/clerk.ts";
import type { WaitingRoom } from "../../streams/budgets/waiting.ts";
import type { AppendError, Message, ReadError } from "../../streams/log.ts";
import type { Keep } from "../keep.ts";
import type { ConsumeStepOptions } from "./consume.ts";
import type { Emit } from "./emit.ts";
import type { AddEvent } from "./outbox.ts";
import type { RetryPolicy } from "../retry_policy.ts";
import type { Room } from "./room.ts";

type Json = Schema.Json;

/** One try of a step, as the step sees it. */
export interface Step {
  /** The same for every try of this step, and different from that of any other. */
  readonly idempotencyKey: string;
  /** Counts the tries from 1. */
  readonly try: number;
  /** What the last try said when it was alive. */
  readonly progress: Json | undefined;
  /** Says that the step is alive, and how far it has come. */
  readonly heartbeat: (progress?: unknown) => void;
  /** Gives out a frame of this try; who runs it again gives its frames again. */
  readonly emit: Emit;
}

export interface RunOptions {
  readonly retry?: RetryPolicy;
  /** How long one try may take. */
  readonly timeout?: Duration.Input;
  /** How long a try may go without a heartbeat. */
  readonly heartbeatTimeout?: Duration.Input;
}

export interface WaitOptions {
  /** The name of the wait, if not that of the signal. */
  readonly name?: string;
  readonly timeout?: Duration.Input;
}

export interface TokenOptions {
  /** How long it is taken; 7 days, if left out. */
  readonly expires?: Duration.Input;
}

/** A signal that came, or nothing if none came in time. */
export type Received = { readonly payload: Json | undefined } | undefined;

export interface ChildOptions {
  readonly actor: ActorName;
  readonly input: Json | undefined;
  readonly tenant: Tenant;
  /** Named after the parent and the call, if left out. */
  readonly execution?: ExecutionId;
  readonly route?: Route;
  readonly requires?: ReadonlyArray<string>;
  readonly tags?: Readonly<Record<string, string>>;
  readonly priority?: number;
  readonly task?: Task;
  /** What becomes of the child if this execution ends first; it is cancelled, if left out. */
  readonly onParentEnd?: "cancel" | "abandon";
}

/** An execution that is there already. */
export interface JoinOptions {
  readonly actor: ActorName;
  readonly execution: ExecutionId;
  readonly tenant: Tenant;
  /** What becomes of one's own child; what others started is left alone. */
  readonly onParentEnd?: "cancel" | "abandon";
}

/** What a remote worker is asked for; it is given what the execution was started with. */
export interface ErrandRequest {
  readonly capabilities: ReadonlyArray<string>;
  readonly department?: string;
  /** How long a worker has it without a sign of life. */
  readonly leaseMs: number;
  /** How often it is taken back before it is given up. */
  readonly maxReclaims: number;
}

/** What any operation may fail with. */
export type OperationError =
  | Cancelled
  | NameInUse
  | KindMismatch
  | InvalidInput
  | PayloadTooLarge
  | BudgetExhausted
  | ClerkError;

/** What executions do with budgets. */
export interface BudgetMeans extends WaitingRoom, Pick<Budgets["Service"], "consume" | "release"> {}

export interface Operations {
  readonly execution: ExecutionId;
  readonly tenant: Tenant;
  readonly attempt: number;
  /** What those gave behind which it was started, by their ids. */
  readonly results: Readonly<Record<string, Json>>;
  /** Aborts when the execution is asked to stop, or this worker has lost it. */
  readonly cancelled: AbortSignal;
  readonly run: (
    name: string,
    body: (step: Step) => Effect.Effect<unknown, unknown>,
    options?: RunOptions,
  ) => Effect.Effect<Json | undefined, StepFailed | OperationError>;
  /** Consumes from budgets once, however often the code runs. */
  readonly consume: (
    name: string,
    amounts: Amounts,
    options?: ConsumeStepOptions,
  ) => Effect.Effect<Consumed, StepFailed | OperationError>;
  readonly sleep: (
    name: string,
    duration: Duration.Input,
  ) => Effect.Effect<void, OperationError>;
  readonly wait: (
    signal: string,
    options?: WaitOptions,
  ) => Effect.Effect<Received, OperationError>;
  /** A token with which whoever has it may send this execution the signal, once. */
  readonly token: (
    signal: string,
    options?: TokenOptions,
  ) => Effect.Effect<string, NoTokenKeys | OperationError>;
  /** Starts another execution and awaits its result. */
  readonly call: (
    name: string,
    options: ChildOptions,
  ) => Effect.Effect<Json | undefined, ChildFailed | OperationError>;
  /** Starts another execution and goes on. */
  readonly spawn: (
    name: string,
    options: ChildOptions,
  ) => Effect.Effect<Spawned, OperationError>;
  /** Awaits the result of an execution that is there; it is left alone whatever becomes of this one. */
  readonly join: (
    name: string,
    options: JoinOptions,
  ) => Effect.Effect<Json | undefined, ChildFailed | OperationError>;
  /** The same under a name of the engine's own, which no code can use. */
  readonly after: Operations["join"];
  /**
   * Makes itself known to the execution below which it was submitted, which takes it along when it
   * ends; false, if that has ended already.
   */
  readonly below: (parent: ParentReference) => Effect.Effect<boolean, OperationError>;
  /** Asks a child of one's own to stop. */
  readonly cancel: (
    child: { readonly execution: ExecutionId; readonly tenant: Tenant; readonly route?: Route },
  ) => Effect.Effect<void, OperationError>;
  /** The server's time, in milliseconds, as it was when this was first asked. */
  readonly now: Effect.Effect<number, OperationError>;
  /** Awaits the turn that the attempt needs in a queue, if it needs one. */
  readonly turn: Effect.Effect<void, OperationError>;
  /** Appends records under the fence of the execution, beside its journal; for the engine's own code. */
  readonly append: (messages: ReadonlyArray<Message>) => Effect.Effect<void, AppendError>;
  /** Whether the execution is run here still, as the log says. */
  readonly isOwned: Effect.Effect<boolean, ReadError>;
  /** Sends a remote worker on the errand of this attempt, of which there is one, and awaits its end. */
  readonly errand: (
    request: ErrandRequest,
  ) => Effect.Effect<Json | undefined, StepFailed | OperationError>;
  /** Waits for room in budgets, of those that the execution is bound to. */
  readonly room: Room;
  /** Says that the attempt begins, and gives it so much time, from when this was first asked on. */
  readonly beginAttempt: (timeoutMs: number | undefined) => Effect.Effect<void, OperationError>;
  readonly uuid: () => string;
  readonly random: () => number;
  /** Whether what is called so has a result already, so that to ask for it begins nothing. */
  readonly isKnown: (name: string) => boolean;
  /** Whether the journal has what the next use of a name is about. */
  readonly isNextKnown: (name: string) => boolean;
  /** Whether what is called so is recorded as begun, so that to ask for it takes up an earlier run. */
  readonly isBegun: (name: string) => boolean;
  /** Whether such a signal has come that no wait has taken. */
  readonly isSignalled: (signal: string) => boolean;
  /**
   * Says when the code really waits for what it asks for by that name: as long as it waits for
   * nothing, it is at work, and stays in memory.
   */
  readonly awaitWhile: (name: string, isAwaited: () => boolean) => void;
  /**
   * Whether the code has been here before: the journal has something that it has not asked for yet.
   */
  readonly isBehind: () => boolean;
  /** How often `continueAs` was done. */
  readonly continuations: number;
  /**
   * Ends this run of the code and begins it anew with another input, in one record. Waits that are
   * not over, and cells that are not cleared, are there in the next run; nothing else is.
   */
  readonly continueAs: (
    input: Json,
    over: { readonly taken: ReadonlyArray<string>; readonly cleared: ReadonlyArray<string> },
  ) => Effect.Effect<never, Cancelled | PayloadTooLarge>;
  /** Adds an event to the outbox, once however often the code runs. */
  readonly addEvent: AddEvent;
  /** Gives out a frame for whoever follows the execution; in a step, the step's own does that. */
  readonly emit: Emit;
  readonly tag: (name: string, value: string) => Effect.Effect<void, OperationError>;
  readonly untag: (name: string) => Effect.Effect<void, OperationError>;
  readonly cell: (name: string) => Json | undefined;
  readonly setCell: (
    name: string,
    value: Json | undefined,
  ) => Effect.Effect<void, OperationError>;
}

export interface Spawned {
  readonly execution: ExecutionId;
  readonly result: Effect.Effect<Json | undefined, ChildFailed | OperationError>;
}

/** An actor as the engine runs it. */
export interface ActorCode {
  readonly name: ActorName;
  readonly run: (
    operations: Operations,
    input: Json | undefined,
  ) => Effect.Effect<unknown, unknown>;
  /** Whether it sends remote workers on errands, so that who runs it keeps them as well. */
  readonly isRemote?: boolean;
  /** How often the whole is tried again when it fails; not at all, if left out. */
  readonly retry?: RetryPolicy;
  /** How long its executions are kept after their end. */
  readonly keep?: Keep;
}
