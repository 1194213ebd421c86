/**
 * One execution as its callers hold it: a handle that knows the id and asks for the rest. It owns
 * nothing, and as many as one likes may speak of the same execution.
 */
import * as Effect from "effect/Effect";
import type * as ManagedRuntime from "effect/ManagedRuntime";
import * as Stream from "effect/Stream";
import {
  ExecutionCancelled,
  ExecutionExpired,
  ExecutionFailed,
} from "../schema/execution_errors.ts";
import type { SignalEffect } from "../schema/signal_delivery.ts";
import type { RecordedWorkEvent } from "../schema/work_event.ts";
import type { OutputFrame, ReadOutputOptions } from "../streams/output.ts";
import { definition } from "./definition.ts";
import { checkJson } from "./engine/to_json.ts";
import {
  type Description,
  Executions,
  type HistoryEntry,
  type Named,
  type SignalOptions,
} from "./executions.ts";
import { iterate } from "./iterate.ts";
import { type ErrorClass, raise } from "./raise.ts";
import type { SignalDefinition } from "./signal.ts";
import { check } from "./standard_schema.ts";

/** A signal that is in the execution's mailbox. */
export interface SentSignal {
  readonly signalId: string;
  /** What became of it, as soon as the execution's owner has taken it up. */
  effect(): Promise<SignalEffect>;
}

/** How an execution has ended, as a value. */
export type RunOutcome<Output, Raised = unknown> =
  | { readonly type: "success"; readonly value: Output }
  | { readonly type: "failure"; readonly error: Raised | ExecutionFailed }
  | { readonly type: "cancelled"; readonly error: ExecutionCancelled }
  | { readonly type: "expired"; readonly error: ExecutionExpired };

/** An execution, by its id. */
export interface Run<Output = unknown, Raised = unknown> {
  /** The actor's name, a slash, and the name of the execution. */
  readonly id: string;
  readonly tenant: string;
  /**
   * Resolves when the execution has ended; rejects if it did not succeed, with the actor's own error
   * if that is of a class that the actor declares. A signal that aborts ends the waiting, with its reason, and not the
   * run.
   */
  result(options?: { readonly signal?: AbortSignal }): Promise<Output>;
  /** Resolves with how the execution has ended; rejects only if that cannot be known. */
  outcome(): Promise<RunOutcome<Output, Raised>>;
  /** Resolves when the signal is durable. */
  signal<A>(
    signal: SignalDefinition<A>,
    payload: NoInfer<A>,
    options?: SignalOptions,
  ): Promise<SentSignal>;
  /** Asks it to stop; its code may undo what it did. With `force` it ends at once. */
  cancel(options?: { readonly reason?: string; readonly force?: boolean }): Promise<void>;
  /** Begins nothing more until `resume`; steps under way end and are recorded. */
  pause(options?: { readonly reason?: string }): Promise<void>;
  resume(): Promise<void>;
  /**
   * Has it begin now if it waits for its delay, or be tried again now if it waits for that; what it
   * comes after, its queue and its budgets still hold it.
   */
  promote(): Promise<void>;
  /** Runs it again when it has ended: from its failures, or from the start. */
  retry(options?: { readonly from?: "failure" | "start" }): Promise<void>;
  /** Takes it from its present owner; another goes on. */
  revokeLease(options?: { readonly reason?: string }): Promise<void>;
  describe(): Promise<Description>;
  /** Every record, in the order of the log. */
  history(): AsyncIterable<HistoryEntry>;
  /** The same in the words of work: tasks, runs, attempts and leases. */
  workHistory(): AsyncIterable<RecordedWorkEvent>;
  /** The frames that it emits, from the first that is kept, until it has ended. */
  output(name: string, options?: ReadOutputOptions): AsyncIterable<OutputFrame>;
}

/** The outcome that a result is made of. */
export const outcomeOf = async <Output, Raised>(
  result: Promise<Output>,
  errors: ReadonlyArray<ErrorClass<Raised>> = [],
): Promise<RunOutcome<Output, Raised>> => {
  try {
    return { type: "success", value: await result };
  } catch (error) {
    if (error instanceof ExecutionCancelled) return { type: "cancelled", error };
    if (error instanceof ExecutionExpired) return { type: "expired", error };
    if (error instanceof ExecutionFailed) return { type: "failure", error };
    if (errors.some((each) => error instanceof each)) {
      return { type: "failure", error: error as Raised };
    }
    throw error;
  }
};

export const makeRun = <Output, Raised = unknown>(
  runtime: ManagedRuntime.ManagedRuntime<Executions, unknown>,
  named: Named,
  errors: ReadonlyArray<ErrorClass<Raised>> = [],
): Run<Output, Raised> => {
  /** An end before this does not count: the execution was run again since. */
  let behind = 0;
  const use = <A, E>(
    verb: (executions: Executions["Service"]) => Effect.Effect<A, E>,
    options?: { readonly signal?: AbortSignal },
  ): Promise<A> => runtime.runPromise(Effect.flatMap(Executions, verb), options);

  const read = <A, E>(
    stream: (executions: Executions["Service"]) => Stream.Stream<A, E>,
  ): AsyncIterable<A> => iterate(runtime, Stream.unwrap(Effect.map(Executions, stream)));

  const result: Run<Output, Raised>["result"] = (options) =>
    use((executions) => executions.result(named, { behind }), options).catch((error) => {
      throw error instanceof ExecutionFailed ? raise(errors, error, error.failure) : error;
    }) as Promise<Output>;

  return {
    id: named.execution,
    tenant: named.tenant,
    result,
    outcome: () => outcomeOf(result(), errors),
    signal: (signal, payload, options) =>
      use((executions) =>
        Effect.gen(function* () {
          yield* definition("signal", signal);
          const checked = signal.payload === undefined
            ? payload
            : yield* check(signal.payload, `the payload of ${signal.name}`, payload);
          const value = yield* checkJson(`the payload of ${signal.name}`, checked);
          const sent = yield* executions.signal(named, signal.name, value, options);
          return { signalId: sent.signalId, effect: () => runtime.runPromise(sent.effect) };
        })
      ),
    cancel: (options) => use((executions) => executions.cancel(named, options)),
    pause: (options) => use((executions) => executions.pause(named, options)),
    resume: () => use((executions) => executions.resume(named)),
    promote: () => use((executions) => executions.promote(named)),
    retry: async (options) => {
      behind = await use((executions) => executions.retry(named, options));
    },
    revokeLease: (options) => use((executions) => executions.revokeLease(named, options)),
    describe: () => use((executions) => executions.describe(named)),
    history: () => read((executions) => executions.history(named)),
    workHistory: () => read((executions) => executions.workHistory(named)),
    output: (name, options) =>
      read((executions) => executions.output(named, name, { ...options, behind })),
  };
};
