/**
 * What anybody may ask of executions: start them, signal, stop and watch them. Every verb is one
 * message to a mailbox, or a read; the owner, wherever it is, does the rest. What cannot be accepted
 * is refused here, before it reaches the log.
 */
import * as Context from "effect/Context";
import type * as Duration from "effect/Duration";
import * as Effect from "effect/Effect";
import * as Layer from "effect/Layer";
import type * as Schema from "effect/Schema";
import type * as Stream from "effect/Stream";
import type { InvalidToken, NoTokenKeys } from "../schema/access_errors.ts";
import { InvalidInput, type LeaseNotHeld } from "../schema/errors.ts";
import {
  type DependencyCycle,
  type ExecutionCancelled,
  type ExecutionEnded,
  type ExecutionExpired,
  type ExecutionFailed,
  type ExecutionNotEnded,
  type ExecutionNotFound,
  type HierarchyTooDeep,
  type IntakeClosed,
  type NobodyKeepsQueues,
  type RetryLimitExceeded,
  type SignalLimitExceeded,
  type UnknownActor,
} from "../schema/execution_errors.ts";
import type { ExecutionState as Shown } from "../schema/execution_state.ts";
import {
  type ActorName,
  type ExecutionId,
  executionIdentity,
  isForeign,
  type Lane,
  type SignalId,
  type Tenant,
} from "../schema/ids.ts";
import type { JournalRecord } from "../schema/journal_record.ts";
import type { MailRecord, StartRecord } from "../schema/mail_record.ts";
import type { SignalEffect } from "../schema/signal_delivery.ts";
import type { RecordedWorkEvent } from "../schema/work_event.ts";
import type { ExecutionStatus } from "../streams/execution_index/status.ts";
import { Connection } from "../streams/connection.ts";
import { EngineControl, type Standing } from "../streams/engine_control.ts";
import { Leases } from "../streams/lease.ts";
import { type AppendError, Log, type ReadError } from "../streams/log.ts";
import { Mailboxes } from "../streams/mailbox.ts";
import type { OutputError, OutputFrame, ReadOutputOptions } from "../streams/output.ts";
import { ServerClock } from "../streams/server_clock.ts";
import { Sessions } from "../streams/session.ts";
import type { Reason } from "./core/describe.ts";
import * as Completions from "./engine/completions.ts";
import * as Post from "./engine/post.ts";
import { makeCells } from "./executions/cells.ts";
import { makeOutput } from "./executions/output.ts";
import { makePresence } from "./executions/present.ts";
import { makeRetry } from "./executions/retry.ts";
import { makeSignals } from "./executions/signals.ts";
import { SignalTokens, TokenKeys } from "./signal_tokens.ts";
import { makeStart } from "./executions/start.ts";
import { Steering } from "./executions/steering.ts";
import type { TaskOptions } from "./executions/task.ts";
import { makeView } from "./executions/view.ts";
import { makeWorkHistory } from "./executions/work_history.ts";

type Json = Schema.Json;

/** An execution of a tenant. */
export interface Named {
  readonly execution: ExecutionId;
  readonly tenant: Tenant;
  /** The sequence of its start, if that is known. */
  readonly life?: number;
}

export interface StartOptions extends TaskOptions {
  /** The name of the execution within its actor; drawn at random, if left out. */
  readonly id?: string;
  readonly tags?: Readonly<Record<string, string>>;
  readonly lane?: Lane;
  /** What a worker must be capable of to take it up. */
  readonly requires?: ReadonlyArray<string>;
  readonly priority?: number;
  readonly delay?: Duration.Input;
  /** How long it may take in all, the delay included. */
  readonly deadline?: Duration.Input;
  /** Signals that are in its mailbox from the beginning; they are sent also if it exists already. */
  readonly signals?: ReadonlyArray<InitialSignal>;
  /** Start it even if no worker has ever served its actor; it waits for the first that does. */
  readonly unserved?: boolean;
}

/** One of several executions that are to be started together. */
export interface StartRequest {
  readonly actor: ActorName;
  readonly input: unknown;
  readonly options?: Omit<StartOptions, "signals">;
}

export interface InitialSignal extends SignalOptions {
  readonly name: string;
  readonly payload?: unknown;
}

/** An execution that was asked for. */
export interface StartedExecution extends Named {
  /** Whether this call created it; otherwise it was there before. */
  readonly created: boolean;
  readonly life: number;
}

export interface SignalOptions {
  /** Makes a repeated signal harmless for as long as the execution is kept. */
  readonly key?: string;
  /** Who sends it. */
  readonly source?: string;
}

/** A signal on its way. */
export interface SentSignal {
  readonly signalId: SignalId;
  /** What became of it, as soon as the execution's owner has taken it up. */
  readonly effect: Effect.Effect<SignalEffect, ReadError>;
}

/** An execution as it stands. */
export interface Description extends Omit<Shown, "status"> {
  readonly execution: ExecutionId;
  readonly tenant: Tenant;
  readonly life: number;
  readonly status: ExecutionStatus;
  /** What keeps it from going on, and the same for a person. */
  readonly reason: Reason;
  readonly why: string;
  readonly owner?: string;
  readonly leaseExpiresAt?: number;
  readonly lane?: string;
  readonly requires?: ReadonlyArray<string>;
  readonly deadline?: number;
  /** The queue in which it waits for its turn, if it was submitted to one. */
  readonly queue?: string;
  /** What keeps it from being taken up, since somebody paused or disabled it. */
  readonly heldBy?: Omit<Standing, "revision">;
  /** The budget for which it waits, and of what there is too little, if it does. */
  readonly budget?: { readonly name: string; readonly dimension: string };
}

/** One record of an execution, as the log has it. */
export interface HistoryEntry {
  readonly sequence: number;
  readonly at: number;
  readonly record: MailRecord | JournalRecord;
}

export interface FollowOutputOptions extends ReadOutputOptions {
  /** An end up to this sequence does not close it: the execution was run again since. */
  readonly behind?: number;
}

export type NotThere = InvalidInput | ExecutionNotFound | ReadError;
/** What a verb that sends mail may fail with. */
export type SendError = NotThere | ExecutionEnded | AppendError;

export class Executions extends Context.Service<Executions, {
  /** Starts an execution, unless there is one of that name. */
  readonly start: (
    actor: ActorName,
    tenant: Tenant,
    input: unknown,
    options?: StartOptions,
  ) => Effect.Effect<
    StartedExecution,
    | SendError
    | SignalLimitExceeded
    | UnknownActor
    | NobodyKeepsQueues
    | HierarchyTooDeep
    | IntakeClosed
  >;
  /** The start of an execution that somebody will start later, checked as if it were now. */
  readonly prepare: (
    actor: ActorName,
    tenant: Tenant,
    input: unknown,
    options?: Omit<StartOptions, "parent" | "signals">,
  ) => Effect.Effect<StartRecord, InvalidInput | ReadError | UnknownActor | NobodyKeepsQueues>;
  /** Starts all or none, if they are in one shard; each after those that it comes after otherwise. */
  readonly startAll: (
    tenant: Tenant,
    requests: ReadonlyArray<StartRequest>,
  ) => Effect.Effect<
    ReadonlyArray<StartedExecution>,
    | SendError
    | SignalLimitExceeded
    | UnknownActor
    | NobodyKeepsQueues
    | IntakeClosed
    | DependencyCycle
    | HierarchyTooDeep
  >;
  /** What an execution was started with. */
  readonly started: (of: Named) => Effect.Effect<StartRecord, NotThere>;
  /** Waits for the result; behind a sequence, if an earlier end does not count. */
  readonly result: (
    of: Named,
    options?: { readonly behind?: number },
  ) => Effect.Effect<
    Json | undefined,
    NotThere | ExecutionFailed | ExecutionCancelled | ExecutionExpired
  >;
  readonly signal: (
    to: Named,
    name: string,
    payload: unknown,
    options?: SignalOptions,
  ) => Effect.Effect<SentSignal, SendError | SignalLimitExceeded>;
  /** Sends the signal that a token is for, once. Nothing is looked up for a token that is none. */
  readonly complete: (
    token: string,
    payload: unknown,
  ) => Effect.Effect<
    SentSignal,
    Exclude<SendError, ExecutionNotFound> | SignalLimitExceeded | InvalidToken | NoTokenKeys
  >;
  /** Asks an execution to stop; with `force` it ends whatever its code does. */
  readonly cancel: (
    of: Named,
    options?: { readonly reason?: string; readonly force?: boolean },
  ) => Effect.Effect<void, SendError>;
  readonly pause: (
    of: Named,
    options?: { readonly reason?: string },
  ) => Effect.Effect<void, SendError>;
  readonly resume: (of: Named) => Effect.Effect<void, SendError>;
  /** Has an execution that waits for its time, or to be tried again, wait no longer. */
  readonly promote: (of: Named) => Effect.Effect<void, SendError>;
  /** Runs a finished execution again, and gives the sequence behind which its next end counts. */
  readonly retry: (
    of: Named,
    options?: { readonly from?: "failure" | "start" },
  ) => Effect.Effect<
    number,
    NotThere | ExecutionNotEnded | RetryLimitExceeded | IntakeClosed | AppendError
  >;
  /** Takes the execution from its present owner. */
  readonly revokeLease: (
    of: Named,
    options?: { readonly reason?: string },
  ) => Effect.Effect<void, NotThere | LeaseNotHeld | AppendError>;
  readonly describe: (of: Named) => Effect.Effect<Description, NotThere>;
  readonly history: (of: Named) => Stream.Stream<HistoryEntry, NotThere>;
  /** The same in the words of work: tasks, runs, attempts and leases. */
  readonly workHistory: (of: Named) => Stream.Stream<RecordedWorkEvent, NotThere>;
  /** What a cell of its state holds, and what it is given, until the execution has ended. */
  readonly cell: (of: Named, name: string) => Stream.Stream<Json, NotThere>;
  /** The frames of an output, as they come, until the execution has ended. */
  readonly output: (
    of: Named,
    name: string,
    options?: FollowOutputOptions,
  ) => Stream.Stream<OutputFrame, NotThere | OutputError>;
}>()("@weir/weir/actors/Executions") {}

const make = Effect.gen(function* () {
  const log = yield* Log;
  const leases = yield* Leases;
  const mailboxes = yield* Mailboxes;
  const clock = yield* ServerClock;
  const control = yield* EngineControl;
  const completions = yield* Completions.make(log);
  const post = Post.make(log);
  const means = { log, leases, completions, post, control };
  const presence = makePresence(means);
  const { present, living, meant } = presence;
  const tokens = new SignalTokens(yield* TokenKeys, log.layout.namespace);
  const { signal, complete, steering } = makeSignals(means, presence, { tokens, clock });
  const { prepare, start, startAll } = makeStart(means, presence, { mailboxes, clock, signal });
  const view = makeView(means, presence, clock, yield* Effect.serviceOption(Sessions));
  const { result, describe, history } = view;

  /** What the runtime keeps for others is wanted for good: it would not be started a second time. */
  const checkForeign = ({ execution }: Named) => {
    const { actor } = executionIdentity(execution);
    return actor === undefined || isForeign(actor) ? Effect.void : new InvalidInput({
      what: "execution to end",
      value: execution,
      rule: "the runtime keeps something for others with it, for good",
    });
  };

  const cancel: Executions["Service"]["cancel"] = Effect.fn("Executions.cancel")(
    function* (of, { reason, force } = {}) {
      yield* checkForeign(of);
      const found = yield* living(of);
      yield* post.send(found.address, {
        kind: "cancel",
        ...meant(found),
        ...(reason === undefined ? {} : { reason }),
        ...(force === undefined ? {} : { force }),
      });
    },
  );

  const pause: Executions["Service"]["pause"] = Effect.fn("Executions.pause")(
    function* (of, { reason } = {}) {
      const found = yield* living(of);
      yield* post.send(found.address, {
        kind: "pause",
        ...meant(found),
        ...(reason === undefined ? {} : { reason }),
      });
    },
  );

  const resume: Executions["Service"]["resume"] = Effect.fn("Executions.resume")(
    function* (of) {
      const found = yield* living(of);
      yield* post.send(found.address, { kind: "resume", ...meant(found) });
    },
  );

  const promote: Executions["Service"]["promote"] = Effect.fn("Executions.promote")(
    function* (of) {
      const found = yield* living(of);
      if (found.start.task?.schedule !== undefined) {
        return yield* new InvalidInput({
          what: "execution",
          value: of.execution,
          rule: "it is a schedule, of which trigger starts a run",
        });
      }
      yield* post.send(found.address, { kind: "promote", ...meant(found) });
    },
  );

  const revokeLease: Executions["Service"]["revokeLease"] = Effect.fn("Executions.revokeLease")(
    function* (of, { reason } = {}) {
      const { address } = yield* present(of);
      yield* leases.revoke(address, {
        by: "operator",
        ...(reason === undefined ? {} : { reason }),
      });
    },
  );

  const executions = Executions.of({
    prepare,
    start,
    startAll,
    started: (of) => Effect.map(present(of), ({ start }) => start),
    result,
    signal,
    complete,
    cancel,
    pause,
    resume,
    promote,
    retry: makeRetry(means, presence, view),
    revokeLease,
    describe,
    history,
    workHistory: makeWorkHistory(means, presence),
    cell: makeCells(means, presence),
    output: makeOutput(means, presence, yield* Effect.serviceOption(Connection)),
  });
  return Context.make(Executions, executions).pipe(Context.add(Steering, steering));
});

/** The verbs on a log. */
export const layer: Layer.Layer<
  Executions | Steering,
  never,
  EngineControl | Log | Leases | Mailboxes | ServerClock
> = Layer.effectContext(make);
