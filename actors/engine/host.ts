/**
 * What the operations of an actor's code need of whoever runs it, and the form that all of them have:
 * a place in the journal, a beginning, and a result.
 */
import type * as Effect from "effect/Effect";
import type * as Fiber from "effect/Fiber";
import type { PayloadTooLarge } from "../../schema/errors.ts";
import type { Cancelled, OutputClosed } from "../../schema/execution_errors.ts";
import type { Failure } from "../../schema/failure.ts";
import type { ExecutionId, Tenant, Timestamp } from "../../schema/ids.ts";
import type { ParentReference } from "../../schema/parent_reference.ts";
import type { Bound } from "../../schema/task.ts";
import type { BudgetMeans } from "./operations.ts";
import type { AppendError, Message, ReadError } from "../../streams/log.ts";
import type { Command, Turn } from "../core/decide.ts";
import type { Operation, OperationKind, Result } from "../core/state.ts";
import type { Emitted } from "./emit.ts";
import type { OperationError } from "./operations.ts";
import type { Post } from "./post.ts";
import type { SignalTokens } from "../signal_tokens.ts";
import type { Program } from "./program.ts";

/** What the operations need of their activation. */
export interface Host {
  readonly execution: ExecutionId;
  readonly tenant: Tenant;
  readonly attempt: number;
  readonly life: number;
  /** How often the code was begun anew in this life. */
  readonly continuations: number;
  readonly seed: string;
  /** Whether a run before this one may have left something half done. */
  readonly isContinued: boolean;
  readonly cancelled: AbortSignal;
  /** What the journal has under a key. */
  readonly operation: (key: string) => Operation | undefined;
  /** Whether the journal has such a signal that no wait has taken. */
  readonly isSignalled: (signal: string) => boolean;
  readonly post: Post;
  readonly budgets: BudgetMeans;
  /** The budgets that it is bound to. */
  readonly bound: ReadonlyArray<Bound>;
  /** The attempt, for who does not care how many owners it has had. */
  readonly round: string;
  /** Whether it was asked to stop. */
  readonly isCancelled: () => boolean;
  /** The present attempt, which is another for the clock behind each wait for a budget. */
  readonly attemptName: () => string;
  /** The wait for a budget that is under way, with its signal, or the next. */
  readonly roomTurn: () => { readonly turn: string; readonly signal?: string };
  readonly program: Program;
  readonly tokens: SignalTokens;
  /** The server's time in milliseconds. */
  readonly now: Effect.Effect<Timestamp>;
  readonly cancelledError: () => Cancelled;
  readonly asParent: (key: string) => ParentReference;
  /**
   * Writes what a command says, and what goes along with it, if it still can be; `stored` is called
   * in any case but a refusal.
   */
  readonly submit: (
    command: Command,
    stored?: () => void,
    refused?: (error: PayloadTooLarge) => void,
    along?: ReadonlyArray<Message>,
  ) => void;
  /** Writes the outcome of what keeps it busy, and keeps it busy until that is stored. */
  readonly settle: (command: Command) => void;
  /** Takes a frame of an output as soon as there is room for it. */
  readonly emit: (emitted: Emitted) => Effect.Effect<void, OutputClosed>;
  /** Calls back at a time of the server's clock, unless the activation ends before. */
  readonly arm: (due: number, then: () => void) => void;
  /** The turn of a queue that this attempt needs, if it needs one. */
  readonly turn: Turn | undefined;
  /** The errand on which it sends remote workers, if its code does. */
  readonly errand: string;
  /** The last message of the mailbox that it has taken up. */
  readonly mail: () => number;
  /** How urgent it is. */
  readonly priority: number;
  /** Appends records under the fence of the execution, beside its journal. */
  readonly append: (messages: ReadonlyArray<Message>) => Effect.Effect<void, AppendError>;
  /** Whether the execution is run here still, as the log says. */
  readonly isOwned: Effect.Effect<boolean, ReadError>;
  /** Has the present attempt fail at a time of the server's clock, unless it has ended before. */
  readonly limit: (due: number) => void;
  readonly fork: (effect: Effect.Effect<void>) => Fiber.Fiber<unknown>;
  readonly whileBusy: (effect: Effect.Effect<void>) => Effect.Effect<void>;
  readonly whileParked: (effect: Effect.Effect<void>) => Effect.Effect<void>;
  /** Something that the execution's end waits for. */
  readonly whileStarting: (effect: Effect.Effect<void>) => Effect.Effect<void>;
}

export type Begin = (
  key: string,
  known: Operation | undefined,
  refused: (error: PayloadTooLarge) => void,
) => Effect.Effect<void> | undefined;

/** An operation from its beginning to its result. */
export type Perform = (
  name: string,
  kind: OperationKind,
  begin: Begin,
  /** A request to cancel ends it, and is still to be told to the code. */
  leavesCancel?: boolean,
  /** What is done if the code awaits it no more before it was begun. */
  dropped?: (key: string) => void,
) => Effect.Effect<readonly [key: string, result: Result], OperationError>;

/** Why an operation did not succeed. */
export const failureIn = (result: Result): Failure =>
  result.type === "failure" ? result.failure : { name: result.type, message: result.type };
